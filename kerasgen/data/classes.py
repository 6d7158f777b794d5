"""Classes of data: their names, and the labels 0, 1, … that stand for them."""

from collections.abc import Sequence

import numpy as np

from kerasgen.errors import InputError, require, unknown


def together(parts: Sequence[list[str]]) -> list[str]:
    """The names of the classes of several sources: all of them, in order."""
    same = all(names == parts[0] for names in parts)
    return parts[0] if parts and same else sorted(set().union(*parts))


def renumbered(y, before: list[str], after: list[str]):
    """Labels that count the names `before`, as ones that count `after`; -1 is none."""
    if y is None or not before:
        return y
    numbers = np.array([after.index(name) for name in before] + [-1], "int32")
    return numbers[y]


def checked(wanted, data, needed: bool = False) -> int:
    """The number of classes of a model, checked against the labels of its data.

    Args:
        wanted: that number, 0 for a model without labels, or "auto" for the data's.
        data: a `kerasgen.data.Data`.
        needed: the model can't do without labels.
    Raises:
        InputError: if the data has a label that the model hasn't, or no labels.
    """
    found = _count(data)
    count = found if wanted == "auto" else wanted
    whole = isinstance(count, int) and not isinstance(count, bool) and count >= 0
    require(whole, "model.classes", "a whole number of at least 0, or auto", wanted)
    for split, examples in data.splits.items() if count or needed else ():
        if examples.y is None:
            raise InputError(
                f"model.classes is {wanted}, and the {split} data has no labels: put "
                "each class in a folder of its own"
                + ("" if needed else ", or set model.classes=0")
            )
        largest = int(examples.y.max())
        if largest >= count:
            name = f" ({data.label_names[largest]})" if data.label_names else ""
            raise InputError(
                f"the {split} data has the label {largest}{name}, but labels are from "
                f"0 to {count - 1} where model.classes is {count}: set it to {found}, "
                "or to auto"
            )
    return count


def unlike(data, count: int) -> list[str]:
    """Lines for the user of a model with that number of classes: which labels train
    nothing."""
    found = _count(data)
    if found and not count:
        return [
            f"the labels of {found} classes are not used, as model.classes is 0: "
            f"set it to {found}, or to auto"
        ]
    if found < count:
        return [
            f"the data has {found} classes, and model.classes is {count}: nothing is "
            f"learned of the labels from {found} on; set it to {found}, or to auto"
        ]
    return []


def number(label: str, names: Sequence[str], count: int) -> int:
    """The label that is given by the name of its class, or as a number.

    Args:
        label: a name, or the text of a number; "-1" is no class.
        names: of the classes 0, 1, …, as far as they are known.
        count: the number of classes.
    Raises:
        InputError: for an unknown name, or a number that is out of range.
    """
    if label in names:
        return names.index(label)
    try:
        value = int(label)
    except ValueError:
        if names:
            raise unknown("label", label, names) from None
        value = label
    within = f"from 0 to {count - 1}, or -1 for none"
    if names:
        within = f"the name of a class, or a number {within}"
    known = isinstance(value, int) and -1 <= value < count
    require(known, "label", within, value)
    return value


def _count(data) -> int:
    """The number of classes of the data; 0 for none."""
    if data.label_names:
        return len(data.label_names)
    ys = [s.y for s in data.splits.values() if s.y is not None and s.y.ndim == 1]
    return max((int(y.max()) + 1 for y in ys if y.dtype.kind in "iu"), default=0)
