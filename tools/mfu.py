"""Steps a second, and the share of the device's bfloat16 peak, on JAX.

    python tools/mfu.py [NAME …] [--steps N] [--json FILE]

MFU is achieved FLOP/s ÷ those of a large matrix product in bfloat16, measured here. A
step's FLOPs are XLA's count of the arithmetic as it is written, before optimisation.
Needs no TensorFlow and no data: all rows are the same.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np

import kerasgen
from kerasgen.errors import InputError, unknown
from kerasgen.tokenizers import Characters

BFLOAT16 = {"dtype": "mixed_bfloat16"}


def language_model(vocabulary: int, context: int, batch: int, **network):
    """-> a model, and a batch of tokens."""
    characters = "".join(chr(0x4E00 + i) for i in range(vocabulary - 2))
    network = {"name": "transformer", **network}
    model = kerasgen.LanguageModel(Characters(characters), context, network, **BFLOAT16)
    return model, np.ones((batch, context + 1), "int32")


def ddpm_cifar10(batch=128):
    """The network of the recipe of that name (Ho et al., 2020, appendix B)."""
    network = {"name": "unet", "widths": [128, 256, 256, 256], "attention": [16]}
    model = kerasgen.DDPM((32, 32, 3), network | {"dropout": 0.1}, **BFLOAT16)
    return model, np.zeros((batch, 32, 32, 3), "uint8")


CASES = {
    # Radford et al. (2019): 124 million parameters with 50,257 tokens.
    "gpt2_124m": lambda: language_model(
        50257, 1024, 16, style="gpt2", width=768, depth=12, heads=12
    ),
    "gpt_tiny_shakespeare": lambda: language_model(
        67, 256, 64, width=384, depth=6, heads=6, dropout=0.2
    ),
    "ddpm_cifar10": ddpm_cifar10,
    "tiny": lambda: language_model(67, 32, 4, width=32, depth=1, heads=2),
}


def measure(name: str, steps: int) -> dict:
    """A case, after a step that compiles."""
    model, x = CASES[name]()
    model.compile(keras.optimizers.AdamW(1e-4, global_clipnorm=1.0))
    batch = jax.device_put(x)
    names = ("trainable", "non_trainable", "optimizer", "metrics")
    state = model._get_jax_state(**{f"{name}_variables": True for name in names})
    step = jax.jit(model.train_step, donate_argnums=0)
    flops = step.lower(state, (batch,)).cost_analysis()["flops"]
    _, state = step(state, (batch,))
    jax.block_until_ready(state)
    start = time.perf_counter()
    for _ in range(steps):
        _, state = step(state, (batch,))
    jax.block_until_ready(state)
    seconds = (time.perf_counter() - start) / steps
    return {
        "parameters": model.count_params(),
        "batch": len(x),
        "steps_per_second": 1.0 / seconds,
        "flops_per_step": flops,
        "mfu": flops / seconds / peak(),
    }


def peak(size: int = 8192) -> float:
    """FLOP/s of the best of several bfloat16 products."""
    size = size if jax.default_backend() != "cpu" else 1024
    a = jax.numpy.ones((size, size), "bfloat16")
    product = jax.jit(jax.numpy.matmul)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        product(a, a).block_until_ready()
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)


def main() -> int:
    parser = argparse.ArgumentParser(description="Speed of training steps on JAX.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--steps", type=int, default=20, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    results = {"device": jax.devices()[0].device_kind, "jax": jax.__version__}
    try:
        for name in options.names or list(CASES):
            if name not in CASES:
                raise unknown("case", name, CASES)
            found = results[name] = measure(name, options.steps)
            speed = f"{found['steps_per_second']:.2f} steps/s"
            print(f"{name}: {speed}, MFU {found['mfu']:.1%}")
    except InputError as error:
        print(f"mfu: {error}", file=sys.stderr)
        return 2
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
