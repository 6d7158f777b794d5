"""kerasgen: generative models for TensorFlow and Keras 3 that train right and ship.

Names are imported when they are first used, so that `import kerasgen` is quick.
"""

import ast
import importlib
from pathlib import Path

__version__ = "0.1.0"

_FUNCTIONS = {
    "InputError": "kerasgen.errors",
    "RunError": "kerasgen.errors",
    "Recipe": "kerasgen.recipe",
    "GenerativeModel": "kerasgen.models.base",
    "Model": "kerasgen.models.base",
    "Phase": "kerasgen.models.base",
    "Signature": "kerasgen.signature",
    "list_recipes": "kerasgen.catalog",
    "load": "kerasgen.loading",
    "verify": "kerasgen.export.verify",
}


_MODELS = Path(__file__).parent / "models"


def __getattr__(name: str):
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    # A model's class is in the file of its name: VAE in models/vae.py.
    if name[:1].isupper():
        from kerasgen.conventions import family_name

        family = family_name(name)
        if (_MODELS / f"{family}.py").is_file():
            return getattr(importlib.import_module(f"kerasgen.models.{family}"), name)
    raise AttributeError(f"module 'kerasgen' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names: those above, and the class of each model's file."""
    from kerasgen.conventions import family_name

    classes = (
        node.name
        for path in _MODELS.glob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and family_name(node.name) == path.stem
    )
    return sorted({"__version__", *_FUNCTIONS, *classes})
