"""Artifacts: whole, verified, and of use without kerasgen."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
import toy

import kerasgen
from kerasgen import manifest
from kerasgen.cli import main
from kerasgen.errors import InputError, RunError
from kerasgen.export import reproducible, runtimes, verify
from kerasgen.models.base import Model


def test_the_files_of_an_artifact(digits_artifact):
    names = {path.name for path in digits_artifact.iterdir()}
    assert names >= {"1", "onnx", "litert", "model.keras", "recipe.yaml", "README.md"}
    assert names >= {"metrics.json", "parity.json", "samples.png", "manifest.json"}
    signatures = ["decode", "encode", "generate", "reconstruct", "score"]
    found = {path.name.split(".")[0] for path in digits_artifact.glob("onnx/*.onnx")}
    assert sorted(found) == signatures
    found = {path.name for path in (digits_artifact / "litert").iterdir()}
    assert found == {"model.tflite", "model.int8.tflite"}
    for runtime in ("litert", "litert-int8"):
        held = runtimes.held_by(runtimes.path(runtime, digits_artifact))
        assert sorted(held) == signatures
    figures = json.loads((digits_artifact / "metrics.json").read_text())["figures"]
    assert {"elbo", "nll", "nll_k500", "reconstruction_error"} <= set(figures)
    for figure in figures.values():
        kept = {"value", "unit", "split", "samples", "protocol", "identity"}
        assert set(figure) == kept
    card = (digits_artifact / "README.md").read_text()
    assert f"{figures['nll']['value']:.4g} nats" in card
    assert f"Of the weights `{figures['nll']['identity']['weights'][:12]}`" in card


def test_verify_passes(digits_artifact, capsys):
    assert main(["verify", str(digits_artifact)]) == 0
    *rows, last = capsys.readouterr().out.splitlines()
    fields = [row.split() for row in rows]
    batches = {(ok, batch) for ok, _, _, _, batch, *_ in fields}
    assert batches == {("ok", "1"), ("ok", "2"), ("ok", "3")}
    assert {row[2] for row in fields} == {
        *runtimes.RUNTIMES,
        "onnx-fp16",
        "litert-int8",
    }
    assert f"{len(rows)} comparisons equal" in last


FILES = [
    "1/saved_model.pb",
    "onnx/generate.onnx",
    "litert/model.tflite",
    "model.keras",
    "metrics.json",
    "README.md",
    "samples.png",
    "manifest.json",
    "manifest.sha256",
]


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_named(digits_artifact, tmp_path, name, capsys):
    copy = shutil.copytree(digits_artifact, tmp_path / "copy")
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    assert main(["verify", str(copy)]) == 1
    assert name in capsys.readouterr().err


def test_added_removed_and_linked_files_are_named(digits_artifact, tmp_path, capsys):
    copy = shutil.copytree(digits_artifact, tmp_path / "copy")
    (copy / "onnx" / "extra.onnx").write_bytes(b"")
    (copy / "samples.png").unlink()
    (copy / "recipe.yaml").rename(tmp_path / "recipe.yaml")
    (copy / "recipe.yaml").symlink_to(tmp_path / "recipe.yaml")
    assert main(["verify", str(copy)]) == 1
    errors = capsys.readouterr().err
    assert "onnx/extra.onnx: not in manifest.json" in errors
    assert "samples.png: missing" in errors and "recipe.yaml: changed" in errors


def test_an_export_that_differs_is_not_written(digits_run, tmp_path, monkeypatch):
    model = kerasgen.load(digits_run)
    monkeypatch.setattr("kerasgen.export.runtimes.RUNTIMES", {"onnx": runtimes.onnx})
    monkeypatch.setattr(Model, "serve", lambda self, name, **rows: {"x": np.zeros(1)})
    with pytest.raises(RunError, match="export failed: generate in onnx"):
        model.export(tmp_path / "artifact", formats=["onnx"])
    assert not list(tmp_path.iterdir())


class Unportable(toy.LinearGaussian):
    """Draws by what no format but one that is refused has."""

    def signatures(self):
        return {"generate": super().signatures()["generate"]}

    def sample(self, seed):
        shape = (keras.ops.shape(seed)[0], 1, self.latent_dim)
        return self.decode(keras.random.normal(shape))[:, 0]


@pytest.mark.parametrize("formats", [["onnx"], ["litert"], ["onnx", "litert"]])
def test_an_export_of_nothing_says_why(formats, tmp_path):
    model = Unportable((4, 4, 1), latent_dim=2)
    with pytest.raises(RunError) as caught:
        model.export(tmp_path / "artifact", formats=formats)
    for format in formats:
        assert f"generate to {format}: " in str(caught.value)
    assert "StatelessRandom" in str(caught.value) and not list(tmp_path.iterdir())


class OnnxOnly(toy.LinearGaussian):
    """Serves what is for ONNX alone."""

    def signatures(self):
        found = super().signatures()["generate"]
        found.only, found.why = "onnx", "of a test"
        return {"generate": found}


def test_formats_that_no_signature_is_for_are_refused(tmp_path):
    model = OnnxOnly((4, 4, 1), latent_dim=2)
    for format in ("tf_saved_model", "litert"):
        with pytest.raises(InputError, match="no signature of OnnxOnly is for"):
            model.export(tmp_path / format, format=format)
    with pytest.raises(InputError, match="no signature is for savedmodel: leave"):
        model.export(tmp_path / "artifact")
    model.export(tmp_path / "artifact", formats=["onnx", "litert"])
    rows = json.loads((tmp_path / "artifact" / "parity.json").read_text())["rows"]
    assert {row["runtime"] for row in rows} == {"onnx"}
    assert kerasgen.verify(tmp_path / "artifact")


def test_weights_that_are_no_numbers_are_not_shipped(digits_run, tmp_path):
    model = kerasgen.load(digits_run)
    model.decoder.variables[0].assign(model.decoder.variables[0] * np.nan)
    with pytest.raises(InputError, match="numbers of its weight .* are NaN"):
        model.export(tmp_path / "artifact")
    assert not list(tmp_path.iterdir())


def test_a_folder_of_something_else_is_not_replaced(digits_run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("important")
    with pytest.raises(InputError, match="something else than an artifact"):
        kerasgen.load(digits_run).export(tmp_path / "mine")


def test_a_file_is_no_folder(digits_run, tmp_path):
    (tmp_path / "mine.py").write_text("important")
    model = kerasgen.load(digits_run)
    with pytest.raises(InputError, match="mine.py is a file: give a folder"):
        model.export(tmp_path / "mine.py")
    with pytest.raises(InputError, match="can't be made: .*: give another path"):
        model.export(tmp_path / "mine.py" / "model.onnx", format="onnx")
    assert (tmp_path / "mine.py").read_text() == "important"


def test_missing_folders_are_made(digits_run, tmp_path):
    path = tmp_path / "no" / "where" / "model.onnx"
    kerasgen.load(digits_run).export(path, format="onnx", signature="generate")
    assert path.is_file()


def test_the_savedmodel_works_without_kerasgen_and_keras(digits_artifact):
    program = (
        "import sys; sys.modules['kerasgen'] = sys.modules['keras'] = None\n"
        "import tensorflow as tf\n"
        f"m = tf.saved_model.load({str(digits_artifact / '1')!r})\n"
        "print(m.signatures['generate'](seed=tf.constant([1, 2]))['images'].shape)\n"
        "assert 'serving_default' in m.signatures\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True
    )
    assert done.stdout.strip() == "(2, 8, 8, 1)", done.stderr


def test_every_runtime_draws_the_same_samples(digits_artifact, tmp_path):
    samples = {}
    for runtime in ("keras", "savedmodel", "onnx", "litert"):
        out = tmp_path / f"{runtime}.npy"
        arguments = ["generate", str(digits_artifact), "--seed", "7", "--out", str(out)]
        assert main([*arguments, "-n", "16", "--runtime", runtime, "--quiet"]) == 0
        samples[runtime] = np.load(out)
        assert main([*arguments, "-n", "4", "--runtime", runtime, "--quiet"]) == 0
        np.testing.assert_allclose(np.load(out), samples[runtime][:4], atol=1e-6)
    for other in samples.values():
        np.testing.assert_allclose(other, samples["keras"], atol=1e-4)


def test_evaluate_through_another_runtime(digits_artifact, tmp_path):
    results = {}
    for runtime in ("keras", "onnx"):
        out = tmp_path / f"{runtime}.json"
        arguments = ["evaluate", str(digits_artifact), "--runtime", runtime]
        assert main([*arguments, "--samples", "5", "--json", str(out)]) == 0
        results[runtime] = json.loads(out.read_text())["figures"]
    assert results["keras"].keys() == results["onnx"].keys()
    for name, figure in results["onnx"].items():
        assert figure["value"] == pytest.approx(
            results["keras"][name]["value"], rel=1e-4
        )
        assert figure["samples"] == 5


def test_onnx_axes_and_metadata(digits_artifact):
    proto = onnx.load(digits_artifact / "onnx" / "score.onnx")
    for value in [*proto.graph.input, *proto.graph.output]:
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert metadata["signature"] == "score" and "2654435761" in metadata["seed_rule"]
    assert metadata["opset"] == "18" and metadata["ir_version"] == str(proto.ir_version)
    assert metadata["description"] and json.loads(metadata["labels"])[7] == "7"


def test_weights_are_stored_once(digits_artifact):
    folder = digits_artifact / "onnx"
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    shared, half = sizes.pop("shared.weights"), sizes.pop("shared.fp16.weights")
    assert shared > 10 * max(sizes.values())
    assert half == pytest.approx(shared / 2, rel=0.01)
    exact, small = (
        runtimes.path(runtime, digits_artifact).stat().st_size
        for runtime in ("litert", "litert-int8")
    )
    assert shared < exact < 1.1 * shared and small < 0.5 * exact
    assert not any(Path(path).is_symlink() for path in folder.iterdir())


def test_smaller_weights_are_measured(digits_artifact, tmp_path):
    rows = json.loads((digits_artifact / "parity.json").read_text())["variants"]
    halves = [row for row in rows if row["runtime"] == "onnx-fp16"]
    for row in halves:
        most = 5e-3 if row["signature"] == "score" else 1e-3  # nats, and the rest
        assert row["ok"] and 0 < row["max_abs_difference"] < most
    rows = [row for row in rows if row not in halves]
    assert {row["runtime"] for row in rows} == {"litert-int8"}
    assert len({row["signature"] for row in rows}) == 5
    for row in rows:
        assert row["max_abs_difference"] > 0 and row["ok"]
    images = {row["max_abs_difference"] for row in rows if row["signature"] == "decode"}
    assert max(images) < 0.2


def test_what_8_bits_spoil_is_left_out(digits_artifact, tmp_path, monkeypatch):
    """The file is made anew of the other signatures, and these are compared again."""
    rows = json.loads((digits_artifact / "parity.json").read_text())["variants"]
    loss = {}
    for row in [row for row in rows if row["runtime"] == "litert-int8"]:
        most = max(loss.get(row["signature"], 0.0), row["rms_difference"])
        loss[row["signature"]] = most
    limit = sorted(loss.values())[2]
    monkeypatch.setitem(verify.LOSS, "litert-int8", limit * 1.001)
    out = kerasgen.load(digits_artifact).export(tmp_path / "a", formats=["litert"])
    near = {name for name, most in loss.items() if most <= limit}
    assert set(runtimes.held_by(runtimes.path("litert-int8", out))) == near
    recorded = json.loads((out / "parity.json").read_text())
    assert {row["signature"] for row in recorded["variants"]} == near
    assert {row["signature"] for row in recorded["left_out"]} == loss.keys() - near


def test_equal_models_give_equal_files(digits_run, digits_artifact, tmp_path):
    """In another process, with other hashes of strings, and where other models were
    before."""
    command = ["export", str(digits_run), "--out", str(tmp_path / "again"), "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "kerasgen", *command],
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "7"},
    )
    names = manifest.files(digits_artifact)
    assert names == manifest.files(tmp_path / "again")
    differ = [
        name
        for name in [*names, manifest.NAME, manifest.DIGEST]
        if (digits_artifact / name).read_bytes()
        != (tmp_path / "again" / name).read_bytes()
    ]
    assert not differ


def test_a_model_that_was_loaded_gives_the_same_file(digits_artifact, tmp_path):
    model = reproducible.baked(kerasgen.load(digits_artifact))
    model.save(tmp_path / "model.keras")
    reproducible.settle_keras(tmp_path / "model.keras")
    content = (digits_artifact / "model.keras").read_bytes()
    assert (tmp_path / "model.keras").read_bytes() == content
