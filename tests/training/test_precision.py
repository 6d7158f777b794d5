"""Half precision reaches the losses of float32."""

import csv
from pathlib import Path

import pytest

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
