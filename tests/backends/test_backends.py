"""JAX and TensorFlow train the same models (needs `pip install '.[jax]'`)."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jax")

import test_contract as contract

import kerasgen
from kerasgen import recipe
from kerasgen.cli import main

HERE = Path(__file__).parent
COMPARE = str(HERE.parents[1] / "tools" / "compare_weights.py")
NAMES = contract.fast_cases()


def on_jax(*arguments):
    """A job of on_jax.py; -> its lines."""
    command = [sys.executable, str(HERE / "on_jax.py"), *map(str, arguments)]
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr.splitlines()


def jittered(values):
    """No bias is 0, as it is at first: at 0, the slope of LeakyReLU is 0.2 in
    TensorFlow and 1 in JAX."""
    rng = np.random.default_rng(0)
    return [
        (v + 0.01 * rng.normal(size=v.shape)).astype(v.dtype) if v.ndim else v
        for v in values
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of what JAX trained, from the weights that TensorFlow began with here."""
    folder = tmp_path_factory.mktemp("backends")
    for name in NAMES:
        (folder / name).mkdir()
        model, start = contract.trained(contract.small(name), jittered)
        np.savez(folder / name / "start.npz", *start)
        np.savez(folder / name / "tensorflow.npz", *contract.values(model))
    on_jax("steps", folder, *NAMES)
    return folder


def arrays(path) -> list[np.ndarray]:
    with np.load(path) as file:
        return list(file.values())


def test_models_need_no_tensorflow_on_jax():
    on_jax("without_tensorflow", *(contract.RECIPES[name] for name in NAMES))


@pytest.mark.parametrize("name", NAMES)
def test_ten_steps_with_noise_give_the_same_weights(trained, name):
    start, ours, theirs = (
        arrays(trained / name / f"{key}.npz") for key in ("start", "tensorflow", "end")
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    moved = [np.abs(a - b).max() for a, b in zip(start, ours, strict=True) if a.ndim]
    assert max(moved) > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_a_model_answers_alike_on_both(trained, name):
    """Samplers and decoding too: equal seeds give equal samples."""
    model = kerasgen.load(trained / name / "model.keras")
    for key, signature in model.signatures().items():
        if "string" in str(signature.describe()):
            continue
        inputs, tolerance = signature.example(3), {"atol": signature.tolerance}
        with np.load(trained / name / f"{key}.npz") as theirs:
            for output, value in model.serve(key, **inputs).items():
                found = theirs[output]
                np.testing.assert_allclose(value, found, rtol=1e-4, **tolerance)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of vae_digits on JAX, by the command line."""
    return train(tmp_path_factory.mktemp("runs") / "run")


def train(out, *options):
    command = [sys.executable, "-m", "kerasgen", "train", "vae_digits", "--quiet"]
    # Held-out batches of 7: the devices can't have equal parts.
    command += ["--backend", "jax", "--steps", "12", "--set", "evaluate.batch_size=7"]
    subprocess.run([*command, "--out", str(out), *options], check=True)
    return out


def test_what_jax_trains_tensorflow_exports(run, tmp_path):
    assert recipe.read(str(run / "recipe.yaml")).train.backend == "jax"
    artifact = str(tmp_path / "artifact")
    assert main(["export", str(run), "--out", artifact, "--quiet"]) == 0
    assert main(["verify", artifact, "--quiet"]) == 0
    on_jax("samples", run, tmp_path / "samples.npy")
    theirs = np.load(tmp_path / "samples.npy")
    np.testing.assert_allclose(
        kerasgen.load(run).generate(8, seed=3), theirs, atol=1e-5
    )


def test_two_devices_are_one(run, tmp_path):
    two = train(tmp_path / "run", "--devices", "2")
    compare = [sys.executable, COMPARE, str(run), str(two), "--atol", "1e-5"]
    assert subprocess.run(compare).returncode == 0


def test_what_needs_tensorflow_says_so(run, tmp_path):
    lines, errors = on_jax("refusals", run, tmp_path / "out")
    need = "needs the TensorFlow backend: set KERAS_BACKEND=tensorflow"
    assert lines[:3] == [
        f"a model that reads strings {need}, or give it token ids",
        f"a signature of strings {need}",
        f"mixed_float16 {need}, or use mixed_bfloat16",
    ]
    assert lines[3:] == ["2"] * 5
    assert [line for line in errors if line.startswith("kerasgen:")] == [
        f"kerasgen: export {need}",
        f"kerasgen: verification {need}",
        f"kerasgen: --strategy multiworker {need}",
        "kerasgen: 3 devices asked for, JAX runs on 1",
        "kerasgen: Keras runs on jax here: set KERAS_BACKEND=tensorflow",
    ]
    assert not (tmp_path / "out").exists()
