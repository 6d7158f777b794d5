"""Folders: which pictures are of which split and class, and what is said of it."""

import numpy as np
import pytest
from PIL import Image

from kerasgen import data
from kerasgen.errors import InputError


def folder(path, *places):
    """Pictures of one grey each: those at place i have the grey i."""
    for grey, place in enumerate(places):
        (path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), grey).save(path / place)
    return f"folder:{path}"


def labels(source, split="train"):
    """Grey -> name of the class, of the pictures of a split."""
    found = data.load_splits(source, None)
    examples = found.splits[split]
    greys = examples.x[:, 0, 0, 0].tolist()
    if examples.y is None:
        return dict.fromkeys(greys)
    return dict(zip(greys, (found.label_names[i] for i in examples.y), strict=True))


def test_a_class_is_the_first_level(tmp_path):
    places = ("dog/a.png", "cat/2021/a.png", "cat/2022/b.png", "dog/2021/x/a.png")
    source = folder(tmp_path, *places)
    assert labels(source) == {0: "dog", 1: "cat", 2: "cat", 3: "dog"}
    assert (
        data.load_splits(source, None).notes[0] == f"{tmp_path}: 4 pictures, 2 classes"
    )


def test_a_stray_picture_is_skipped_and_named(tmp_path):
    source = folder(tmp_path, "cat/a.png", "dog/a.png", "stray.png")
    assert labels(source) == {0: "cat", 1: "dog"}
    (line,) = data.load_splits(source, None).notes
    assert line == (
        f"{tmp_path}: 2 pictures, 2 classes, 1 skipped: "
        "stray.png (beside the folders of classes)"
    )


def test_one_folder_is_no_class(tmp_path):
    source = folder(tmp_path, *(f"photos/{i}/a.png" for i in range(4)))
    loaded = data.load(source)
    assert loaded["train"].y is None and loaded.label_names == []
    assert "all are of one class, photos: they have no labels" in loaded.notes
    folder(tmp_path, "stray.png")
    assert labels(source) == dict.fromkeys(range(4))
    assert "5 pictures, no classes" in data.load_splits(source, None).notes[0]


@pytest.mark.parametrize("held", ["val", "valid", "validation", "Validation"])
def test_splits_are_folders(held, tmp_path):
    places = ("train/dog/a.png", f"{held}/cat/a.png", "test/dog/b.png", "loose/c.png")
    source = folder(tmp_path, *places, "train/cat/a.png")
    assert labels(source) == {0: "dog", 4: "cat"}
    assert labels(source, "validation") == {1: "cat"}
    assert labels(source, "test") == {2: "dog"}  # numbered as in training
    line = data.load_splits(source, None).notes[0]
    assert "4 pictures (2 train, 1 validation, 1 test), 2 classes, 1 skipped" in line
    assert "loose/c.png (in no split)" in line
    sizes = {key: len(split) for key, split in data.load(source).splits.items()}
    assert sizes == {"test": 1, "train": 2, "validation": 1}


def test_a_test_split_alone_is_kept_out_of_training(tmp_path):
    trained = [f"train/{i}.png" for i in range(9)]
    loaded = data.load(folder(tmp_path, *trained, "test/a.png"))
    assert (
        loaded["test"].x.max() == 9 == len(loaded["validation"]) + len(loaded["train"])
    )
    assert loaded["train"].x.max() < 9 and loaded["test"].y is None


def test_what_train_means(tmp_path):
    """Alone it is a split; beside other classes, one of them."""
    source = folder(tmp_path / "alone", "train/cat/a.png", "train/dog/a.png")
    assert labels(source) == {0: "cat", 1: "dog"}
    source = folder(tmp_path / "vehicles", "train/a.png", "car/a.png")
    assert labels(source) == {0: "train", 1: "car"}


@pytest.mark.parametrize("others", [(), ("cat/a.png",), ("val/a.png",)])
def test_splits_without_training_are_refused(others, tmp_path):
    source = folder(tmp_path, "test/a.png", *others)
    with pytest.raises(InputError, match=r"has test.*, but no train: put the rest"):
        data.load(source)


def test_a_split_of_which_nothing_is_read_is_not_made_up(tmp_path):
    source = folder(tmp_path, *(f"train/{i}.png" for i in range(9)))
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "a.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="has no examples in split 'test'"):
        data.load(source)


def test_sources_of_a_recipe_number_classes_together(tmp_path):
    a = folder(tmp_path / "a", "cat/a.png", "dog/a.png")
    b = folder(tmp_path / "b", "ant/a.png", "dog/a.png")
    only_dogs = folder(tmp_path / "c", "dog/a.png")
    loaded = data.load({"train": a, "valid": b, "test": only_dogs})
    assert loaded.label_names == ["ant", "cat", "dog"]
    assert loaded["train"].y.tolist() == [1, 2]
    assert loaded["validation"].y.tolist() == [0, 2]
    assert loaded["test"].y.tolist() == [2]
    assert all(str(tmp_path / name) in str(loaded.notes) for name in "abc")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "has no split 'train', but none at all"),
        ({"test": "bundled:digits"}, "has no split 'train', but test"),
        ({"trian": "bundled:digits"}, "unknown split 'trian': did you mean train"),
        (dict.fromkeys(("train", "val", "valid"), "bundled:digits"), "twice"),
    ],
)
def test_bad_splits_of_a_recipe_get_one_line(source, message):
    with pytest.raises(InputError, match=message):
        data.load(source)


def test_strict_refuses_what_is_skipped_otherwise(tmp_path):
    source = folder(tmp_path, *(f"{i}.png" for i in range(30)))
    (tmp_path / "10.png").write_bytes(b"no image")
    loaded = data.load(source)
    assert sum(len(split) for split in loaded.splits.values()) == 29
    assert "29 pictures, no classes, 1 skipped: 10.png (no picture" in loaded.notes[0]
    with pytest.raises(InputError, match=r"no file to be skipped: 10\.png"):
        data.load(source, strict=True)


def test_another_shape_is_said(tmp_path):
    for i, size in enumerate([(200, 300), (80, 60), (100, 100)]):
        picture = np.zeros((*size, 3), "uint8")
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    line = data.load(f"folder:{tmp_path}", (8, 8, 1)).notes[1]
    assert line == (
        f"{tmp_path}: pictures of [80, 60, 3] to [200, 300, 3] are read as [8, 8, 1], "
        "as input.image_shape says"
    )
    line = data.load(f"folder:{tmp_path}").notes[1]
    assert line.endswith("are read as [200, 300, 3], as the first one is")
    source = folder(tmp_path / "same", *(f"{i}.png" for i in range(60)))
    notes = data.load(source, [4, 4, 1], holdout=0.4).notes
    assert notes == [f"{tmp_path / 'same'}: 60 pictures, no classes"]
