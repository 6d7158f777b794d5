"""Which backend Keras runs on: TensorFlow, or JAX for models and their training."""

import importlib.util
import os
import sys

from kerasgen.errors import InputError, unknown
from kerasgen.extras import need

BACKENDS = ("tensorflow", "jax")


def choose(name: str) -> None:
    """Have Keras run on this backend; before it is imported.

    Raises:
        InputError: if it runs on another one, or the backend isn't installed.
    """
    if importlib.util.find_spec(name) is None:
        need(name)
    if "keras" in sys.modules and current() != name:
        raise InputError(f"Keras runs on {current()} here: set KERAS_BACKEND={name}")
    os.environ["KERAS_BACKEND"] = name


def current() -> str:
    """The backend that Keras runs on.

    Raises:
        InputError: if kerasgen doesn't.
    """
    import keras

    name = keras.backend.backend()
    if name not in BACKENDS:
        raise unknown("backend of kerasgen", name, BACKENDS)
    return name


def is_jax() -> bool:
    """Whether Keras runs on JAX."""
    return current() == "jax"


def tensorflow_only(what: str, instead: str = "") -> InputError:
    """The error for what JAX hasn't; `instead` is what to do there."""
    other = f", or {instead}" if instead else ""
    return InputError(
        f"{what} needs the TensorFlow backend: set KERAS_BACKEND=tensorflow{other}"
    )


def require_tensorflow(what: str) -> None:
    """Raise `InputError` on any other backend."""
    if is_jax():
        raise tensorflow_only(what)
