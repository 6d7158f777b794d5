"""What Python, recipes and the command line agree on; no TensorFlow needed."""

import re

FORMATS = ("savedmodel", "onnx", "litert")  # that a model is exported to
MOST_SAMPLES = 1_000_000  # drawn in one call, whose result holds them all


def same(cls: type, other: type) -> bool:
    """Whether two classes are one, perhaps defined again, as in a notebook."""
    return all(
        getattr(cls, k) == getattr(other, k) for k in ("__module__", "__qualname__")
    )


def family_name(name: str) -> str:
    """The family of a class: "LanguageModel" -> "language_model", "VAE" -> "vae"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
