"""Signatures: what a model serves, stated once.

`generate()`, the command line, export, verification and the tests all go through a
model's signatures, so what is tested is what ships.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
from keras import ops

from kerasgen.backend import is_jax, tensorflow_only
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
    """

    shape: tuple = ()
    dtype: str = "float32"
    low: float | None = None
    high: float | None = None
    default: float | None = None
    outside: int | None = None
    longest: int | None = None
    within: str | None = None

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


def images(image_shape) -> Input:
    """float32 images in [0, 1], `(batch, height, width, channels)`."""
    return Input(tuple(image_shape), low=0.0, high=1.0)


def latents(size: int) -> Input:
    """float32 latent vectors, `(batch, size)`."""
    return Input((size,))


def seed() -> Input:
    """int32 seeds, one a row, `(batch,)`."""
    return Input((), "int32")


def label(classes: int) -> Input:
    """int32 labels, `(batch,)`; -1 asks for no particular class."""
    return Input((), "int32", low=-1, high=classes, default=-1, outside=-1)


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


class Signature:
    """A pure tensor function `dict -> dict` with named, typed, batched inputs.

    Every input and output has the batch as its first axis, and row i of the outputs
    depends on row i of the inputs only, so servers may batch requests freely.

    Args:
        function: takes the inputs as keyword tensors, returns a dict of tensors.
        inputs: name -> `Input`, in order.
        outputs: the names of the outputs.
        tolerance: largest difference between runtimes that still counts as equal, of
            values beyond 1 in proportion to their size; after a whole sampling loop
            rounding adds up.
        examples: (batch, random generator, length) -> values of some inputs that are
            more like real ones than random numbers are.
        only: the one format that it is exported to, None for all; and why.
        variables: what the function reads, as JAX compiles pure functions only.
        int8: export to ONNX with weights of 8 bits too, for less memory.
        loops: whether a row takes a whole loop of steps, and so perhaps seconds.
    Raises:
        InputError: if an input and an output share a name (ONNX can't hold that).
    """

    def __init__(
        self,
        function: Callable,
        inputs: Mapping[str, Input],
        outputs: tuple[str, ...],
        tolerance: float = 1e-4,
        examples: Callable | None = None,
        only: str | None = None,
        why: str = "",
        variables: Sequence = (),
        int8: bool = False,
        loops: bool = False,
    ):
        both = sorted(set(inputs) & set(outputs))
        if both:
            raise InputError(f"{both[0]!r} names an input and an output: rename one")
        self.function = function
        self.inputs = dict(inputs)
        self.outputs = tuple(outputs)
        self.tolerance, self.examples = tolerance, examples
        self.only, self.why, self.int8 = only, why, int8
        self.loops = loops
        self.variables = variables
        self._compiled = None

    def specs(self) -> list:
        """`tf.TensorSpec`s of the inputs, in order, with the batch axis open."""
        import tensorflow as tf

        return [
            tf.TensorSpec((None, *entry.shape), entry.dtype, name=name)
            for name, entry in self.inputs.items()
        ]

    def positional(self) -> Callable:
        """The function with positional arguments, in the order of `specs()`."""

        def function(*values):
            outputs = self.function(**dict(zip(self.inputs, values, strict=True)))
            if set(outputs) != set(self.outputs):
                declared = f"{sorted(self.outputs)} declared, {sorted(outputs)} given"
                raise RuntimeError(f"outputs differ from the signature's: {declared}")
            return outputs

        return function

    def __call__(self, **values) -> dict[str, np.ndarray]:
        """Compute on arrays; the compiled function is kept and takes any batch size.

        Raises:
            InputError: on a missing or unknown input, a wrong shape, or a value out of
                range; for strings on JAX, which has none.
        """
        arrays = self.check(values)
        if self._compiled is None:
            self._compiled = self._compile()
        outputs = self._compiled(*(arrays[name] for name in self.inputs))
        return {
            name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()
        }

    def _compile(self) -> Callable:
        if not is_jax():
            return by_tensorflow(self.positional(), self.specs())
        if any(entry.dtype == "string" for entry in self.inputs.values()):
            raise tensorflow_only("a signature of strings")
        return by_jax(self.positional(), self.variables)

    def check(self, values: Mapping) -> dict[str, np.ndarray]:
        """The values as arrays of the right dtypes, defaults filled in."""
        for name in values:
            if name not in self.inputs:
                expected = ", ".join(self.inputs)
                raise InputError(f"unknown input {name!r}: expected {expected}")
        for name, value in values.items():
            if np.ndim(value) == 0:
                raise InputError(f"input {name!r} has a value a row: give [{value!r}]")
        rows = len(next(iter(values.values()))) if values else 0
        arrays = {}
        for name, entry in self.inputs.items():
            value = values.get(name)
            if value is None and entry.default is None:
                raise InputError(f"input {name!r} is missing")
            if value is None:
                value = np.full((rows, *entry.shape), entry.default)
            array = np.asarray(value)
            wanted = (rows, *entry.shape)
            fits = array.ndim == len(wanted) and all(
                size in (None, got)
                for size, got in zip(wanted, array.shape, strict=True)
            )
            if not fits:
                raise InputError(
                    f"input {name!r} must have shape {wanted}, not {array.shape}"
                )
            if entry.dtype != "string":
                require_range(name, array, entry.describe())
                array = array.astype(entry.dtype)
            arrays[name] = array
        return arrays

    def example(self, batch: int, seed: int = 0, length: int = 8) -> dict:
        """Random inputs in range for `batch` rows, equal for equal arguments."""
        rng = np.random.default_rng([seed, batch, length])
        given = self.examples(batch, rng, length) if self.examples else {}
        return {
            name: given[name] if name in given else entry.example(batch, rng, length)
            for name, entry in self.inputs.items()
        }

    def serves(self, format: str) -> bool:
        """Whether it is exported to a format."""
        return self.only in (None, format)

    def describe(self) -> dict:
        """The signature as plain values, for manifests and cards."""
        return {
            "inputs": {name: entry.describe() for name, entry in self.inputs.items()},
            "outputs": list(self.outputs),
            "tolerance": self.tolerance,
            **({} if self.only is None else {"only": self.only}),
        }


def by_tensorflow(function: Callable, specs: list) -> Callable:
    """`function` as one graph for every batch size, from arrays to tensors."""
    import tensorflow as tf

    # The concrete function: TensorFlow would warn of "retracing" where a program uses
    # several signatures.
    graph = tf.function(function, input_signature=specs).get_concrete_function()
    return lambda *arrays: graph(*map(tf.convert_to_tensor, arrays))


def by_jax(function: Callable, variables: Sequence) -> Callable:
    """`function`, compiled anew for every shape, with variables as they are when it is
    called."""
    import jax

    @jax.jit
    def pure(state, arrays, named):
        pairs = zip(variables, state, strict=True)
        with keras.StatelessScope(state_mapping=pairs):
            return function(*arrays, **named)

    return lambda *arrays, **named: pure([v.value for v in variables], arrays, named)
