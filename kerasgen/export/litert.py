"""LiteRT (TensorFlow Lite), for phones and small devices: one file of all signatures,
which share its weights."""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from kerasgen.export import runtimes
from kerasgen.quiet import quiet

SMALLER = 0.6  # times the exact file, at most, that one of smaller weights may have


def convert(savedmodel: Path, signatures: Sequence[str], int8: bool = False) -> bytes:
    """Signatures of a SavedModel, with built-in operations only.

    `int8` stores large weights as 8-bit integers, a scale a channel; the rest stays
    float32 (dynamic-range quantisation).
    """
    with tempfile.TemporaryDirectory() as part, quiet():
        # The converter reads all of a SavedModel, and stumbles over what it can't.
        _write_part(savedmodel, signatures, part)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            part, signature_keys=list(signatures)
        )
        if int8:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        return converter.convert()


def _write_part(savedmodel: Path, signatures: Sequence[str], path: str) -> None:
    """A SavedModel of some signatures of another, with the weights that they read."""
    loaded = tf.saved_model.load(str(savedmodel))
    module = tf.Module()
    module.functions = {name: loaded.signatures[name] for name in signatures}
    module.read = [v for f in module.functions.values() for v in f.variables]
    tf.saved_model.save(module, path, signatures=module.functions)


def write(savedmodel: Path, signatures: Sequence[str], artifact: Path) -> dict:
    """Write the LiteRT files of an artifact; -> signature -> reason, where it can't be.

    Beside the exact file goes one with weights of 8 bits, if it is much smaller.
    """
    content, unsupported = convertible(savedmodel, signatures)
    names = [name for name in signatures if name not in unsupported]
    if names:
        path = runtimes.path("litert", artifact)
        path.parent.mkdir()
        path.write_bytes(content)
        write_int8(savedmodel, names, artifact)
    return unsupported


def write_int8(savedmodel: Path, signatures: Sequence[str], artifact: Path) -> None:
    """Write the file with weights of 8 bits; or none, if it saves little."""
    path = runtimes.path("litert-int8", artifact)
    path.unlink(missing_ok=True)
    content = convert(savedmodel, signatures, int8=True) if signatures else b""
    exact = runtimes.path("litert", artifact).stat().st_size
    if 0 < len(content) < SMALLER * exact:
        path.write_bytes(content)


def convertible(savedmodel: Path, signatures: Sequence[str]) -> tuple[bytes, dict]:
    """The file of all signatures that can be converted, and signature -> reason of the
    others: one that can't would keep the rest from the file."""
    try:
        return convert(savedmodel, signatures), {}
    except Exception as error:  # the converter raises all kinds
        if len(signatures) == 1:
            return b"", {signatures[0]: _reason(error)}
    reasons = {}
    for name in signatures:
        reasons |= convertible(savedmodel, [name])[1]
    rest = [name for name in signatures if name not in reasons]
    return convert(savedmodel, rest) if rest else b"", reasons


def _reason(error: Exception) -> str:
    """An error of the converter, without functions, whose numbers are others each
    time."""
    return re.sub(r"@\w+", "", " ".join(str(error).split()))[:300]
