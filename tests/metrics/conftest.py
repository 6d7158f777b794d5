"""Digits, and a classifier of them."""

import pytest

from kerasgen.cli import main
from kerasgen.data import Data


@pytest.fixture(scope="package")
def classifier(tmp_path_factory):
    """A classifier of digits that is good enough to judge."""
    out = tmp_path_factory.mktemp("classifier") / "run"
    arguments = [
        "train",
        "tests/contract/image_classifier_contract.yaml",
        "--out",
        str(out),
    ]
    arguments += ["--steps", "300", "--set", "train.learning_rate=1e-2", "--quiet"]
    assert main([*arguments, "--set", "model.augment={}"]) == 0
    return str(out)


@pytest.fixture(scope="package")
def source(digits):
    """Half of the digits to train on, half to judge by."""
    train = digits["train"]
    halves = {"train": train.take(slice(0, 800)), "test": train.take(slice(800, None))}
    return Data(halves, digits.label_names)
