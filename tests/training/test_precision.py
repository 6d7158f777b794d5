"""Half precision reaches the losses of float32."""

import csv

import pytest

from kerasgen.cli import main

OPTIONS = ["--epochs", "40", "--quiet", "--seed", "1", "--precision"]


def last_loss(out, recipe, precision):
    """The validation loss after a run."""
    path = out / precision
    assert main(["train", recipe, "--out", str(path), *OPTIONS, precision]) == 0
    rows = list(csv.DictReader((path / "history.csv").open()))
    return float(rows[-1]["val_loss"])


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["vae_digits"])
def test_mixed_precision_is_within_two_percent(recipe, tmp_path):
    exact = last_loss(tmp_path, recipe, "float32")
    for precision in ("mixed_bfloat16", "mixed_float16"):
        assert last_loss(tmp_path, recipe, precision) == pytest.approx(exact, rel=0.02)
