"""Loops outside of a file: caches as named inputs and outputs.

The names are those of onnxruntime-genai and of Hugging Face's Optimum: "present.0.key"
comes out, and goes in again as "past_key_values.0.key". With an encoder there are two
sides: "present.0.decoder.key".
"""

import functools
from collections.abc import Callable

from kerasgen.inputs import Input
from kerasgen.signature import served

PARTS = ("key", "value")
PRESENT, PAST = "present", "past_key_values"

# How a model serves such a loop. Its numbers have no bounds.
loop_served = functools.partial(
    served, tolerance=1e-3, only="onnx", why="made for a loop outside of the file"
)


def named(caches, side: str | None = None, kind: str = PRESENT) -> dict:
    """Keys and values of every block, by name.

    Args:
        caches: a pair a block, of any values.
        side: "encoder" or "decoder", where there are both.
        kind: `PRESENT` or `PAST`.
    """
    middle = "" if side is None else f".{side}"
    return {
        f"{kind}.{i}{middle}.{part}": value
        for i, cache in enumerate(caches)
        for part, value in zip(PARTS, cache, strict=True)
    }


def unnamed(past: dict, depth: int, side: str | None = None) -> list:
    """The caches of `depth` blocks, of what `named` gives."""
    names = named([PARTS] * depth, side, PAST)
    values = iter([past[name] for name in names])
    return list(zip(values, values, strict=True))


def past(side: str | None = None) -> Callable:
    """A function of a model to the `Input`s of its caches."""

    def inputs(model) -> dict:
        network = model.network
        cache = Input((network.heads, None, network.width // network.heads))
        return named([(cache, cache)] * network.depth, side, PAST)

    return inputs


def present(side: str | None = None) -> Callable:
    """A function of a model to the names of the caches that it gives back."""
    return lambda model: [*named([PARTS] * model.network.depth, side)]
