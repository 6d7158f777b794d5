"""Models: one file each. Importing this package registers every class with Keras."""

import importlib
import inspect
import pkgutil

from kerasgen.data import classes
from kerasgen.errors import InputError, unknown
from kerasgen.models.base import GenerativeModel, Model, Phase
from kerasgen.recipe import Recipe

__all__ = ["GenerativeModel", "Model", "Phase", "create"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def create(recipe: Recipe, data) -> Model:
    """The model of a recipe, with fresh weights.

    Args:
        recipe: its family names the class, its `model` has the values.
        data: the `kerasgen.data.Data` that it is for.
    Raises:
        InputError: for an unknown family or value, or one that is out of range, and
            for data whose labels don't go with the model's classes.
    """
    if recipe.family not in Model.families:
        raise unknown("family", recipe.family, Model.families)
    kind = Model.families[recipe.family]
    values = recipe.model | kind.arguments(recipe, data)
    signature = inspect.signature(kind.__init__)
    try:
        signature.bind(None, **values)
    except TypeError as error:
        raise InputError(f"model: {error}") from error
    known = signature.parameters.get("classes")
    if known:
        wanted = values.get("classes", known.default)
        needed = known.default is known.empty
        values["classes"] = classes.checked(wanted, data, needed)
    options = {"ema_decay": recipe.train.ema_decay, "dtype": recipe.train.precision}
    return kind(**values, **options)
