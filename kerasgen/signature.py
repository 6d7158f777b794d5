"""Signatures: what a model serves, stated once.

`generate()`, the command line, export, verification and the tests all go through a
model's signatures, so what is tested is what ships.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np

from kerasgen.backend import is_jax, tensorflow_only
from kerasgen.errors import InputError, require, require_within, unknown
from kerasgen.inputs import Input, require_range

LARGEST_TOLERANCE = 2e-3  # after a loop, or of numbers that have no bounds


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
            rounding adds up. At most 2e-3.
        only: "savedmodel" or "onnx", the one format that it is exported to; None for
            all; and why.
        variables: what the function reads, as JAX compiles pure functions only.
        int8: export to ONNX with weights of 8 bits too, for less memory.
        loops: whether a row takes a whole loop of steps, and so perhaps seconds.
        about: how it computes, in a line for the card.
        constants: what a client's own loop over signatures needs to know: name ->
            array, in manifest.json.
    Raises:
        InputError: if an input and an output share a name (ONNX can't hold that), or
            an option is out of range.
    """

    def __init__(
        self,
        function: Callable,
        inputs: Mapping[str, Input],
        outputs: tuple[str, ...],
        tolerance: float = 1e-4,
        only: str | None = None,
        why: str = "",
        variables: Sequence = (),
        int8: bool = False,
        loops: bool = False,
        about: str = "",
        constants: Mapping | None = None,
    ):
        both = sorted(set(inputs) & set(outputs))
        if both:
            raise InputError(f"{both[0]!r} names an input and an output: rename one")
        known = (None, "savedmodel", "onnx")
        require(only in known, "only", "savedmodel or onnx, or left out", only)
        require_within(0, LARGEST_TOLERANCE, tolerance=tolerance)
        self.function = function
        self.inputs = dict(inputs)
        self.outputs = tuple(outputs)
        self.tolerance, self.loops = tolerance, loops
        self.only, self.why, self.int8 = only, why, int8
        self.about, self.constants = about, dict(constants or {})
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
                raise InputError(f"outputs differ from the signature's: {declared}")
            for name, value in outputs.items():
                _require_rows(name, value.shape, values[0].shape[0])
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
            if entry.dtype == "string":
                first = array.ravel().tolist()[:1]
                require(array.dtype.kind in "OSU", name, "strings", first)
            else:
                require_range(name, array, entry.describe())
                array = array.astype(entry.dtype)
            arrays[name] = array
        return arrays

    def example(self, batch: int, seed: int = 0, length: int = 8) -> dict:
        """Random inputs in range for `batch` rows, equal for equal arguments."""
        rng = np.random.default_rng([seed, batch, length])
        return {
            name: entry.example(batch, rng, length)
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


def _require_rows(name: str, shape, rows: int | None) -> None:
    """Raise `InputError` unless an output has the batch as its first axis, of so many
    rows; None where that is open."""
    if getattr(shape, "rank", 0) is None:  # TensorFlow's, where it knows nothing
        return
    if len(shape) == 0 or shape[0] not in (None, rows):
        found = f"output {name!r} has shape {tuple(shape)}"
        raise InputError(f"{found}: its first axis must be the batch")


@dataclasses.dataclass(frozen=True)
class Served:
    """How a method of a model becomes one of its signatures; see `served`."""

    method: str
    inputs: Mapping[str, Callable]
    outputs: Sequence
    options: Mapping

    def of(self, model) -> "Signature":
        """The signature of one model."""
        entries = {}
        for name, make in self.inputs.items():
            entry = make(model)
            if isinstance(entry, Input):
                entries[name] = entry
            else:
                entries |= entry or {}
        outputs = []
        for name in self.outputs:
            outputs += [name] if isinstance(name, str) else name(model)
        method = getattr(model, self.method)
        what = f"{type(model).__name__}.{self.method}"
        try:
            inspect.signature(method).bind(**entries)
        except TypeError as error:
            names = ", ".join(entries)
            line = f"{what} can't take the inputs that it is served with ({names})"
            raise InputError(f"{line}: {error}") from error

        def function(**values):
            given = method(**values)
            if isinstance(given, dict):
                return given
            each = given if isinstance(given, (tuple, list)) else [given]
            if len(each) != len(outputs):
                names = ", ".join(outputs)
                line = f"{what} returns {len(each)} of the {len(outputs)} outputs"
                raise InputError(f"{line} that it is served with: {names}")
            return dict(zip(outputs, each, strict=True))

        options = {k: v(model) if callable(v) else v for k, v in self.options.items()}
        return model.signature(function, entries, outputs, **options)


def served(
    inputs: Mapping[str, Callable],
    outputs: Sequence,
    name: str | None = None,
    **options,
):
    """Decorator: a method of a model is what a signature computes.

    Args:
        inputs: parameter of the method -> function of the model to its `Input`
            (`kerasgen.inputs` has the usual ones); to None where such a model has none;
            or to a dict of several, which the method takes by their own names.
        outputs: the names of what the method returns, a tensor or as many in a tuple;
            or functions of the model to lists of names, where it returns a dict.
        name: of the signature, where it isn't the method's.
        **options: see `Signature`; `about` and `constants` may be functions of the
            model.
    Raises:
        InputError: for an option that signatures don't have.
    """
    known = [*inspect.signature(Signature).parameters][3:]
    for key in options:
        if key not in known:
            raise unknown("option of served", key, known)

    def mark(method):
        method.served = (
            name or method.__name__,
            Served(method.__name__, inputs, outputs, options),
        )
        return method

    return mark


def signatures_of(model) -> dict[str, "Signature"]:
    """Those of all methods that are `served`: a class's own first, then its bases'."""
    found = {}
    for kind in type(model).__mro__:
        for method in vars(kind).values():
            name, entry = getattr(method, "served", (None, None))
            if entry is not None and name not in found:
                found[name] = entry.of(model)
    return found


def by_tensorflow(function: Callable, specs: list) -> Callable:
    """`function` as one graph for every batch size, from arrays to tensors."""
    import tensorflow as tf

    # The concrete function: TensorFlow would warn of "retracing" where a program uses
    # several signatures.
    try:
        graph = tf.function(function, input_signature=specs).get_concrete_function()
    except Exception as error:  # AutoGraph tells errors at length
        while error.__context__ and not isinstance(error, InputError):
            error = error.__context__
        if isinstance(error, InputError):
            raise error from None
        raise
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
