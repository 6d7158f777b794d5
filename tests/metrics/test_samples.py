"""The three axes, of models whose samples are known to be good or bad."""

import json

import numpy as np
import pytest

from kerasgen import metrics, recipe
from kerasgen.cli import main
from kerasgen.errors import InputError
from kerasgen.signature import label, seed


class Drawer:
    """Serves `generate` from given images; a row's seed picks one of its label."""

    def __init__(self, images, labels=None, classes=10):
        self.images, self.labels, self.classes = images, labels, classes

    def signatures(self):
        from kerasgen.signature import Signature

        inputs = {"seed": seed()}
        if self.labels is not None:
            inputs["label"] = label(self.classes)
        return {"generate": Signature(None, inputs, ("images",))}

    def serve(self, name, seed, label=None):
        rng = np.random.default_rng(np.abs(seed))
        if label is None:
            return {
                "images": self.images[rng.integers(len(self.images), size=len(seed))]
            }
        pools = [np.flatnonzero(self.labels == k) for k in range(self.classes)]
        return {"images": self.images[[rng.choice(pools[k]) for k in label]]}


def judged(drawer, halves, classifier):
    settings = {"evaluate.features": classifier, "evaluate.samples": 300}
    values = recipe.read("vae_digits", settings)
    return metrics.evaluate(drawer, halves, values)["figures"]


def as_floats(split):
    return split.x / np.float32(255)


def test_real_images_are_as_good_as_the_floor(halves, digits, classifier):
    found = judged(Drawer(as_floats(digits["train"])), halves, classifier)
    value = {name: figure["value"] for name, figure in found.items()}
    assert set(value) == {
        *("fcd", "fcd_floor", "kid", "precision", "density"),
        *("recall", "coverage", "nearest_neighbour", "classes"),
    }
    assert value["fcd"] < 3 * value["fcd_floor"] and abs(value["kid"]) < 0.1
    assert min(value["precision"], value["recall"]) > 0.8 < value["coverage"]
    assert value["classes"] == 1.0
    assert all(figure["samples"] == 300 for figure in found.values())
    assert "training images give" in found["recall"]["protocol"]


def test_one_class_is_precise_but_not_diverse(halves, classifier):
    test = halves["test"]
    found = judged(Drawer(as_floats(test)[test.y == 3]), halves, classifier)
    assert found["precision"]["value"] > 0.9
    assert found["coverage"]["value"] < 0.3 > found["recall"]["value"]
    assert found["classes"]["value"] <= 0.4
    assert found["fcd"]["value"] > 10 * found["fcd_floor"]["value"]


def test_repeated_training_images_are_told(halves, classifier):
    noise = np.random.default_rng(0).normal(0, 0.01, halves["train"].x.shape)
    repeated = (as_floats(halves["train"]) + noise).clip(0, 1).astype("float32")
    found = judged(Drawer(repeated), halves, classifier)
    assert found["nearest_neighbour"]["value"] > 0.95


def test_labels_are_obeyed_or_not(halves, classifier):
    train = halves["train"]
    obedient = judged(Drawer(as_floats(train), train.y), halves, classifier)
    assert obedient["label_agreement"]["value"] > 0.9
    other = judged(Drawer(as_floats(train), (train.y + 1) % 10), halves, classifier)
    assert other["label_agreement"]["value"] < 0.1
    with pytest.raises(InputError, match="tells 10 classes apart, not the 4"):
        judged(Drawer(as_floats(train), train.y % 4, 4), halves, classifier)


def test_evaluate_prints_the_axes(digits_run, classifier, tmp_path, capsys):
    arguments = ["evaluate", str(digits_run), "--samples", "40"]
    arguments += [
        "--set",
        "evaluate.nll_samples=50",
        "--json",
        str(tmp_path / "m.json"),
    ]
    assert main([*arguments, "--set", f"evaluate.features={classifier}"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed.index("fidelity") < printed.index("diversity")
    assert "controllability" not in printed  # nothing can be asked for
    assert sum(line.startswith("  fcd ") for line in printed) == 1
    written = json.loads((tmp_path / "m.json").read_text())["figures"]
    assert written["fcd"]["samples"] == 40 and "nll" in written


def test_any_runtime_is_judged(digits_artifact, classifier, tmp_path):
    found = []
    for runtime in ("keras", "onnx"):
        target = tmp_path / f"{runtime}.json"
        arguments = ["evaluate", str(digits_artifact), "--runtime", runtime]
        arguments += ["--set", f"evaluate.features={classifier}", "--samples", "30"]
        arguments += ["--set", "evaluate.nll_samples=50", "--json", str(target)]
        assert main([*arguments, "--quiet"]) == 0
        found.append(json.loads(target.read_text())["figures"]["fcd"]["value"])
    assert found[0] == pytest.approx(found[1], rel=1e-3)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.epochs=3", "only evaluate.… and model.… can be set here"),
        ("model.latent_dim=3", "latent_dim: to change that, train anew"),
        ("model.colour=3", "VAE has no colour to choose"),
    ],
)
def test_only_what_needs_no_training_can_be_set(digits_run, capsys, setting, message):
    assert main(["evaluate", str(digits_run), "--set", setting]) == 2
    assert message in capsys.readouterr().err
