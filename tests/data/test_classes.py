"""Classes of data: names, numbers, and a model's number of them."""

import numpy as np
import pytest

from kerasgen import recipe
from kerasgen.building import create
from kerasgen.data import Data, Split, classes
from kerasgen.errors import InputError

NAMES = ["cat", "dog", "eel"]


def labelled(*ys, names=NAMES):
    """Data of tiny images with these labels, a split each."""
    splits = zip(("train", "validation", "test"), ys, strict=False)
    splits = {
        name: Split(
            np.zeros((3, 4, 4, 1), "uint8"), None if y is None else np.array(y, "int32")
        )
        for name, y in splits
    }
    return Data(splits, [*names])


def test_names_of_several_sources_are_numbered_together():
    assert classes.together([["b", "a"], ["b", "a"]]) == ["b", "a"]
    assert classes.together([["b"], ["c", "a"]]) == ["a", "b", "c"]
    y = classes.renumbered(np.array([1, 0, -1]), ["b", "c"], ["a", "b", "c"])
    assert y.tolist() == [2, 1, -1]


def test_auto_takes_the_datas():
    assert classes.checked("auto", labelled([0, 1, 1])) == 3  # that it has names for
    assert classes.checked("auto", labelled([0, 4, 1], [5, 0, 0], names=())) == 6
    assert classes.checked("auto", labelled(None, names=())) == 0


@pytest.mark.parametrize(
    ("wanted", "data", "needed", "message"),
    [
        (
            2,
            labelled([0, 1, 0], [0, 2, 0]),
            False,
            r"the validation data has the label 2 \(eel\), but labels are from 0 to 1 "
            "where model.classes is 2: set it to 3, or to auto",
        ),
        (2, labelled([1, 2, 3], names=()), True, "has the label 3, but .* set it to 4"),
        (2, labelled(None, names=()), False, "no labels: .*or set model.classes=0"),
        (3, labelled([0, 1, 2], None), False, "the validation data has no labels"),
        ("auto", labelled(None, names=()), True, "no labels: .* a folder of its own$"),
        ("atuo", labelled([0, 1, 2]), False, "a whole number of at least 0, or auto"),
        (True, labelled([0, 1, 2]), False, "a whole number of at least 0, or auto"),
        (-1, labelled([0, 1, 2]), False, "a whole number of at least 0, or auto"),
    ],
)
def test_labels_must_go_with_the_model(wanted, data, needed, message):
    with pytest.raises(InputError, match=message):
        classes.checked(wanted, data, needed)


def test_labels_that_teach_nothing_are_said():
    data = labelled([0, 1, 2])
    (line,) = classes.unlike(data, 0)
    assert "labels of 3 classes are not used" in line and "auto" in line
    (line,) = classes.unlike(data, 10)
    assert "the data has 3 classes, and model.classes is 10" in line
    assert classes.unlike(data, 3) == []
    assert classes.unlike(labelled(None, names=()), 0) == []


SMALL = {
    "vae": {"latent_dim": 2},
    "gan": {"latent_dim": 2, "generator": "dense", "discriminator": "dense"},
    "ddpm": {"network": {"name": "convolutional", "widths": [4]}},
    "image_classifier": {"network": {"name": "convolutional", "widths": [4]}},
}


@pytest.mark.parametrize("family", SMALL)
def test_every_family_takes_auto(family):
    values = {"name": "x", "family": family, "data": "bundled:digits"}
    model = SMALL[family] | {"classes": "auto"}
    read = recipe.from_values(values | {"model": model})
    assert create(read, labelled([0, 1, 2])).classes == 3
    read = recipe.from_values(values | {"model": model | {"classes": 2}})
    with pytest.raises(InputError, match="has the label 2"):
        create(read, labelled([0, 1, 2]))


def test_a_label_is_a_name_or_a_number():
    assert classes.number("dog", NAMES, 3) == 1
    assert classes.number("2", NAMES, 3) == 2
    assert classes.number("-1", NAMES, 3) == -1
    assert classes.number("2", ["1", "2", "3"], 3) == 1  # a name, where it is one
    for wrong, message in (
        ("dgo", "unknown label 'dgo': did you mean dog"),
        ("3", "label must be the name of a class, or a number from 0 to 2, or -1 .* 3"),
        ("-2", "not -2"),
        ("-2147483649", "not -2147483649"),
        ("9" * 30, "not 9999"),
    ):
        with pytest.raises(InputError, match=message):
            classes.number(wrong, NAMES, 3)
    with pytest.raises(InputError, match="label must be from 0 to 2, .*, not 'dog'"):
        classes.number("dog", [], 3)
