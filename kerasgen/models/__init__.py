"""Models: one file each. Importing this package registers every class with Keras."""

import importlib
import pkgutil

from kerasgen.models.base import GenerativeModel, Model
from kerasgen.models.phase import Phase

__all__ = ["GenerativeModel", "Model", "Phase"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
