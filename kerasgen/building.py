"""Building: the model of a recipe, for its data."""

import inspect
from collections.abc import Callable

import numpy as np

from kerasgen import tokenizers
from kerasgen.data import Data, classes
from kerasgen.errors import InputError, unknown
from kerasgen.models import Model
from kerasgen.recipe import Recipe


def create(recipe: Recipe, data: Data) -> Model:
    """The model of a recipe, with fresh weights.

    Args:
        recipe: its family names the class, its `model` has the values.
        data: what it is for; it prescribes the arguments in `PRESCRIBED`.
    Raises:
        InputError: for an unknown family or value, or one that is out of range, and
            for data whose labels don't go with the model's classes.
    """
    if recipe.family not in Model.families:
        raise unknown("family", recipe.family, Model.families)
    kind = Model.families[recipe.family]
    signature = inspect.signature(kind.__init__)
    asked = [name for name in PRESCRIBED if name in signature.parameters]
    values = dict(recipe.model)
    values |= {name: PRESCRIBED[name](kind, values, data) for name in asked}
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


def _image_shape(kind, values, data):
    return data["train"].x.shape[1:]


def _labels(kind, values, data):
    return data.label_names


def _tokenizer(kind, values, data):
    """Made for the training texts, of all sides that the model reads or writes; of
    characters for all texts: what test texts are written in is no secret."""
    spec = values.get("tokenizer", kind.default_tokenizer)
    sides = ("x", "y") if kind.writes == "y" else ("x",)
    splits = data.splits.values()
    if "y" in sides and any(s.y is None or s.y.dtype != object for s in splits):
        raise InputError(f"a {kind.__name__} needs pairs of texts, as of pairs:SRC,DST")
    splits = splits if spec == "characters" else [data["train"]]
    texts = [getattr(split, side) for split in splits for side in sides]
    return tokenizers.trained(spec, np.concatenate(texts))


# Argument of a constructor -> what the data of a recipe prescribes.
PRESCRIBED: dict[str, Callable] = {
    "image_shape": _image_shape,
    "tokenizer": _tokenizer,
    "labels": _labels,
}
