"""Signatures: what a model serves, stated once.

`generate()`, the command line, export, verification and the tests all go through a
model's signatures, so what is tested is what ships.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np

from kerasgen.backend import is_jax, tensorflow_only
from kerasgen.errors import InputError


@dataclasses.dataclass(frozen=True)
class Input:
    """A named input of a signature, described without its batch axis.

    Args:
        shape: the shape of one row; None stands for a length that may vary.
        dtype: "float32", "int32" or "string".
        low, high: the range [low, high) that values lie in; examples for
            verification are drawn from it.
        default: the value used for every row where a caller gives none.
        within: the range in words, where [low, high) isn't how one says it.
    """

    shape: tuple = ()
    dtype: str = "float32"
    low: float = 0.0
    high: float = 1.0
    default: float | None = None
    within: str | None = None

    def example(self, batch: int, rng: np.random.Generator, length: int) -> np.ndarray:
        """Random values in range, of shape `(batch, *shape)`."""
        shape = (batch, *(length if size is None else size for size in self.shape))
        if self.dtype == "int32":
            return rng.integers(int(self.low), int(self.high), shape, dtype="int32")
        return rng.uniform(self.low, self.high, shape).astype(self.dtype)


def images(image_shape) -> Input:
    """float32 images in [0, 1], `(batch, height, width, channels)`."""
    return Input(tuple(image_shape))


def latents(size: int) -> Input:
    """float32 latent vectors, `(batch, size)`."""
    return Input((size,), low=-2.0, high=2.0)


def seed() -> Input:
    """int32 seeds, one a row, `(batch,)`."""
    return Input((), "int32", low=-(2**31), high=2**31)


def label(classes: int) -> Input:
    """int32 labels, `(batch,)`; -1 asks for no particular class."""
    return Input((), "int32", low=-1, high=classes, default=-1)


class Signature:
    """A pure tensor function `dict -> dict` with named, typed, batched inputs.

    Every input and output has the batch as its first axis, and row i of the outputs
    depends on row i of the inputs only, so servers may batch requests freely.

    Args:
        function: takes the inputs as keyword tensors, returns a dict of tensors.
        inputs: name -> `Input`, in order.
        outputs: the names of the outputs.
        tolerance: largest absolute difference between runtimes that still counts as
            equal; after a whole sampling loop rounding adds up.
        examples: (batch, random generator, length) -> values of some inputs that are
            more like real ones than random numbers are.
        only: the one format that it is exported to, None for all; and why.
        variables: what the function reads, as JAX compiles pure functions only.
        int8: export to ONNX with weights of 8 bits too, for less memory.
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
    ):
        both = sorted(set(inputs) & set(outputs))
        if both:
            raise InputError(f"{both[0]!r} names an input and an output: rename one")
        self.function = function
        self.inputs = dict(inputs)
        self.outputs = tuple(outputs)
        self.tolerance, self.examples = tolerance, examples
        self.only, self.why, self.int8 = only, why, int8
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
            InputError: on a missing or unknown input, or a wrong shape; for strings
                on JAX, which has none.
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
        rows = len(next(iter(values.values()))) if values else 0
        arrays = {}
        for name, entry in self.inputs.items():
            value = values.get(name)
            if value is None and entry.default is None:
                raise InputError(f"input {name!r} is missing")
            if value is None:
                value = np.full((rows, *entry.shape), entry.default)
            array = np.asarray(value)
            if entry.dtype != "string":
                array = array.astype(entry.dtype)
            wanted = (rows, *entry.shape)
            fits = array.ndim == len(wanted) and all(
                size in (None, got)
                for size, got in zip(wanted, array.shape, strict=True)
            )
            if not fits:
                raise InputError(
                    f"input {name!r} must have shape {wanted}, not {array.shape}"
                )
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
            "inputs": {
                name: {
                    "shape": [None, *entry.shape],
                    "dtype": entry.dtype,
                    "range": [entry.low, entry.high],
                    **({} if entry.default is None else {"default": entry.default}),
                    **({} if entry.within is None else {"within": entry.within}),
                }
                for name, entry in self.inputs.items()
            },
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
