"""What models answered before the code was rearranged, and what ten steps made of them.

Values, not hashes: processors and backends round differently. `--goldens` writes
goldens.json anew; it may change only where other answers are meant.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import test_contract as contract

import kerasgen
from kerasgen import backend

PATH = Path(__file__).parent / "goldens.json"
ARTIFACTS = Path(__file__).parents[1] / "saved_models"
QUICK = {"vae_digits", "autoencoder_digits", "gpt_jsb", "gan_mnist_dense"}
TEXTS = ["To be, or not", "a man"]
MOST = 24  # numbers of an array that are kept


def questions(model):
    """Signature -> inputs, which follow from names, shapes and ranges alone; of caches,
    which are large, none: the tests of their models compare them with whole texts."""
    for name, described in sorted(model.signatures().items()):
        entries = described.describe()["inputs"]
        if any(key.startswith("past_") for key in entries):
            continue
        if backend.is_jax() and any(e["dtype"] == "string" for e in entries.values()):
            continue
        yield name, {key: _values(key, entry) for key, entry in entries.items()}


def _values(name, entry):
    rng = np.random.default_rng(11)
    if entry["dtype"] == "string":
        return np.array([text.encode() for text in TEXTS], object)
    fixed = {"seed": [3, -7], "label": [0, 1], "max_new_tokens": [8, 5]}
    if name in fixed:
        return np.array(fixed[name], "int32")
    if "default" in entry:
        return np.full(2, entry["default"], entry["dtype"])
    shape = (2, *(6 if size is None else size for size in entry["shape"][1:]))
    low, high = entry.get("range", (-2.0, 2.0))
    if entry["dtype"] != "int32":
        return rng.uniform(low, high, shape).astype("float32")
    if "_ids" in name:  # right-padded, the second shorter
        ids = rng.integers(2, high, shape, dtype="int32")
        ids[:, 0], ids[1, 4:] = 1, 0
        return ids
    return rng.integers(low, high, shape, dtype="int32")


def summary(array) -> dict:
    """Shape, size, and evenly spread values of an array; strings whole."""
    array = np.asarray(array)
    flat = array.ravel()
    if array.dtype == object:
        return {"strings": [value.decode() for value in flat.tolist()]}
    spread = np.linspace(0, flat.size - 1, min(MOST, flat.size)).round().astype(int)
    numbers = flat[spread].tolist()
    if array.dtype.kind == "f":
        numbers = [float(f"{number:.6g}") for number in numbers]
    rms = (
        math.sqrt(float(np.mean(np.square(flat.astype("float64"))))) if flat.size else 0
    )
    return {"shape": [*array.shape], "rms": float(f"{rms:.6g}"), "values": numbers}


def close(found: dict, golden: dict, tolerance: float) -> bool:
    """Whether two summaries are of one array, but for rounding."""
    if "strings" in golden or found["shape"] != golden["shape"]:
        return found == golden
    pairs = zip(found["values"], golden["values"], strict=True)
    pairs = [*pairs, (found["rms"], golden["rms"])]
    return all(abs(a - b) <= tolerance * max(1.0, abs(b)) for a, b in pairs)


@pytest.fixture
def compare(request):
    """Compare with what the file says, or write it there."""

    def compare(key, found, tolerance):
        goldens = json.loads(PATH.read_text()) if PATH.exists() else {}
        if request.config.getoption("--goldens"):
            goldens[key] = found
            PATH.write_text(json.dumps(dict(sorted(goldens.items())), indent=0) + "\n")
            return
        assert found.keys() == goldens[key].keys()
        for name, golden in goldens[key].items():
            assert close(found[name], golden, tolerance), (name, found[name], golden)

    return compare


def _artifacts():
    for path in sorted(ARTIFACTS.glob("*/model.keras")):
        name = path.parent.name
        yield pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])


@pytest.mark.parametrize("name", [*_artifacts()])
def test_artifacts_answer_as_before(name, compare):
    """Samples, scores, translations, by every signature of model.keras."""
    model = kerasgen.load(ARTIFACTS / name)
    for signature, inputs in questions(model):
        answers = model.serve(signature, **inputs)
        found = {key: summary(value) for key, value in answers.items()}
        tolerance = 10 * model.signatures()[signature].tolerance
        compare(f"{name} {signature}", found, tolerance)


def spread(values):
    """First values that both backends can begin with, drawn by NumPy: normal, of the
    size that keeps that of what is multiplied. No bias is 0, as it is at first: there
    the slope of LeakyReLU is 0.2 in TensorFlow and 1 in JAX."""
    rng = np.random.default_rng(0)

    def drawn(v):
        if not v.ndim or v.dtype.kind != "f":
            return v
        z = rng.normal(size=v.shape)
        scale = math.sqrt(max(1, v.size // v.shape[-1]))
        return (z / scale if np.ptp(v) else v + 0.01 * z).astype(v.dtype)

    return [drawn(v) for v in values]


@pytest.mark.parametrize("name", contract.fast_cases())
def test_ten_steps_train_as_before(name, compare):
    model, _ = contract.trained(contract.small(name), spread)
    found = {
        f"{i} {v.name}": summary(v.numpy())
        for i, v in enumerate(model.network_variables)
    }
    compare(f"trained {name}", found, 1e-4)
