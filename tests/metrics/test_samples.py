"""The three axes, of models whose samples are known to be good or bad."""

import json

import numpy as np
import pytest

import kerasgen
from kerasgen import metrics, pictures, recipe
from kerasgen.cli import main
from kerasgen.errors import InputError
from kerasgen.inputs import label, seed


class Drawer:
    """Serves `generate` from given images; a row's seed picks one of its label."""

    averages = network_variables = ()  # what a model has
    monitor = None

    def get_config(self):
        return {}

    def __init__(self, images, labels=None, classes=10):
        self.images, self.labels, self.classes = images, labels, classes

    def signatures(self):
        from kerasgen.signature import Signature

        inputs = {"seed": seed()}
        if self.labels is not None:
            inputs["label"] = label(self)
        return {"generate": Signature(None, inputs, ("images",))}

    def serve(self, name, seed, label=None):
        rng = np.random.default_rng(np.abs(seed))
        if label is None:
            return {
                "images": self.images[rng.integers(len(self.images), size=len(seed))]
            }
        pools = [np.flatnonzero(self.labels == k) for k in range(self.classes)]
        return {"images": self.images[[rng.choice(pools[k]) for k in label]]}


def judged(drawer, halves, classifier, samples=300):
    settings = {"evaluate.features": classifier, "evaluate.samples": samples}
    values = recipe.read("vae_digits", settings)
    return metrics.evaluate(drawer, halves, values)["figures"]


def as_floats(split):
    return split.x / np.float32(255)


def test_real_images_are_as_good_as_the_floor(halves, digits, classifier):
    found = judged(Drawer(as_floats(digits["train"])), halves, classifier)
    value = {name: figure["value"] for name, figure in found.items()}
    assert set(value) == {
        *("fcd", "fcd_floor", "kid", "precision", "density"),
        *("recall", "coverage", "nearest_neighbour", "diversity", "classes"),
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


def test_without_features_pixels_say_what_they_can(halves):
    train, test = as_floats(halves["train"]), as_floats(halves["test"])
    real = judged(Drawer(test), halves, None)
    assert set(real) == {"nearest_neighbour", "diversity"}
    assert real["diversity"]["value"] == pytest.approx(1.0, abs=0.05)
    assert real["nearest_neighbour"]["value"] < 0.05
    one = judged(Drawer(train[:1]), halves, None)
    assert one["diversity"]["value"] == 0.0
    assert one["nearest_neighbour"]["value"] == 1.0
    # One picture a class is many pictures, but none is another of its class.
    classes = [train[halves["train"].y == k][:1] for k in range(10)]
    collapsed = Drawer(np.concatenate(classes), np.arange(10))
    assert judged(collapsed, halves, None)["diversity"]["value"] == 0.0


@pytest.mark.parametrize(
    ("samples", "near", "far"), [(300, 3, 5), (5, 3, 4), (2, 1, 1)]
)
def test_few_images_have_few_neighbours(halves, classifier, samples, near, far):
    found = judged(Drawer(as_floats(halves["test"])), halves, classifier, samples)
    for name, k in (("precision", near), ("recall", near), ("density", far)):
        assert f"as many samples; k={k};" in found[name]["protocol"]
        assert 0.0 <= found[name]["value"] <= (1.0 if k == near else 10.0)


def test_one_image_is_too_few(halves, capsys):
    with pytest.raises(InputError, match="nothing that .*samples.* can measure"):
        judged(Drawer(as_floats(halves["test"])), halves, None, samples=1)
    assert "at least 2 of them, and 2 test images" in capsys.readouterr().err


def test_a_gan_of_own_pictures_is_measured_as_far_as_pixels_tell(tmp_path, capsys):
    rng = np.random.default_rng(0)
    (tmp_path / "mine").mkdir()
    for i in range(60):
        picture = rng.integers(0, 256, (8, 8, 1), dtype="uint8")
        pictures.write_image(tmp_path / "mine" / f"{i}.png", picture / 255.0)
    run = tmp_path / "run"
    run.mkdir()
    network = {"name": "dense", "widths": [4]}
    model = kerasgen.GAN((8, 8, 1), 4, generator=network, discriminator=network)
    model.save(run / "best.keras")
    values = {"name": "mine", "family": "gan", "data": f"folder:{tmp_path}/mine"}
    values["input"] = {"image_shape": [8, 8, 1]}
    (run / "recipe.yaml").write_text(recipe.from_values(values).text())
    assert main(["evaluate", str(run)]) == 0
    printed = capsys.readouterr()
    assert "  diversity 0." in printed.out and "  nearest_neighbour " in printed.out
    (line,) = printed.err.strip().splitlines()
    assert "kerasgen: fidelity is not measured" in line
    assert "evaluate.features to mnist, fashion_mnist or inception" in line
    assert main(["evaluate", str(run), "--only", "likelihood"]) == 2
    assert "nothing that likelihood can measure of this GAN" in capsys.readouterr().err


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


def test_any_runtime_is_judged(digits_artifact, classifier, tmp_path, capsys):
    found = []
    for runtime in ("keras", "onnx"):
        target = tmp_path / f"{runtime}.json"
        arguments = ["evaluate", str(digits_artifact), "--runtime", runtime]
        arguments += ["--set", f"evaluate.features={classifier}", "--samples", "30"]
        arguments += ["--set", "evaluate.nll_samples=50", "--json", str(target)]
        assert main([*arguments, "--quiet"]) == 0
        found.append(json.loads(target.read_text())["figures"]["fcd"]["value"])
    assert found[0] == pytest.approx(found[1], rel=1e-3)
    # What exported files do can't be changed.
    assert main([*arguments, "--set", "model.beta=2"]) == 2
    assert "beta is fixed in exported files" in capsys.readouterr().err


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
