"""Samples are judged while a model trains: exactly, and with a warning that helps."""

import csv

import numpy as np
import pytest

import kerasgen
from kerasgen import recipe
from kerasgen.data import Split
from kerasgen.errors import InputError
from kerasgen.metrics.features import extractor
from kerasgen.training import checkpoint, loop
from kerasgen.training.quality import Quality, collapse


def settings(classifier, **more):
    return {
        "train.quality_every": 2,
        "train.quality_samples": 100,
        "train.epochs": 5,
        "train.ema_decay": 0.9,
        "train.monitor": "val_fcd",
        "train.checkpoint_seconds": 0.0,
        "evaluate.features": classifier,
    } | more


@pytest.fixture(scope="module")
def run(classifier, tmp_path_factory):
    out = tmp_path_factory.mktemp("quality") / "run"
    loop.train(recipe.read("vae_digits", settings(classifier)), out, quiet=True)
    return out


def test_one_held_out_image_is_too_few():
    network = {"name": "dense", "widths": [4]}
    model = kerasgen.VAE((8, 8, 1), 2, encoder=network, decoder=network)
    one = Split(np.zeros((1, 8, 8, 1), "uint8"))
    with pytest.raises(InputError, match="must be more than 1, not 1"):
        Quality(one, samples=4).set_model(model)
    Quality(Split(np.zeros((2, 8, 8, 1), "uint8")), samples=4).set_model(model)


def test_figures_stand_in_the_history_of_measured_epochs(run):
    rows = list(csv.DictReader((run / "history.csv").open()))
    measured = [row["epoch"] for row in rows if row["val_fcd"]]
    assert measured == ["2", "4", "5"]  # every second, and the last
    for name in ("val_diversity", "val_classes"):
        assert [bool(row[name]) for row in rows] == [bool(r["val_fcd"]) for r in rows]
    progress, _ = checkpoint.read(run / "train_state.npz")
    least = min(float(row["val_fcd"]) for row in rows if row["val_fcd"])
    assert progress["best"] == least
    assert (run / "best.keras").exists()


def test_a_killed_run_measures_the_same(classifier, run, tmp_path, monkeypatch):
    """Stopped in the middle of the fourth epoch."""
    save = checkpoint.save

    def save_and_die(path, model, progress, **options):
        save(path, model, progress, **options)
        if int(model.step) >= 27 * 3 + 9:
            raise KeyboardInterrupt

    values = recipe.read("vae_digits", settings(classifier))
    monkeypatch.setattr(checkpoint, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        loop.train(values, tmp_path / "run", quiet=True)
    monkeypatch.undo()
    loop.train(values, tmp_path / "run", resume=True, quiet=True)
    ours, theirs = (path / "history.csv" for path in (tmp_path / "run", run))
    assert ours.read_text() == theirs.read_text()


def small(classes=0):
    network = {"name": "dense", "widths": [8]}
    vae = kerasgen.VAE((8, 8, 1), 2, network, network, classes=classes, ema_decay=0.9)
    vae.compile()
    return vae


def test_figures_are_those_of_the_averaged_weights(digits, classifier):
    model, extract = small(), extractor(classifier, (8, 8, 1))
    quality = Quality(digits["validation"], extract, samples=50)
    quality.set_model(model)
    before = quality.measure()
    assert before == quality.measure()
    for variable in model.trainable_variables:
        variable.assign(variable + 1.0)
    assert quality.measure() == before
    for average in model.averages:
        average.assign(average + 1.0)
    assert quality.measure() != before


def test_in_a_users_own_fit_without_features(digits, capsys):
    quality = Quality(Split(digits["validation"].x), every=2, samples=50)
    x = digits["train"].x[:100]
    history = small().fit(x, epochs=5, callbacks=[quality], verbose=0).history
    assert len(history["val_diversity"]) == 2 and "val_classes" not in history
    # What an untrained model draws is all alike: said once, after the second look.
    assert capsys.readouterr().err.count("mode collapse") == 1


def test_a_resumed_run_does_not_warn_again(digits, capsys):
    quality = Quality(digits["validation"], samples=50)
    quality.resume([{"val_diversity": 0.1}, {"loss": 1.0}, {"val_diversity": 0.2}])
    quality.set_model(small())
    quality.on_epoch_end(4, {})
    assert not capsys.readouterr().err


def test_a_conditional_models_classes_are_looked_into(digits):
    """One picture a class is no diversity, though the ten of them differ."""

    model = small(classes=10)
    ten = np.random.default_rng(0).uniform(size=(10, 8, 8, 1)).astype("float32")
    model.serve = lambda name, seed, label: {"images": ten[label]}
    quality = Quality(digits["validation"], samples=50)
    quality.set_model(model)
    assert quality.measure()["val_diversity"] == 0.0


def test_collapse_says_what_is_missing():
    assert collapse({"val_diversity": 0.6, "val_classes": 0.6}) == ""
    assert "3% of the diversity" in collapse({"val_diversity": 0.03})
    assert "50% of their classes" in collapse({"val_diversity": 1, "val_classes": 0.5})
    both = collapse({"val_diversity": 0.3, "val_classes": 0.1})
    assert "30% of the diversity of real images and 10% of their classes" in both
    assert "train.learning_rate" in both


@pytest.mark.parametrize(
    ("discriminator", "generator", "collapses"),
    [(1e-8, 1e-2, True), (1e-3, 1e-3, False)],
)
def test_a_gan_that_collapses_is_named(
    discriminator, generator, collapses, tmp_path, capsys
):
    """Against a discriminator that never learns, one best image is all it takes."""
    network = {"name": "dense", "widths": [64]}
    settings = {
        "model.classes": 0,
        "model.loss": "non_saturating",
        "model.augment": {},
        "model.generator": network,
        "model.discriminator": network,
        "train.epochs": 30,
        "train.quality_every": 10,
        "train.quality_samples": 200,
        "train.learning_rate": {"discriminator": discriminator, "generator": generator},
    }
    gan = "tests/contract/gan_contract.yaml"
    loop.train(recipe.read(gan, settings), tmp_path / "run", quiet=True)
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").open()))
    found = [float(row["val_diversity"]) for row in rows if row["val_diversity"]]
    assert (found[-1] < 0.2) if collapses else (found[-1] > 0.6)
    assert capsys.readouterr().err.count("mode collapse") == collapses


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("autoencoder_digits", {}, "is for models that draw images"),
        ("vae_digits", {"train.quality_samples": 1}, "at least 2, two a class, not 1"),
        (
            "vae_digits",
            {"model.classes": 10, "train.quality_samples": 9},
            "at least 20",
        ),
        ("vae_digits", {"train.monitor": "val_fcd"}, "unknown train.monitor"),
        ("vae_digits", {"evaluate.features": "mnist"}, "takes images of shape"),
    ],
)
def test_what_does_not_fit_is_refused_first(name, more, message, tmp_path):
    values = recipe.read(name, {"train.quality_every": 1} | more)
    with pytest.raises(InputError, match=message):
        loop.train(values, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
