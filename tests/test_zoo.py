"""The artifacts that ship: whole, and equal in every runtime."""

from pathlib import Path

import pytest

import kerasgen

ARTIFACTS = sorted((Path(__file__).parents[1] / "saved_models").glob("*/manifest.json"))


@pytest.mark.slow
@pytest.mark.parametrize("manifest", ARTIFACTS, ids=lambda path: path.parent.name)
def test_artifacts_verify(manifest):
    assert all(row["ok"] for row in kerasgen.verify(manifest.parent))


def test_load_by_name(monkeypatch):
    monkeypatch.chdir(ARTIFACTS[0].parents[2])
    assert kerasgen.load("vae_digits").generate(2).shape == (2, 8, 8, 1)


def test_list_recipes_knows_the_artifacts(monkeypatch):
    monkeypatch.chdir(ARTIFACTS[0].parents[2])
    rows = {row["name"]: row for row in kerasgen.list_recipes()}
    assert rows["vae_digits"]["artifact"] == "saved_models/vae_digits"
    assert rows["vae_digits"]["parameters"] > 100_000
