"""Samples as training data: on samples that are real images, and on a trained run."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kerasgen.cli import main
from kerasgen.data import Split
from kerasgen.inputs import label, seed
from kerasgen.signature import Signature

PATH = Path(__file__).parents[2] / "tools" / "augment.py"
spec = importlib.util.spec_from_file_location("augment", PATH)
augment = importlib.util.module_from_spec(spec)
spec.loader.exec_module(augment)


class Obedient:
    """Draws real images of the class that is asked for."""

    def __init__(self, split):
        self.split = split

    def signatures(self):
        inputs = {"seed": seed(), "label": label(SimpleNamespace(classes=10))}
        return {"generate": Signature(None, inputs, ("images",))}

    def serve(self, name, seed, label):
        rng = np.random.default_rng(np.abs(seed))
        pools = [np.flatnonzero(self.split.y == k) for k in range(10)]
        return {"images": self.split.x[[rng.choice(pools[k]) for k in label]]}


def test_good_samples_are_worth_something(digits):
    train, test = (
        Split(digits[name].x / np.float32(255), digits[name].y)
        for name in ("train", "test")
    )
    sets = augment.training_sets(Obedient(train), train, 10, 2, 100, seed=0)
    assert {name: len(split) for name, split in sets.items()} == {
        "samples": 1000,
        "real": 20,
        "real and samples": 1020,
    }
    assert all(
        np.bincount(split.y).tolist() == [len(split) // 10] * 10
        for split in sets.values()
    )
    kinds = ("real", "real and samples")
    few, more = (augment.accuracy(sets[kind], test, 10, 60, 0) for kind in kinds)
    assert few < more > 0.8


@pytest.fixture(scope="module")
def conditional_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "conditional"
    arguments = ["train", "vae_digits", "--out", str(out), "--steps", "9", "--quiet"]
    assert main([*arguments, "--set", "model.classes=10"]) == 0
    return out


def test_a_table_and_a_file(conditional_run, tmp_path, capsys):
    options = ["--real=3", "--samples=5", "--steps=5", "--repeats=1"]
    target = tmp_path / "augment.json"
    assert augment.main([str(conditional_run), *options, "--json", str(target)]) == 0
    rows = [
        line.split("  ")[0].strip() for line in capsys.readouterr().out.splitlines()
    ]
    assert rows == ["samples", "real", "real and samples"]
    content = json.loads(target.read_text())
    assert content["per_class"]["samples"] == 5 and content["model"] == "conditional"
    for values in content["accuracy"].values():
        assert len(values) == 1 and all(0 <= value <= 1 for value in values)


def test_models_without_labels_get_one_line(digits_run, capsys):
    assert augment.main([str(digits_run)]) == 2
    assert "takes no label: train a conditional model" in capsys.readouterr().err
    assert augment.main([str(digits_run), "--real", "0"]) == 2
    assert "real must be a whole number of at least 1" in capsys.readouterr().err
