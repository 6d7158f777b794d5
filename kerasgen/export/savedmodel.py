"""SavedModel, for TF Serving and every TensorFlow."""

import json
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from kerasgen.errors import InputError
from kerasgen.export import reproducible
from kerasgen.models.base import Model
from kerasgen.quiet import quiet

DEFAULT = "serving_default"  # what servers answer if no signature is named
INIT = "__saved_model_init_op"  # TensorFlow's own: it fills tables


def write(model: Model, path: Path) -> None:
    """Write every signature of `model`; the first is `serving_default` too."""
    functions = {
        name: tf.function(
            signature.positional(), input_signature=signature.specs(), autograph=False
        ).get_concrete_function()
        for name, signature in model.signatures().items()
        if signature.serves("savedmodel")
    }
    if not functions:
        raise InputError(f"no signature of {type(model).__name__} is for savedmodel")
    read = {id(v): v for function in functions.values() for v in function.variables}
    module = tf.Module()
    module.weights = [
        read.pop(id(v.value)) for v in model.variables if id(v.value) in read
    ]
    module.others = list(read.values())  # what operations.py says is not to be there
    if hasattr(model, "codec"):
        module.resources = model.codec.tokenizer.resources()
    first = next(iter(functions.values()))
    served = {**functions, DEFAULT: first}
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    with quiet():
        tf.saved_model.save(module, str(path), signatures=served, options=options)
    reproducible.settle_savedmodel(path)


def endpoints(path: Path) -> dict:
    """Signature -> {"inputs": {name: tensor}, "outputs": {name: tensor}} of a file."""
    return {
        name: {
            "inputs": {key: value.name for key, value in definition.inputs.items()},
            "outputs": {key: value.name for key, value in definition.outputs.items()},
        }
        for name, definition in _signatures(path).items()
    }


def specs(path: Path) -> dict:
    """Signature -> ({input: (dtype, shape)}, {outputs}), with None for an open axis."""
    return {
        name: (
            {k: _spec(v) for k, v in definition.inputs.items()},
            {*definition.outputs},
        )
        for name, definition in _signatures(path).items()
        if name != INIT
    }


def _signatures(path: Path):
    content = (path / "saved_model.pb").read_bytes()
    return saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].signature_def


def _spec(info) -> tuple:
    """(dtype, shape) of a TensorInfo."""
    shape = (None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
    return tf.dtypes.as_dtype(info.dtype).name, tuple(shape)


def write_endpoints(folder: Path) -> None:
    """The tensor names of `folder`/1, for `runtimes.tensorflow_c`."""
    text = json.dumps(endpoints(folder / "1"))
    (folder / "endpoints.json").write_text(text)
