"""LiteRT (TensorFlow Lite), for phones and small devices: one file a signature."""

from pathlib import Path

import tensorflow as tf

from kerasgen.quiet import quiet


def convert(savedmodel: Path, signature: str) -> bytes:
    """One signature of a SavedModel, with built-in operations only."""
    with quiet():
        converter = tf.lite.TFLiteConverter.from_saved_model(
            str(savedmodel), signature_keys=[signature]
        )
        return converter.convert()


def write(savedmodel: Path, signatures, folder: Path, budget: int) -> dict[str, str]:
    """Write `folder`/<signature>.tflite; -> signature -> reason, where it can't be.

    A file that would bring `folder` above `budget` bytes is left out, reason "size".
    """
    folder.mkdir()
    unsupported = {}
    for name in signatures:
        try:
            content = convert(savedmodel, name)
        except Exception as error:  # the converter raises all kinds
            unsupported[name] = " ".join(str(error).split())[:300]
            continue
        if len(content) > budget:
            unsupported[name] = "size"
            continue
        budget -= len(content)
        (folder / f"{name}.tflite").write_bytes(content)
    return unsupported
