"""Features: the networks that ship, a user's own, Inception without its weights."""

import hashlib
import os
import shutil

import keras
import numpy as np
import pytest

from kerasgen import data
from kerasgen.cli import main
from kerasgen.errors import InputError
from kerasgen.metrics import features


def test_bundled_classifiers_say_what_they_are():
    images = np.random.default_rng(0).integers(0, 256, (7, 28, 28, 1), dtype="uint8")
    for name in ("mnist", "fashion_mnist"):
        extract = features.extractor(name, (28, 28, 1))
        assert extract.figure == "fcd" and extract.classes == 10
        assert extract.about.startswith(f"classifier {name} ")
        found, classes = extract(features.batches(images, 3))
        again, _ = extract([images / np.float32(255)])
        np.testing.assert_allclose(found, again, atol=1e-5)
        assert found.shape == (7, 96) and classes.shape == (7,)


@pytest.mark.skipif(
    "TFDS_DATA_DIR" not in os.environ, reason="TFDS_DATA_DIR is not set"
)
@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "least"), [("mnist", 0.994), ("fashion_mnist", 0.925)]
)
def test_bundled_classifiers_know_their_classes(name, least):
    test = data.load(f"tfds:{name}", (28, 28, 1))["test"]
    _, classes = features.extractor(name, (28, 28, 1))(features.batches(test.x))
    assert np.mean(classes == test.y) >= least


def test_a_users_classifier_is_an_extractor(tmp_path, digits):
    out = tmp_path / "run"
    recipe = "tests/contract/image_classifier_contract.yaml"
    assert main(["train", recipe, "--out", str(out), "--steps", "2", "--quiet"]) == 0
    shutil.copy(out / "model.keras", tmp_path / "mine.keras")
    for path, file in ((out, "best.keras"), (tmp_path / "mine.keras", "")):
        extract = features.extractor(str(path), (8, 8, 1))
        digest = hashlib.sha256((path / file).read_bytes()).hexdigest()
        assert extract.about == f"classifier {path} {digest[:12]}"
        found, classes = extract(features.batches(digits["test"].x))
        assert found.shape == (len(digits["test"]), 16) and classes.max() < 10


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("mnsit", (28, 28, 1), "unknown evaluate.features 'mnsit': did you mean mnist"),
        ("mnist", (8, 8, 1), r"mnist takes images of shape \(28, 28, 1\), not \(8, 8"),
        ("inception", (8, 8, 2), "inception takes 1 or 3 channels, not 2"),
    ],
)
def test_bad_names_get_one_line(name, shape, message):
    with pytest.raises(InputError, match=message):
        features.extractor(name, shape)


def test_what_is_no_classifier_is_refused(digits_run):
    with pytest.raises(InputError, match="is no image classifier"):
        features.extractor(str(digits_run), (8, 8, 1))


def test_inception_on_grey_and_coloured_images():
    grey = np.random.default_rng(0).uniform(size=(2, 8, 8, 1)).astype("float32")
    extract = features.inception((8, 8, 1), weights=None)
    found, classes = extract([grey])
    assert found.shape == (2, 2048) and classes is None and extract.figure == "fid"
    coloured, _ = extract([np.repeat(grey, 3, axis=-1)])
    np.testing.assert_allclose(found, coloured, atol=1e-5)


def test_weights_that_cannot_be_downloaded_get_one_line(monkeypatch):
    def refuse(*_, **__):
        raise Exception("URL fetch failure on https://…: None -- timed out")

    monkeypatch.setattr(keras.applications, "InceptionV3", refuse)
    with pytest.raises(InputError, match="could not be downloaded: put them") as caught:
        features.extractor("inception", (32, 32, 3))
    assert "\n" not in str(caught.value)
