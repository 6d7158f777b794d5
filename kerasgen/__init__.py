"""kerasgen: generative models for TensorFlow and Keras 3 that train right and ship.

Names are imported when they are first used, so that `import kerasgen` is quick.
"""

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
    "list_recipes": "kerasgen.zoo",
    "load": "kerasgen.zoo",
    "verify": "kerasgen.export.verify",
}


def __getattr__(name: str):
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    # A model's class is in the file of its name: VAE in models/vae.py.
    if name[:1].isupper():
        from kerasgen.recipe import family_name

        family = family_name(name)
        if (Path(__file__).parent / "models" / f"{family}.py").is_file():
            return getattr(importlib.import_module(f"kerasgen.models.{family}"), name)
    raise AttributeError(f"module 'kerasgen' has no attribute {name!r}")
