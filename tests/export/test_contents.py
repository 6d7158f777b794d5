"""What an artifact must hold, whatever its hashes and its own lists say."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

import kerasgen
from kerasgen import manifest
from kerasgen.cli import main
from kerasgen.errors import RunError
from kerasgen.export import contents, litert, runtimes, serving, verify
from kerasgen.models.loading import load_keras


@pytest.fixture
def copy(digits_artifact, tmp_path):
    return shutil.copytree(digits_artifact, tmp_path / "copy")


def signed(folder, **changes):
    """The folder, with the hashes of what is there now."""
    content = manifest.read(folder) | changes
    del content["files"]
    manifest.write(folder, content)
    return folder


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def another_version(folder):
    shutil.copytree(folder / "1", folder / "2")


def an_empty_version(folder):
    (folder / "2").mkdir()


def a_file_and_its_rows_gone(folder):
    (folder / "onnx" / "decode.onnx").unlink()

    def without(content):
        content["rows"] = [
            row
            for row in content["rows"]
            if (row["signature"], row["runtime"]) != ("decode", "onnx")
        ]

    edit(folder / "parity.json", without)


def weights_gone(folder):
    (folder / "onnx" / "shared.weights").unlink()


def no_savedmodel(folder):
    shutil.rmtree(folder / "1")


def rows_emptied(folder):
    edit(folder / "parity.json", lambda content: content["rows"].clear())


def nothing_left(folder):
    for name in ("1", "onnx", "litert"):
        shutil.rmtree(folder / name)
    signatures = manifest.read(folder)["signatures"]

    def emptied(content):
        content |= {"rows": [], "variants": [], "left_out": []}
        content["unsupported"] = [
            {"signature": name, "runtime": "litert", "reason": ""}
            for name in signatures
        ]

    edit(folder / "parity.json", emptied)
    content = manifest.read(folder) | {"formats": ["litert"]}
    (folder / manifest.NAME).write_text(json.dumps(content))


def rows_invented(folder):
    row = {"signature": "dream", "runtime": "onnx", "batch": 1}
    edit(folder / "parity.json", lambda content: content["rows"].append(row))


def parity_truncated(folder):
    (folder / "parity.json").write_text('{"rows": [')


def a_foreign_file(folder):
    (folder / "litert" / "payload.bin").write_bytes(b"x")


def signatures_of_litert(names):
    def change(folder):
        content = litert.convert(folder / "1", names)
        runtimes.path("litert", folder).write_bytes(content)

    return change


def a_picture_that_no_card_shows(folder):
    shutil.copy(folder / "samples.png", folder / "other.png")


def figures_of_others(folder):
    def change(content):
        content["figures"]["nll"]["identity"]["weights"] = "0" * 64

    edit(folder / "metrics.json", change)


def figures_truncated(folder):
    (folder / "metrics.json").write_text("{")


def warmup_garbage(folder):
    (folder / "1" / serving.WARMUP).write_bytes(b"garbage" * 9)


def warmup_of_another_kind(folder):
    log = prediction_log_pb2.PredictionLog()
    log.classify_log.request.model_spec.name = "x"
    with tf.io.TFRecordWriter(str(folder / "1" / serving.WARMUP)) as writer:
        writer.write(log.SerializeToString())


def warmed_up(requests):
    def change(folder):
        own = serving.read_warmup(folder / "1") | requests
        (folder / "1" / serving.WARMUP).unlink()
        (folder / "1" / serving.WARMUP).parent.rmdir()
        own = {name: inputs for name, inputs in own.items() if inputs}
        serving.write_warmup(folder / "1", "x", own)

    return change


def resaved(change):
    """With `change` made to the functions of the SavedModel."""

    def save(folder):
        loaded = tf.saved_model.load(str(folder / "1"))
        functions = {name: loaded.signatures[name] for name in loaded.signatures}
        module = tf.Module()
        module.variables_ = list(functions["generate"].variables)
        module.others = [loaded]
        change(functions)
        warmup = (folder / "1" / serving.WARMUP).read_bytes()
        shutil.rmtree(folder / "1")
        tf.saved_model.save(module, str(folder / "1"), signatures=functions)
        (folder / "1" / "fingerprint.pb").unlink()
        (folder / "1" / serving.WARMUP).parent.mkdir()
        (folder / "1" / serving.WARMUP).write_bytes(warmup)

    return save


SEEDS = [tf.TensorSpec([None], tf.int32, name="seed")]


def one_more(functions):
    @tf.function(input_signature=SEEDS)
    def steal(seed):
        return {"secret": seed}

    functions["steal"] = steal


def another_output(functions):
    @tf.function(input_signature=SEEDS)
    def generate(seed):
        return {"pictures": tf.cast(seed, tf.float32)}

    functions["generate"] = generate


def another_default(functions):
    functions["serving_default"] = functions["decode"]


FORGED = [
    (another_version, "2/saved_model.pb: no file of such an artifact"),
    (an_empty_version, "2/: no folder of such an artifact"),
    (a_file_and_its_rows_gone, "onnx/decode.onnx: missing"),
    (weights_gone, "onnx/shared.weights: missing"),
    (no_savedmodel, "1/saved_model.pb: missing"),
    (nothing_left, "no signature is in any format: there is nothing to compare"),
    (rows_emptied, "parity.json: decode litert 1: missing"),
    (rows_invented, "parity.json: dream onnx 1: of no file"),
    (parity_truncated, "parity.json: missing or damaged"),
    (a_foreign_file, "litert/payload.bin: no file of such an artifact"),
    (
        signatures_of_litert(["decode", "generate"]),
        "litert/model.tflite: no signature encode",
    ),
    (
        signatures_of_litert(["generate", "serving_default"]),
        "litert/model.tflite: signature serving_default is not the model's",
    ),
    (a_picture_that_no_card_shows, "other.png: no file of such an artifact"),
    (figures_of_others, "metrics.json: figures of another model: nll: of other"),
    (figures_truncated, "metrics.json: damaged"),
    (warmup_garbage, "tf_serving_warmup_requests: damaged"),
    (warmup_of_another_kind, "tf_serving_warmup_requests: damaged"),
    (warmed_up({"generate": {}}), "not one request for each signature"),
    (
        warmed_up({"decode": {"latents": np.zeros((65, 16), "float32")}}),
        "decode can't answer its request",
    ),
    (
        warmed_up({"generate": {"seed": np.zeros(1, "int64")}}),
        "generate can't answer its request",
    ),
    (resaved(one_more), "1: signature steal is not the model's"),
    (resaved(another_output), "1: inputs or outputs of generate are not the model's"),
    (
        resaved(another_default),
        "1: inputs or outputs of serving_default are not the model's",
    ),
]


@pytest.mark.parametrize(("forge", "line"), FORGED)
def test_what_is_not_the_models_is_named(copy, forge, line):
    forge(copy)
    with pytest.raises(RunError) as caught:
        kerasgen.verify(signed(copy))
    assert line in str(caught.value)


@pytest.mark.parametrize(
    "key", ["signatures", "parameters", "constants", "seed_rule", "formats"]
)
def test_the_manifest_says_what_the_model_is(copy, key, capsys):
    said = manifest.read(copy)
    false = {name: said["signatures"][name] for name in ("generate", "encode")}
    other = {"signatures": false, "formats": ["onnx", "exe"]}.get(key, "another")
    signed(copy, **{key: other})
    assert main(["verify", str(copy)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"manifest.json: {key}" in line


def test_every_signature_is_compared_and_what_servers_take_by_default(copy):
    recorded = json.loads((copy / "parity.json").read_text())
    assert {row["runtime"] for row in recorded["rows"]} == {*runtimes.RUNTIMES}
    named = {row["signature"] for row in recorded["rows"]}
    assert named == {*load_keras(copy / "model.keras").signatures(), "serving_default"}


def test_where_tensorflow_has_no_c_library_its_loader_is_left_out(
    copy, monkeypatch, capsys, tmp_path
):
    """As on macOS; what is made there is whole here, as it says why."""
    nowhere = tmp_path / "one.so", tmp_path / "other.so"
    monkeypatch.setattr(runtimes, "c_library", lambda: nowhere)
    assert main(["verify", str(copy)]) == 0
    said = capsys.readouterr()
    assert "tensorflow_c is not compared: its C library" in said.err
    assert "tensorflow_c" not in said.out

    recorded = json.loads((copy / "parity.json").read_text())
    rows = [row for row in recorded["rows"] if row["runtime"] == "tensorflow_c"]
    recorded["rows"] = [row for row in recorded["rows"] if row not in rows]
    names = dict.fromkeys(row["signature"] for row in rows)
    gone = [{"signature": n, "runtime": "tensorflow_c", "reason": ""} for n in names]
    monkeypatch.undo()
    model = load_keras(copy / "model.keras")
    (copy / "parity.json").write_text(json.dumps(recorded))
    assert len(contents.problems(model, signed(copy))) == len(rows)
    recorded["unsupported"] += gone
    (copy / "parity.json").write_text(json.dumps(recorded))
    assert contents.problems(model, signed(copy)) == []


@pytest.fixture
def compared(copy, monkeypatch):
    """A function: one runtime -> the rows of one example in it."""

    def rows(runtime):
        only = {runtime: runtimes.RUNTIMES[runtime]}
        monkeypatch.setattr(runtimes, "RUNTIMES", only)
        monkeypatch.setattr(runtimes, "VARIANTS", {})
        return verify.parity(load_keras(copy / "model.keras"), copy, verify.FIXED[:1])

    return rows


def test_wrong_answers_are_found(copy, compared):
    decode = onnx.load(copy / "onnx" / "decode.onnx")
    for tensor in decode.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            array = onnx.numpy_helper.to_array(tensor) + np.float32(0.01)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    onnx.save(decode, copy / "onnx" / "decode.onnx")
    (line,) = verify.failures(compared("onnx"))
    assert line.startswith("decode in onnx, batch 1: differs by 0.")


def test_another_default_of_the_same_form_is_found(copy, compared):
    def inverted(functions):
        right = functions["generate"]

        @tf.function(input_signature=SEEDS)
        def wrong(seed):
            return {"images": 1.0 - right(seed=seed)["images"]}

        functions["serving_default"] = wrong

    resaved(inverted)(copy)
    rows = compared("tensorflow_c")
    assert {row["signature"] for row in rows if not row["ok"]} == {"serving_default"}
    assert len(rows) == 6


def test_a_graph_that_never_ends_is_given_up(copy, compared, monkeypatch):
    def endless(functions):
        @tf.function(input_signature=SEEDS)
        def generate(seed):
            x = tf.zeros([tf.shape(seed)[0], 8, 8, 1])
            more = tf.reduce_any(seed > -(2**31))
            x = tf.while_loop(lambda x: more, lambda x: [x + 0.0], [x])[0]
            return {"images": x}

        functions["generate"] = functions["serving_default"] = generate

    resaved(endless)(copy)
    monkeypatch.setattr(verify, "PATIENCE", (8.0, 0))
    rows = compared("tensorflow_c")
    assert [row["error"] for row in rows] == ["no answer within 8 s"] * len(rows)


def test_every_verification_draws_another_example(copy, monkeypatch):
    asked = []

    def parity(model, folder, examples):
        asked.append([example for example in examples if example.fresh])
        return [{"ok": True, "fresh": 1}]

    monkeypatch.setattr(verify, "parity", parity)
    for _ in range(2):
        kerasgen.verify(copy)
    ((first,), (second,)) = asked
    assert first.seed != second.seed


@pytest.mark.parametrize("again", [True, False])
def test_a_tie_does_not_come_twice(copy, monkeypatch, again):
    """A fresh example that differs is drawn once more; the fixed ones are not."""
    asked = []

    def parity(model, folder, examples):
        asked.append(len(examples))
        ok = len(asked) > 1 and not again
        row = {"signature": "x", "runtime": "onnx", "batch": 2, "ok": ok}
        return [row | {"max_relative_difference": 1.0, "fresh": len(asked)}]

    monkeypatch.setattr(verify, "parity", parity)
    if again:
        with pytest.raises(RunError, match="x in onnx, batch 2, seed 2: differs by 1"):
            kerasgen.verify(copy)
    else:
        assert [row["fresh"] for row in kerasgen.verify(copy)] == [2]
    assert asked == [3, 1]


def test_what_differs_at_a_fixed_example_is_refused_at_once(copy, monkeypatch):
    def parity(model, folder, examples):
        assert len(examples) == 3
        row = {"signature": "x", "runtime": "onnx", "batch": 1, "ok": False}
        return [row | {"max_relative_difference": 1.0}]

    monkeypatch.setattr(verify, "parity", parity)
    with pytest.raises(RunError, match="x in onnx, batch 1: differs by 1"):
        kerasgen.verify(copy)


# What no runtime may open.


def generate(folder, runtime="savedmodel"):
    out = str(folder.parent / "out.npy")
    return main(["generate", str(folder), "--runtime", runtime, "--out", out])


def test_nothing_is_run_that_does_more_than_compute(copy, tmp_path, capsys):
    mark = tmp_path / "mark"

    def write(functions):
        @tf.function(input_signature=SEEDS)
        def generate(seed):
            with tf.control_dependencies([tf.io.write_file(str(mark), "x")]):
                return {"images": tf.zeros([tf.shape(seed)[0], 8, 8, 1])}

        functions["generate"] = generate

    resaved(write)(copy)
    assert generate(signed(copy)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "WriteFile does more than compute" in line and not mark.exists()


@pytest.mark.parametrize(
    ("runtime", "name"),
    [
        ("savedmodel", "1/variables/variables.data-00000-of-00001"),
        ("onnx", "onnx/shared.weights"),
        ("onnx-fp16", "onnx/shared.fp16.weights"),
        ("litert", "litert/model.tflite"),
    ],
)
def test_nothing_is_run_that_was_changed(copy, capsys, runtime, name):
    (copy / "README.md").write_text("my own notes")  # nothing that is run
    assert generate(copy, runtime) == 0
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    capsys.readouterr()
    assert generate(copy, runtime) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{name}: changed" in line


def test_names_of_signatures_are_no_paths(copy, capsys):
    content = manifest.read(copy)
    described = content["signatures"]["generate"]
    signed(copy, signatures={"../../elsewhere/generate": described})
    assert generate(copy, "onnx") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "manifest.json is damaged: it must hold hashes of files" in line


@pytest.mark.parametrize(
    "content", ["", "[]", "null", '{"files": 3}', '{"files": {}, "signatures": []}']
)
def test_a_damaged_manifest_is_one_line(copy, capsys, content):
    Path(copy / "manifest.json").write_text(content)
    manifest.write_digest(copy)
    for command in (
        ["verify", str(copy)],
        ["generate", str(copy), "--runtime", "onnx"],
    ):
        assert main(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "manifest.json is damaged" in line
