"""Sources and the stream."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from kerasgen import data
from kerasgen.data import Split
from kerasgen.data.examples import examples
from kerasgen.data.holding import completed
from kerasgen.data.stream import once, stream
from kerasgen.errors import InputError

needs_mnist = pytest.mark.skipif(
    "TFDS_DATA_DIR" not in os.environ, reason="TFDS_DATA_DIR is not set"
)


def test_digits_are_split_90_5_5(digits):
    sizes = {name: len(split) for name, split in digits.splits.items()}
    assert sizes == {"train": 1619, "validation": 89, "test": 89}
    assert digits["train"].x.dtype == "uint8" and digits["train"].x.max() == 255
    whole = np.concatenate([split.x for split in digits.splits.values()])
    original = data.load_splits("bundled:digits", None)[0]["train"].x
    assert sorted(map(bytes, whole)) == sorted(map(bytes, original))


def test_digits_come_larger_too():
    assert data.load("bundled:digits", (28, 28, 1))["test"].x.shape == (89, 28, 28, 1)


@needs_mnist
@pytest.mark.data
def test_mnist_validation_comes_from_train_alone():
    mnist = data.load("tfds:mnist")
    sizes = {name: len(split) for name, split in mnist.splits.items()}
    assert sizes == {"train": 57_000, "validation": 3_000, "test": 10_000}
    test = {bytes(image) for image in mnist["test"].x}
    held = [bytes(image) for image in mnist["validation"].x]
    assert not test & set(held)
    assert mnist.label_names == [str(i) for i in range(10)]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(12):
            picture = rng.integers(0, 256, (20, 30, 3), dtype="uint8")
            Image.fromarray(picture).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_folders_are_cropped_resized_and_labelled(folder):
    loaded = data.load(f"folder:{folder}", (16, 16, 1))
    assert loaded.label_names == ["cat", "dog"]
    assert loaded["train"].x.shape == (22, 16, 16, 1)
    labels = np.concatenate([split.y for split in loaded.splits.values()])
    assert np.bincount(labels).tolist() == [12, 12]


def test_crops_are_central():
    picture = np.zeros((10, 30, 1), "uint8")
    picture[:, 10:20] = 255
    from kerasgen.data.images import _fit

    assert _fit(picture[None], (10, 10, 1)).min() == 255


@pytest.mark.parametrize("n", [*range(22, 400, 7), 1797, 60_000])
def test_5_percent_are_held_out_unless_told(n):
    """As many as ever, so that test examples stay test examples."""
    splits, _ = completed({"train": numbers(n)}, 0, 0.05)
    held = max(1, n // 20)
    sizes = [len(splits[name]) for name in ("train", "validation", "test")]
    assert sizes == [n - 2 * held, held, held]


def test_how_much_is_held_out_is_set():
    loaded = data.load("bundled:digits", holdout=0.1)
    sizes = {name: len(split) for name, split in loaded.splits.items()}
    assert sizes == {"train": 1439, "validation": 179, "test": 179}
    assert loaded.notes == []
    splits, _ = completed({"train": numbers(100), "test": numbers(9)}, 0, 0.3)
    assert {k: len(s) for k, s in splits.items()} == {
        "train": 70,
        "validation": 30,
        "test": 9,
    }
    text = Split(np.array(["abcdefghij"], object))
    splits, _ = completed({"train": text}, 0, 0.2)
    assert [splits[k].x[0] for k in ("train", "validation", "test")] == [
        "abcdef",
        "gh",
        "ij",
    ]


def test_few_held_out_examples_are_said():
    _, notes = completed({"train": numbers(77)}, 0, 0.05)
    assert len(notes) == 1 and notes[0].startswith(
        "of 77 examples only 3 for validation and 3 for test are held out"
    )
    assert "input.holdout" in notes[0]
    _, notes = completed({"train": numbers(77), "test": numbers(5)}, 0, 0.05)
    assert "only 3 for validation are held out" in notes[0]
    assert completed({"train": numbers(400)}, 0, 0.05)[1] == []


@pytest.mark.parametrize("holdout", [0.0, 1.0, -0.1, 5.0, float("nan")])
def test_what_is_no_share_is_refused(holdout):
    with pytest.raises(InputError, match="input.holdout must be above 0 and below 1"):
        data.load("bundled:digits", holdout=holdout)


@pytest.mark.parametrize("x", [np.zeros((10, 2, 2, 1)), np.array(["a b"], object)])
def test_something_is_left_to_train_on(x):
    with pytest.raises(InputError, match=r"too few to train on, where 0.5 of them"):
        completed({"train": Split(x)}, 0, 0.5)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("mnist", "unknown data source"),
        ("http:x", "unknown data source"),
        ("bundled:digit", "did you mean digits"),
        ("folder:/nowhere/at/all", "no data at"),
        ("tfds:no_such_set", "has no 'no_such_set'"),
    ],
)
def test_bad_sources_get_one_line(source, message):
    with pytest.raises(InputError, match=message) as caught:
        data.load(source)
    assert "\n" not in str(caught.value)


def test_empty_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="no pictures below"):
        data.load(f"folder:{tmp_path}")


def test_files_are_found_below_the_data_folder(folder, monkeypatch):
    monkeypatch.setenv("KERASGEN_DATA_DIR", str(folder))
    assert len(data.load("folder:cat", (8, 8, 3))["train"]) == 10


def numbers(n):
    return Split(np.arange(n, dtype="uint8").reshape(n, 1, 1, 1), np.arange(n) % 3)


def seen(split, *arguments, **options):
    batches = [x.numpy().ravel() for x, *_ in stream(split, *arguments, **options)]
    return np.stack(batches)


def test_an_epoch_sees_every_example_once():
    order = seen(numbers(50), 10, 0, 0, 15).ravel()  # three epochs
    for epoch in range(3):
        part = order[epoch * 50 : (epoch + 1) * 50]
        assert sorted(part) == list(range(50))
    assert not np.array_equal(order[:50], order[50:100])


def test_epochs_need_not_be_whole_batches():
    order = seen(numbers(7), 4, 0, 0, 7).ravel()
    for epoch in range(4):
        assert sorted(order[epoch * 7 : (epoch + 1) * 7]) == list(range(7))


def test_the_stream_is_a_function_of_seed_and_step():
    whole = seen(numbers(50), 8, 3, 0, 20)
    np.testing.assert_array_equal(seen(numbers(50), 8, 3, 11, 20), whole[11:])
    assert not np.array_equal(seen(numbers(50), 8, 4, 0, 20), whole)


def test_the_end_of_a_stream_does_not_wait_for_a_tuner(digits):
    batches = stream(digits["train"], 20, 0, 0, 3)
    for dataset in (batches, once(digits["validation"], 20, 0)):
        assert dataset.options().autotune.enabled is False


def test_labels_stay_with_their_images():
    for x, y in stream(numbers(50), 8, 0, 0, 9):
        np.testing.assert_array_equal(x.numpy().ravel() % 3, y)


def test_binarisation_follows_the_grey_level_and_changes():
    split = Split(np.full((64, 28, 28, 1), 51, "uint8"))
    a, b = (x.numpy() for (x,) in stream(split, 64, 0, 0, 2, binarize=True))
    assert set(np.unique(a)) == {0.0, 1.0}
    np.testing.assert_allclose(a.mean(), 0.2, atol=0.01)
    assert not np.array_equal(a, b)
    fixed = [next(iter(once(split, 64, 0, True)))[0].numpy() for _ in range(2)]
    np.testing.assert_array_equal(*fixed)


def test_labels_go_to_models_that_may_take_them(small_images):
    split = data.Split(small_images, np.arange(50, dtype="int32") % 3)
    for classes, labelled in ((0, False), (3, True)):
        found = examples(SimpleNamespace(classes=classes), split)
        assert (found.y is not None) == labelled
    assert examples(SimpleNamespace(), split) is split  # one's own model, which sees
