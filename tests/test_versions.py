"""What earlier versions wrote still loads, verifies and draws the same samples."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import kerasgen
from kerasgen import backend

FOLDERS = sorted(Path(__file__).parent.glob("versions/*"))
each = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


@each
def test_samples_are_those_that_an_earlier_version_drew(folder):
    samples = json.loads((folder / "samples.json").read_text())
    digits = kerasgen.load(folder / "digits_small").generate(2, seed=5)
    expected = np.array(samples["digits_small"])[..., None]
    np.testing.assert_allclose(digits, expected, atol=2e-4)
    texts = kerasgen.load(folder / "texts_small.keras")
    assert texts.generate(3, seed=5, temperature=0.5) == samples["texts_small"]


@pytest.mark.skipif(backend.is_jax(), reason="verification needs TensorFlow")
@each
def test_an_artifact_of_an_earlier_version_is_verified(folder, tmp_path):
    artifact = tmp_path / "digits_small"
    shutil.copytree(folder / "digits_small", artifact)
    runtimes = {row["runtime"] for row in kerasgen.verify(artifact)}
    assert {"savedmodel", "tensorflow_c", "onnx", "litert"} <= runtimes
