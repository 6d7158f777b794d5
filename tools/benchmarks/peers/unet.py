"""The peer of the benchmark unet_step: diffusers' U-Net in PyTorch, eager.

A program of its own, as it needs an environment with torch and diffusers, and without
kerasgen. Takes the shapes as JSON in its argument, says its number of parameters on
standard output, and then, for each line on standard input, trains as many steps.
"""

import json
import sys

import torch
from diffusers import UNet2DModel


def main(shapes: dict) -> None:
    torch.manual_seed(0)
    size, widths, batch = shapes["size"], shapes["widths"], shapes["batch"]
    memory = getattr(torch, shapes["memory_format"])
    network = UNet2DModel(
        sample_size=size,
        in_channels=1,
        out_channels=1,
        block_out_channels=widths,
        layers_per_block=shapes["blocks"],
        down_block_types=["DownBlock2D"] * len(widths),
        up_block_types=["UpBlock2D"] * len(widths),
        norm_num_groups=shapes["groups"],
        attention_head_dim=widths[-1],
    ).to(memory_format=memory)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    images = torch.rand(batch, 1, size, size).contiguous(memory_format=memory)
    print(sum(p.numel() for p in network.parameters()), flush=True)
    for line in sys.stdin:
        for _ in range(int(line)):
            time, noise = torch.randint(1000, (batch,)), torch.randn_like(images)
            alpha = torch.cos(time / 1000 * torch.pi / 2)[:, None, None, None]
            noisy = alpha * images + torch.sqrt(1 - alpha**2) * noise
            loss = torch.nn.functional.mse_loss(network(noisy, time).sample, noise)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(loss.item(), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
