"""What every model must do, over recipes: a new model is covered by existing.

`make test` runs one recipe a family, `make test-all` every one. Images come from the
bundled digits, scaled to the recipe's size, so no data is needed.
"""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import toy  # noqa: F401  (registers its family)

import kerasgen
from kerasgen import backend, data, recipe
from kerasgen.building import create
from kerasgen.data.examples import examples
from kerasgen.data.stream import stream
from kerasgen.export.artifact import export
from kerasgen.training import checkpoint, loop

RECIPES = {name: name for name in recipe.names()}
RECIPES |= {path.stem: str(path) for path in Path(__file__).parent.glob("*.yaml")}

# What can't be exported: (family, runtime, signature). Nothing joins it silently.
UNSUPPORTED = {
    ("language_model", "litert", "generate"),
    ("language_model", "onnx", "complete"),  # strings
    ("language_model", "litert", "complete"),
    ("translator", "litert", "translate_ids"),
    *(  # strings
        (family, runtime, signature)
        for runtime in ("onnx", "litert")
        for family, signature in (
            ("translator", "translate"),
            ("text_classifier", "classify"),
        )
    ),
    *(  # for a loop of the client's
        (family, runtime, signature)
        for runtime in ("savedmodel", "litert")
        for family, signature in (
            ("language_model", "prefill"),
            ("language_model", "decode_step"),
            ("translator", "encode_source"),
            ("translator", "decode_step"),
        )
    ),
}
TEXTS = {  # families that read texts, and of what
    "language_model": "python_docs",
    "translator": "cldr_en_de",
    "text_classifier": "cldr_languages",
}


def _cases():
    """Every recipe; slow unless it is the first of its family on bundled data, or
    one of these tests' own; FAMILY_contract is the first."""
    families = set()
    read = {name: recipe.read(path) for name, path in RECIPES.items()}

    def place(name):
        bundled = str(read[name].data).startswith("bundled")
        return name != f"{read[name].family}_contract", not bundled

    order = sorted(read, key=place)
    for name in order:
        fast = read[name].family not in families or name.endswith("_contract")
        families.add(read[name].family)
        slow = [] if fast else [pytest.mark.slow]
        yield pytest.param(name, marks=[pytest.mark.xdist_group(name), *slow])


def test_a_new_model_is_covered_by_existing():
    assert {"toy_contract", "vae_dropout_contract"} <= set(fast_cases())


def fast_cases() -> list[str]:
    """The names of those that are not slow."""
    return [case.values[0] for case in _cases() if pytest.mark.slow not in case.marks]


@pytest.fixture(scope="module", params=list(_cases()))
def tiny(request):
    return small(request.param)


def small(name: str, **more):
    """The recipe of a case, for a few steps on the bundled data."""
    settings = {
        "train.steps": 5,
        "train.batch_size": 16,
        "train.checkpoint_seconds": 0.0,
        "train.steps_per_execution": 1,
        "train.ema_decay": 0.9,
        "train.clip_norm": 1.0,
        "evaluate.nll_samples": 50,
    }
    family = recipe.read(RECIPES[name]).family
    settings["data"] = f"bundled:{TEXTS.get(family, 'digits')}"
    settings["train.backend"] = backend.current()
    if family == "translator":  # other pieces need more text
        settings["model.tokenizer"] = "characters"
    return recipe.read(RECIPES[name], settings | more)


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    """A finished run directory."""
    out = tmp_path_factory.mktemp(tiny.name) / "run"
    loop.train(tiny, out, quiet=True)
    return out


@pytest.fixture(scope="module")
def model(run):
    return kerasgen.load(run)


def served(model) -> dict:
    """Its signatures, on JAX without those of strings."""
    return {
        name: signature
        for name, signature in model.signatures().items()
        if not backend.is_jax() or "string" not in str(signature.describe())
    }


def test_a_run_leaves_its_files(tiny, run):
    names = {path.name for path in run.iterdir()}
    expected = {"recipe.yaml", "model.keras", "best.keras", "train_state.npz"}
    labelled = data.load(tiny.data, tiny.input.image_shape).label_names
    expected |= {"labels.json"} if labelled else set()
    assert names == expected | {"history.csv", "samples", "tensorboard"}
    assert {path.stem for path in (run / "samples").iterdir()} == {"epoch_0001"}


def test_saved_models_answer_as_before(run, model):
    again = kerasgen.load(run)
    for name, signature in served(model).items():
        inputs = signature.example(2)
        expected = model.serve(name, **inputs)
        for key, value in again.serve(name, **inputs).items():
            np.testing.assert_array_equal(value, expected[key])


def test_a_killed_run_resumes_to_the_same_state(tiny, run, tmp_path, monkeypatch):
    """Stopped right after the checkpoint of step 3, in the middle of an epoch."""
    save = checkpoint.save

    def save_and_die(path, model, progress, **options):
        save(path, model, progress, **options)
        if int(model.step) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        loop.train(tiny, tmp_path / "run", quiet=True)
    monkeypatch.undo()
    loop.train(tiny, tmp_path / "run", resume=True, quiet=True)
    progress, arrays = checkpoint.read(tmp_path / "run" / "train_state.npz")
    expected_progress, expected = checkpoint.read(run / "train_state.npz")
    assert progress == expected_progress
    for a, b in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    ours, theirs = (p / "history.csv" for p in (tmp_path / "run", run))
    assert ours.read_text() == theirs.read_text()


def _without_dropout(values):
    """A recipe's values with every `dropout` at 0."""
    if not isinstance(values, dict):
        return values
    kept = {key: _without_dropout(value) for key, value in values.items()}
    return kept | ({"dropout": 0.0} if "dropout" in kept else {})


def trained(tiny, start=None, **options):
    """After ten steps with noise, Adam, clipping and averaging, the last uneven.

    `start` turns the first values of all variables into others. -> the model, and
    these.
    """
    source = data.load(tiny.data, tiny.input.image_shape)
    still = dataclasses.replace(tiny, model=_without_dropout(tiny.model))
    keras.utils.set_random_seed(0)
    model = create(still, source)
    before = values(model) if start is None else start(values(model))
    for variable, value in zip(model.variables, before, strict=True):
        variable.assign(value)
    train = examples(model, source["train"], tiny.input.windows)
    batches = list(stream(train, 16, 0, 0, 9, tiny.input.binarize))
    batches.append(tuple(part[:7] for part in batches[0]))
    # A larger epsilon: Adam turns rounding of tiny gradients into whole steps, and
    # clipped gradients of millions of weights are all tiny.
    optimizer = keras.optimizers.Adam(1e-3, epsilon=1e-2, global_clipnorm=1.0)
    model.compile(optimizer, jit_compile=False, **options)
    for batch in batches:
        batch = [part.numpy() for part in batch]
        model.fit(*batch, batch_size=16, shuffle=False, verbose=0)
    return model, before


def values(model) -> list[np.ndarray]:
    """What its variables hold."""
    return [v.numpy() for v in model.variables]


def _weights(tiny, **options):
    model, _ = trained(tiny, **options)
    return model, values(model)


def test_many_devices_and_parts_are_one(tiny, two_replicas):
    model, one = _weights(tiny)
    with two_replicas.scope():
        _, two = _weights(tiny)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    if any("moving_mean" in v.path for v in model.variables):
        return  # batch normalisation sees the parts of a batch, not the whole
    _, halves = _weights(tiny, accumulate=2)
    for a, b in zip(one, halves, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_rows_are_independent_of_their_batch(model):
    for name, signature in served(model).items():
        inputs = signature.example(3)
        together = model.serve(name, **inputs)
        for i in range(3):
            alone = model.serve(name, **{k: v[i : i + 1] for k, v in inputs.items()})
            for key, value in alone.items():
                row, both = value[0], together[key][i]
                if value.dtype == object:  # strings
                    row, both = (np.atleast_1d(part).tolist() for part in (row, both))
                    assert row == both[: len(row)] and not any(both[len(row) :])
                    continue
                if row.shape != both.shape:  # filled up to the longest
                    row, rest = np.zeros_like(both), row
                    row[: len(rest)] = rest
                tolerance = {"atol": signature.tolerance, "rtol": 1e-5}
                np.testing.assert_allclose(row, both, **tolerance)


def test_seeds_are_samples(model):
    if "generate" not in model.signatures():
        pytest.skip("not a generative model")
    sixteen = model.generate(16, seed=7)
    if isinstance(sixteen, list):
        assert model.generate(4, seed=7) == sixteen[:4] != model.generate(4, seed=8)
        return
    np.testing.assert_allclose(model.generate(4, seed=7), sixteen[:4], atol=1e-6)
    assert not np.allclose(model.generate(4, seed=8), sixteen[:4])
    assert np.isfinite(sixteen).all()


@pytest.mark.skipif(backend.is_jax(), reason="TensorFlow exports")
def test_exports_answer_the_same_everywhere(tiny, model, tmp_path):
    export(model, tmp_path / "artifact", recipe=tiny)  # raises where they don't
    manifest = json.loads((tmp_path / "artifact" / "parity.json").read_text())
    found = {
        (tiny.family, r["runtime"], r["signature"]) for r in manifest["unsupported"]
    }
    assert found == {entry for entry in UNSUPPORTED if entry[0] == tiny.family}
    rows, variants = manifest["rows"], {r["runtime"] for r in manifest["variants"]}
    int8 = [signature.int8 for signature in model.signatures().values()]
    assert ("onnx-int8" in variants) == any(int8)
    assert "onnx-fp16" in variants
    runtimes = {row["runtime"] for row in rows}
    without = {"litert"} if tiny.family == "translator" else set()
    assert runtimes | without == {"savedmodel", "tensorflow_c", "onnx", "litert"}
    tolerances = [row["tolerance"] for row in rows]
    assert max(tolerances) <= 2e-3
