"""Inputs of signatures: their types, ranges and examples, said once for what they are.

The functions take a model and give its `Input`, or None where it has none; they stand
beside the names of parameters in `kerasgen.signature.served`.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from keras import ops

from kerasgen.errors import InputError, require


@dataclasses.dataclass(frozen=True)
class Input:
    """A named input of a signature, described without its batch axis.

    A range is enforced in the graph, so that no row of a client's can harm the others
    of its batch, and every runtime answers it alike.

    Args:
        shape: the shape of one row; None stands for a length that may vary.
        dtype: "float32", "int32" or "string".
        low, high: the range: [low, high] of float32, [low, high) of int32; None where
            it has no end.
        default: the value used for every row where a caller gives none.
        outside: what the graph takes a value outside of the range for; None: for the
            nearest in it. NaN is taken for `low`.
        longest: of an axis of any length the graph reads so many; None: all.
        within: the range in words, where the numbers aren't how one says it.
        examples: (batch, random generator, length) -> values `(batch, *shape)` that are
            more like real ones than random numbers in the range are.
    """

    shape: tuple = ()
    dtype: str = "float32"
    low: float | None = None
    high: float | None = None
    default: float | None = None
    outside: int | None = None
    longest: int | None = None
    within: str | None = None
    examples: Callable | None = None

    @property
    def limit(self) -> float | None:
        """The largest value; None where there is none."""
        whole = self.dtype == "int32" and self.high is not None
        return self.high - 1 if whole else self.high

    def enforced(self, x):
        """In the graph: a tensor, with its range enforced.

        Comparisons with NaN are false in all runtimes; their minima and maxima differ.
        """
        if self.longest is not None:
            x = at_least_one(x)[:, : self.longest]
        low, limit = (
            None if end is None else ops.convert_to_tensor(end, self.dtype)
            for end in (self.low, self.limit)
        )
        if self.outside is not None:
            inside = ops.logical_and(x >= low, x <= limit)
            return ops.where(inside, x, ops.convert_to_tensor(self.outside, self.dtype))
        if limit is not None:
            x = ops.where(x > limit, limit, x)
        return x if low is None else ops.where(x > low, x, low)

    def example(self, batch: int, rng: np.random.Generator, length: int) -> np.ndarray:
        """Random values in range, of shape `(batch, *shape)`."""
        if self.examples is not None:
            return self.examples(batch, rng, length)
        shape = (batch, *(length if size is None else size for size in self.shape))
        low, high = self.describe().get("range", (-2.0, 2.0))
        if self.dtype == "int32":
            return rng.integers(low, high, shape, dtype="int32")
        return rng.uniform(low, high, shape).astype(self.dtype)

    def describe(self) -> dict:
        """As plain values; "range" is [low, high), and "limit" the largest value, which
        the graph enforces."""
        ends = (self.low, self.high)
        if self.dtype == "int32":
            every = (-(2**31), 2**31)
            ends = (b if a is None else a for a, b in zip(ends, every, strict=True))
        about = {
            "range": [*ends] if self.dtype == "int32" or None not in ends else None,
            "limit": self.limit,
            "default": self.default,
            "outside": self.outside,
            "longest": self.longest,
            "within": self.within,
        }
        about = {key: value for key, value in about.items() if value is not None}
        return {"shape": [None, *self.shape], "dtype": self.dtype} | about


def at_least_one(x):
    """int32 `(batch, T)` with one column at least, of 0: what has none is empty."""
    length = ops.shape(x)[1]
    known = isinstance(length, int)
    more = max(1 - length, 0) if known else ops.maximum(1 - length, 0)
    return ops.pad(x, [[0, 0], [0, more]])


def images(model) -> Input:
    """float32 images in [0, 1], `(batch, height, width, channels)`."""
    return Input(tuple(model.image_shape), low=0.0, high=1.0)


def latents(model) -> Input:
    """float32 latent vectors, `(batch, size)`."""
    return Input((model.latent_dim,))


def seed(model=None) -> Input:
    """int32 seeds, one a row, `(batch,)`."""
    return Input((), "int32")


def label(model) -> Input | None:
    """int32 labels, `(batch,)`; -1 asks for no particular class. Of a model without
    classes, none."""
    if not model.classes:
        return None
    return Input((), "int32", low=-1, high=model.classes, default=-1, outside=-1)


def token_ids(vocabulary: int, longest: int | None = None) -> Input:
    """int32 tokens, `(batch, length)`, 0 where there is none."""
    return Input((None,), "int32", 0, vocabulary, outside=0, longest=longest)


def require_range(name: str, values: np.ndarray, described: Mapping) -> None:
    """Raise `InputError` for values outside of a range.

    Args:
        name: of the input.
        values: of any numeric type.
        described: what `Input.describe` says, or a manifest, of an older artifact too.
    """
    if values.dtype.kind not in "biuf":
        raise InputError(f"{name} must be numbers, not {values.ravel().tolist()[0]!r}")
    if "range" not in described:
        return
    low, high = described["range"]
    limit = described.get("limit", high - (described["dtype"] == "int32"))
    slack = 1e-5 if values.dtype.kind == "f" else 0  # of rounding
    within = described.get("within", f"at least {low} and at most {limit}")
    inside = (values >= low - slack * abs(low)) & (values <= limit + slack)
    wrong = values[~inside]
    require(not wrong.size, name, within, wrong[0].item() if wrong.size else None)
