"""Shared by all tests: two logical CPU devices, tiny data, one trained run."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The same kernels on every processor: oneDNN's convolutions of no rows, as small
# batches leave to some replicas, give wrong shapes (TensorFlow 2.21).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.pop("KERASGEN_HUB", None)  # names are those that tests make

import numpy as np
import pytest

from kerasgen.training.distribution import split_cpu, strategy

split_cpu(2)  # before TensorFlow starts on one


def pytest_addoption(parser):
    parser.addoption("--goldens", action="store_true", help="write goldens.json anew")


def pytest_collection_modifyitems(items):
    """Tests that share fixtures run in one process (`make test` has two): those of a
    file, and those of the trained run."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            trained = "digits_run" in item.fixturenames
            group = "digits_run" if trained else item.path.stem
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def two_replicas():
    """The one MirroredStrategy of this process: two objects disturb each other."""
    return strategy("mirrored", 2)


@pytest.fixture(scope="session")
def digits():
    """bundled:digits, split."""
    from kerasgen import data

    return data.load("bundled:digits", (8, 8, 1))


@pytest.fixture
def small_images():
    """uint8 images `(50, 8, 8, 1)`."""
    return np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), dtype="uint8")


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory):
    """A short run of vae_digits, evaluated: a run directory."""
    from kerasgen.cli import main

    out = tmp_path_factory.mktemp("runs") / "vae_digits"
    assert main(["train", "vae_digits", "--out", str(out), "--epochs", "3"]) == 0
    assert main(["evaluate", str(out), "--quiet"]) == 0
    return out


@pytest.fixture(scope="session")
def digits_artifact(digits_run):
    """The artifact of that run."""
    from kerasgen.cli import main

    out = digits_run.parent / "artifact"
    assert main(["export", str(digits_run), "--out", str(out), "--quiet"]) == 0
    return out


@pytest.fixture(scope="session")
def classifier(tmp_path_factory):
    """A classifier of digits that is good enough to judge: a run directory."""
    from kerasgen.cli import main

    out = str(tmp_path_factory.mktemp("classifier") / "run")
    recipe = "tests/contract/image_classifier_contract.yaml"
    train = ["train", recipe, "--out", out, "--steps", "300", "--quiet"]
    train += ["--set", "train.learning_rate=1e-2", "--set", "model.augment={}"]
    assert main(train) == 0
    return out


@pytest.fixture(scope="session")
def halves(digits):
    """The digits, half of them to judge by."""
    from kerasgen.data import Data

    train = digits["train"]
    parts = {"train": train.take(slice(0, 800)), "test": train.take(slice(800, None))}
    return Data(parts, digits.label_names)
