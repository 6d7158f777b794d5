"""Inputs of signatures: their types, ranges and examples, said once for what they are.

The functions take a model and give its `Input`, or None where it has none; they stand
beside the names of parameters in `kerasgen.signature.served`.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from keras import ops

from kerasgen.errors import InputError, require

DTYPES = ("float32", "int32", "string")


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
    Raises:
        InputError: for another dtype, or an empty range or a default outside of it.
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

    def __post_init__(self):
        known = self.dtype in DTYPES
        require(known, "dtype of an input", " or ".join(DTYPES), self.dtype)
        for name in ("low", "default"):
            value, limit = getattr(self, name), self.limit
            if value is not None and limit is not None:
                within = f"at most {limit}, the largest value of its input"
                require(value <= limit, name, within, value)
        if self.default is not None and self.low is not None:
            within = f"at least {self.low}, the least value of its input"
            require(self.default >= self.low, "default", within, self.default)

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


def choice(*values, **about) -> Input:
    """A float32 or int32 a row, for which these are examples."""
    entry = Input(**about)

    def examples(batch, rng, length):
        return rng.choice(values, batch).astype(entry.dtype)

    return dataclasses.replace(entry, examples=examples)


def prompt(model) -> Input:
    """int32 tokens, `(batch, length)`, 0 where there is none.

    Examples are right-padded, and begin as the model's texts do; the first is full.
    """

    def examples(batch, rng, length):
        ids = rng.integers(2, model.tokenizer.size, (batch, length), dtype="int32")
        ids[:, : len(model.codec.start)] = model.codec.start
        lengths = rng.integers(1, length + 1, batch)
        lengths[0] = length
        return ids * (np.arange(length) < lengths[:, None])

    size = model.tokenizer.size
    return Input((None,), "int32", 0, size, outside=0, examples=examples)


def token_ids(model) -> Input:
    """As `prompt`, of which the model reads the first `context` tokens."""
    return dataclasses.replace(prompt(model), longest=model.context)


def text(model) -> Input:
    """Strings, `(batch,)`."""

    def examples(batch, rng, length):
        texts = model.codec.texts(prompt(model).examples(batch, rng, length))
        return np.array([text.encode() for text in texts], "S")

    return Input((), "string", examples=examples)


def sampling(model) -> dict[str, Input]:
    """How tokens are drawn, one a row; see `kerasgen.decoding.sample`."""
    heat = {"low": 0.0, "high": 100.0, "default": model.temperature}
    share = {"low": 1e-6, "high": 1.0, "default": 1.0}
    count, most = {"dtype": "int32", "low": 0}, model.max_new_tokens_limit
    new = {"high": most + 1, "default": model.max_new_tokens}
    return {
        "seed": seed(),
        "temperature": choice(0.0, 0.7, 1.0, **heat),
        "top_k": choice(0, 3, 10, **count, default=0),
        "top_p": choice(0.8, 1.0, **share, within="above 0 and at most 1"),
        "max_new_tokens": choice(*range(1, min(most, 12) + 1), **count, **new),
    }


def last_token(model) -> Input:
    """The token that was written last: int32 `(batch, 1)`."""
    return Input((1,), "int32", 0, model.tokenizer.size, outside=0)


def position(model=None) -> Input:
    """Where it stands, int32 `(batch, 1)`: examples are after all that came before."""

    def examples(batch, rng, length):
        return np.full((batch, 1), length, "int32")

    return Input((1,), "int32", 0, examples=examples)


def mask(model=None) -> Input:
    """1 where there is a token, and 0 where there is none: int32 `(batch, length)`. In
    examples the first is there: no text is empty."""

    def examples(batch, rng, length):
        seen = rng.integers(0, 2, (batch, length), dtype="int32")
        seen[:, 0] = 1
        return seen

    return Input((None,), "int32", 0, 2, examples=examples)


def mask_with_last(model=None) -> Input:
    """As `mask`, of what came before and one more token; in examples all are there."""

    def examples(batch, rng, length):
        return np.ones((batch, length + 1), "int32")

    return dataclasses.replace(mask(model), examples=examples)


def require_range(name: str, values: np.ndarray, described: Mapping) -> None:
    """Raise `InputError` for values outside of a range.

    Args:
        name: of the input.
        values: of any numeric type.
        described: what `Input.describe` says, or a manifest, of an older artifact too.
    """
    if values.dtype.kind not in "biuf":
        raise InputError(f"{name} must be numbers, not {values.ravel().tolist()[0]!r}")
    if described["dtype"] == "int32" and values.dtype.kind == "f":
        parts = values[values != np.floor(values)]
        whole, wrong = "a whole number", parts[0].item() if parts.size else None
        require(not parts.size, name, whole, wrong)
    if "range" not in described:
        return
    low, high = described["range"]
    limit = described.get("limit", high - (described["dtype"] == "int32"))
    slack = 1e-5 if values.dtype.kind == "f" else 0  # of rounding
    within = described.get("within", f"at least {low} and at most {limit}")
    inside = (values >= low - slack * abs(low)) & (values <= limit + slack)
    wrong = values[~inside]
    require(not wrong.size, name, within, wrong[0].item() if wrong.size else None)
