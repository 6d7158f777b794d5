"""The peer of benchmarks lm_generate and lm_step: GPT-2's shape in PyTorch, eager.

    python tools/benchmarks/peers/lm.py '{"mode": "generate", "batch": 1, …}'

Prints its parameter count; then, for each number on a line of standard input, generates
that many tokens (by transformers' `generate`, greedy, with its cache), or takes that
many training steps (of the architecture as nanoGPT has it), and prints "done".
"""

import json
import sys

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, self.heads, -1).transpose(1, 2)
            for part in self.qkv(self.norms[0](x)).split(width, dim=2)
        )
        h = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(h.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norms[1](x))))


class NanoGPT(nn.Module):
    def __init__(self, vocabulary, context, width, depth, heads):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)

    def forward(self, ids):
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        return self.norm(self.blocks(x)) @ self.tokens.weight.T


def gpt2(vocabulary, context, width, depth, heads):
    import transformers

    config = transformers.GPT2Config(
        vocab_size=vocabulary,
        n_positions=context,
        n_embd=width,
        n_layer=depth,
        n_head=heads,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    return transformers.GPT2LMHeadModel(config)


def main() -> None:
    values = json.loads(sys.argv[1])
    torch.manual_seed(0)
    shape = {k: values[k] for k in ("vocabulary", "context", "width", "depth", "heads")}
    model = {"generate": gpt2, "train": NanoGPT}[values["mode"]](**shape)
    print(sum(p.numel() for p in model.parameters()), flush=True)
    shape = (values["batch"], values["prompt"])
    ids = torch.randint(2, values["vocabulary"], shape)
    mask = torch.ones_like(ids)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def generate(n: int) -> None:
        model.eval()
        with torch.no_grad():
            model.generate(
                ids,
                attention_mask=mask,
                min_new_tokens=n,
                max_new_tokens=n,
                do_sample=False,
            )

    def train(n: int) -> None:
        model.train()
        for _ in range(n):
            logits = model(ids[:, :-1])
            loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    work = {"generate": generate, "train": train}[values["mode"]]
    for line in sys.stdin:
        work(int(line))
        print("done", flush=True)


if __name__ == "__main__":
    main()
