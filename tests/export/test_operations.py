"""Files that could do more than compute are refused, in one line that says how."""

import shutil

import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx import TensorProto, helper

import kerasgen
from kerasgen import manifest
from kerasgen.errors import RunError
from kerasgen.export import operations


def python(x):
    return tf.py_function(lambda value: value, [x], tf.float32)


def numpy(x):
    return tf.numpy_function(lambda value: value, [x], tf.float32)


def reads(x):
    return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)


def writes(x):
    with tf.control_dependencies([tf.io.write_file("/tmp/never", "x")]):
        return tf.identity(x)


def prints(x):
    tf.print(x, output_stream="file:///tmp/never")
    return x


def lists(x):
    return x + tf.cast(tf.size(tf.io.matching_files("/*")), tf.float32)


def saves(x):
    tf.raw_ops.SaveV2(
        prefix="/tmp/never", tensor_names=["x"], shape_and_slices=[""], tensors=[x]
    )
    return x


def in_a_loop(x):
    def body(i, y):
        return i + 1, writes(y)

    return tf.while_loop(lambda i, y: i < 2, body, [0, x])[1]


def in_a_branch(x):
    return tf.cond(tf.reduce_sum(x) > 0, lambda: reads(x), lambda: x)


def mapped(x):
    return tf.map_fn(reads, x)


@pytest.mark.parametrize(
    ("function", "operation"),
    [
        (python, "EagerPyFunc"),
        (numpy, "PyFunc"),
        (reads, "ReadFile"),
        (writes, "WriteFile"),
        (prints, "PrintV2"),
        (lists, "MatchingFiles"),
        (saves, "SaveV2"),
        (in_a_loop, "WriteFile"),
        (in_a_branch, "ReadFile"),
        (mapped, "ReadFile"),
    ],
)
def test_what_a_signature_must_not_reach(function, operation, tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec([2], tf.float32, name="x")
    module.call = tf.function(lambda x: {"y": function(x)}, input_signature=[spec])
    tf.saved_model.save(module, tmp_path / "1", signatures={"call": module.call})
    (line,) = operations.problems(tmp_path)
    assert line == f"signature call: {operation} does more than compute"


def test_what_loading_must_not_do(tmp_path):
    """A table that is read from a file, filled when a server loads the model."""
    names = tmp_path / "names.txt"
    names.write_text("a\nb\n")
    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(names), tf.string, 0, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        ),
        -1,
    )
    spec = tf.TensorSpec([None], tf.string)
    module.call = tf.function(
        lambda x: {"y": module.table.lookup(x)}, input_signature=[spec]
    )
    tf.saved_model.save(module, tmp_path / "1", signatures=module.call)
    lines = operations.problems(tmp_path)
    assert any("InitializeTableFromTextFileV2 does more" in line for line in lines)


def test_verify_and_export_refuse(digits_run, digits_artifact, tmp_path, monkeypatch):
    copy = shutil.copytree(digits_artifact, tmp_path / "copy")
    module = tf.Module()
    spec = tf.TensorSpec([None], tf.int32, name="seed")
    module.call = tf.function(
        lambda seed: {"images": writes(tf.zeros([1, 8, 8, 1]))}, input_signature=[spec]
    )
    shutil.rmtree(copy / "1")
    tf.saved_model.save(module, copy / "1", signatures={"generate": module.call})
    manifest.write(copy, {"signatures": {}})  # hashes are right
    line = "signature generate: WriteFile does more than compute$"
    with pytest.raises(RunError, match=line):
        kerasgen.verify(copy)

    def write(model, path):
        shutil.copytree(copy / "1", path)

    monkeypatch.setattr("kerasgen.export.savedmodel.write", write)
    options = {"artifact": {"formats": ["savedmodel"]}, "tf_saved_model": {}}
    for format, more in options.items():
        with pytest.raises(RunError, match="^export failed: .*" + line):
            kerasgen.load(digits_run).export(tmp_path / "new", format=format, **more)
        assert not (tmp_path / "new").exists()


def test_other_files_that_loaders_prefer(digits_artifact, tmp_path):
    shutil.copytree(digits_artifact / "1", tmp_path / "1")
    (tmp_path / "1" / "saved_model.cpb").write_bytes(b"")
    (line,) = operations.problems(tmp_path)
    assert line == "1/saved_model.cpb: no file of a SavedModel"


def test_onnx_has_its_own_operations_only(tmp_path):
    def model(operation, domain, inside=False, location=None):
        x, y = (
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"
        )
        node = helper.make_node(operation, ["x"], ["y"], domain=domain)
        if inside:
            branch = helper.make_graph([node], "branch", [], [y])
            node = helper.make_node(
                "If", ["yes"], ["y"], then_branch=branch, else_branch=branch
            )
        weight = onnx.numpy_helper.from_array(np.array(True), "yes")
        if location:
            weight.external_data.add(key="location", value=location)
        return helper.make_model(helper.make_graph([node], "g", [x], [y], [weight]))

    assert operations.onnx_problems(model("Relu", "")) == []
    for inside in (False, True):
        (line,) = operations.onnx_problems(model("Gelu", "com.microsoft", inside))
        assert line == "com.microsoft.Gelu is no operation of ONNX's own"
    (line,) = operations.onnx_problems(model("Relu", "", location="../../secret"))
    assert line == "yes lies in ../../secret"
