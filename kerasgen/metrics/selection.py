"""Whether a model's epoch was chosen on the examples that it is judged by."""

import re

from kerasgen.models.base import Model
from kerasgen.recipe import Recipe


def chosen_on(model: Model, recipe: Recipe, split: str) -> list[str]:
    """A line that says so; none where no epoch was chosen, or on other examples.

    Args:
        model: what is judged.
        recipe: what it was trained by.
        split: the name of the split that judges it.
    """
    if (recipe.train.monitor or model.monitor) is None:
        return []
    if split == "validation":
        return ["the epoch was chosen on these examples"]
    if not isinstance(recipe.data, dict) or "validation" not in recipe.data:
        return []
    held, judged = recipe.data["validation"], recipe.data.get(split)
    if held == judged:
        return ["the epoch was chosen on these examples"]
    if overlap(str(held), str(judged)):
        return [f"the epoch was chosen on a part of these examples, {held}"]
    return []


def overlap(source: str, other: str) -> bool:
    """Whether two sources, `KIND:NAME` or `KIND:NAME[SPLIT+…]`, share examples."""
    (name, splits), (other_name, others) = _parts(source), _parts(other)
    if name != other_name:
        return False
    whole = not splits or not others
    return whole or any(_same(a, b) for a in splits for b in others)


def _parts(source: str) -> tuple[str, list[str]]:
    """`NAME[a+b]` -> its name, its splits."""
    name, wanted = re.fullmatch(r"([^\[]*)(?:\[(.*)\])?", source).groups()
    return name, wanted.split("+") if wanted else []


def _same(a: str, b: str) -> bool:
    """Whether splits overlap: `train` has all of `train[:90%]`; of two parts of one
    split only equal ones are known to."""
    return a == b or a == b.partition("[")[0] or b == a.partition("[")[0]
