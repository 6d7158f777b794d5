"""LiteRT (TensorFlow Lite), for phones and small devices: one file a signature."""

import tempfile
from pathlib import Path

import tensorflow as tf

from kerasgen.quiet import quiet


def convert(savedmodel: Path, signature: str, int8: bool = False) -> bytes:
    """One signature of a SavedModel, with built-in operations only.

    `int8` stores large weights as 8-bit integers, a scale a channel; the rest stays
    float32 (dynamic-range quantisation).
    """
    with quiet():
        converter = tf.lite.TFLiteConverter.from_saved_model(
            str(savedmodel), signature_keys=[signature]
        )
        if int8:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        return converter.convert()


def write(savedmodel: Path, signatures, folder: Path, budget: int) -> dict[str, str]:
    """Write `folder`/<signature>.tflite; -> signature -> reason, where it can't be.

    A file that would bring `folder` above `budget` bytes is left out, reason "size".
    With each goes `<signature>.int8.tflite`, where it is much smaller.
    """
    folder.mkdir()
    unsupported = {}
    loaded = tf.saved_model.load(str(savedmodel))
    for name in signatures:
        try:
            # By itself: the converter reads all of a file, for every signature.
            with tempfile.TemporaryDirectory() as alone:
                _write_alone(loaded.signatures[name], name, alone)
                content = convert(Path(alone), name)
                small = convert(Path(alone), name, int8=True)
        except Exception as error:  # the converter raises all kinds
            unsupported[name] = " ".join(str(error).split())[:300]
            continue
        if len(content) > budget:
            unsupported[name] = "size"
            continue
        budget -= len(content)
        (folder / f"{name}.tflite").write_bytes(content)
        if len(small) < min(budget, 0.6 * len(content)):
            budget -= len(small)
            (folder / f"{name}.int8.tflite").write_bytes(small)
    if not any(folder.iterdir()):
        folder.rmdir()
    return unsupported


def _write_alone(function, name: str, path: str) -> None:
    """A SavedModel of one signature of a loaded one."""
    module = tf.Module()
    module.function, module.read = function, list(function.variables)
    with quiet():
        tf.saved_model.save(module, path, signatures={name: function})
