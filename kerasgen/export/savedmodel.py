"""SavedModel, for TF Serving and every TensorFlow."""

import json
from pathlib import Path

import keras
from tensorflow.core.protobuf import saved_model_pb2

from kerasgen.models.base import Model


def write(model: Model, path: Path) -> None:
    """Write every signature of `model`; the first is `serving_default` too."""
    archive = keras.export.ExportArchive()  # finds variables; track() stores them twice
    for resource in (
        model.codec.tokenizer.resources() if hasattr(model, "codec") else ()
    ):
        archive.track(resource)
    served = {k: s for k, s in model.signatures().items() if s.serves("savedmodel")}
    for i, (name, signature) in enumerate(served.items()):
        for key in [name] if i else [name, "serving_default"]:
            archive.add_endpoint(key, signature.positional(), signature.specs())
    archive.write_out(str(path), verbose=False)


def endpoints(path: Path) -> dict:
    """Signature -> {"inputs": {name: tensor}, "outputs": {name: tensor}} of a file."""
    saved = saved_model_pb2.SavedModel.FromString(
        (path / "saved_model.pb").read_bytes()
    )
    return {
        name: {
            "inputs": {key: value.name for key, value in definition.inputs.items()},
            "outputs": {key: value.name for key, value in definition.outputs.items()},
        }
        for name, definition in saved.meta_graphs[0].signature_def.items()
    }


def write_endpoints(folder: Path) -> None:
    """The tensor names of `folder`/1, for `runtimes.tensorflow_c`."""
    text = json.dumps(endpoints(folder / "1"))
    (folder / "endpoints.json").write_text(text)
