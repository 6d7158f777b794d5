"""Half precision reaches the losses of float32."""

import csv
from pathlib import Path

import keras
import numpy as np
import pytest

import kerasgen
from kerasgen import tokenizers
from kerasgen.cli import main

OPTIONS = ["--quiet", "--seed", "1", "--precision"]
GAN = str(Path(__file__).parents[1] / "contract" / "gan_contract.yaml")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "epochs", "loss"),
    [("vae_digits", "40", "val_loss"), (GAN, "20", "val_discriminator_loss")],
    ids=["vae", "gan"],
)
def test_mixed_precision_is_within_two_percent(recipe, epochs, loss, tmp_path):
    found = {}
    for precision in ("float32", "mixed_bfloat16", "mixed_float16"):
        out = tmp_path / precision
        run = ["train", recipe, "--out", str(out), "--epochs", epochs]
        assert main([*run, *OPTIONS, precision]) == 0
        rows = list(csv.DictReader((out / "history.csv").open()))
        found[precision] = float(rows[-1][loss])
    exact = found.pop("float32")
    for value in found.values():
        assert value == pytest.approx(exact, rel=0.02)


SHAPE, NARROW = (8, 8, 1), {"name": "convolutional", "widths": [4, 4]}
TINY = {"name": "unet", "widths": [8, 8], "blocks": 1, "attention": []}
MODELS = {
    "autoencoder": (kerasgen.Autoencoder, {"latent_dim": 2}),
    "vae": (kerasgen.VAE, {"latent_dim": 2, "classes": 3}),
    "gan": (kerasgen.GAN, {"latent_dim": 2, "classes": 3}),
    "ddpm": (kerasgen.DDPM, {"network": TINY, "classes": 3}),
    "image_classifier": (kerasgen.ImageClassifier, {"classes": 3, "network": NARROW}),
    "language_model": (kerasgen.LanguageModel, {"context": 8}),
    "text_classifier": (kerasgen.TextClassifier, {"context": 8, "labels": ["a", "b"]}),
}


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("family", MODELS)
def test_predictions_are_those_of_float32(family, precision):
    """What is called with float images too, which Keras would cast on their way in."""
    cls, values = MODELS[family]
    texts = "context" in values
    values |= {"tokenizer": tokenizers.Bytes()} if texts else {"image_shape": SHAPE}
    images = np.random.default_rng(0).uniform(size=(3, *SHAPE)).astype("float32")
    x = np.array([[5, 6, 7], [8, 9, 0]]) if texts else images

    def predicted(dtype):
        keras.utils.set_random_seed(0)
        model = cls(**values, dtype=dtype)
        called = keras.ops.convert_to_numpy(model(x))
        np.testing.assert_allclose(model.predict(x, verbose=0), called, atol=1e-2)
        return called

    found = predicted(precision)
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, predicted("float32"), atol=0.05)
