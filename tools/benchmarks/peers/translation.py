"""The peer of benchmark translate: MarianMT's shape in PyTorch, with random weights.

    python tools/benchmarks/peers/translation.py '{"vocabulary": 6000, "width": 160, …}'

Prints its parameter count; then, for each number on a line of standard input, has a
batch translated so often (by transformers' `generate`, beam search of forced length,
with its cache), and prints "done".
"""

import json
import sys

import torch
import transformers


def main() -> None:
    values = json.loads(sys.argv[1])
    torch.manual_seed(0)
    blocks = {}
    for side in ("encoder", "decoder"):
        blocks |= {
            f"{side}_layers": values["depth"],
            f"{side}_attention_heads": values["heads"],
            f"{side}_ffn_dim": values["hidden"],
        }
    config = transformers.MarianConfig(
        vocab_size=values["vocabulary"],
        d_model=values["width"],
        max_position_embeddings=128,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=1,
        forced_eos_token_id=None,
        **blocks,
    )
    model = transformers.MarianMTModel(config).eval()
    print(sum(p.numel() for p in model.parameters()), flush=True)
    shape = (values["batch"], values["source"])
    ids = torch.randint(2, values["vocabulary"], shape)
    forced = {"min_new_tokens": values["target"], "max_new_tokens": values["target"]}
    for line in sys.stdin:
        with torch.no_grad():
            for _ in range(int(line)):
                model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    num_beams=values["beam"],
                    do_sample=False,
                    **forced,
                )
        print("done", flush=True)


if __name__ == "__main__":
    main()
