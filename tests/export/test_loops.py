"""Loops of ONNX files: lighter, and the same."""

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import kerasgen
from kerasgen.export import loops
from kerasgen.export.onnx import convert
from kerasgen.tokenizers import Characters


def loop_of(graph):
    (loop,) = [node for node in graph.node if node.op_type == "Loop"]
    return loop, next(a.g for a in loop.attribute if a.name == "body")


def answers(model, **feeds):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, feeds)


def test_a_sampler_reads_its_weights_as_they_are():
    keras.utils.set_random_seed(0)
    network = {"name": "convolutional", "widths": [8, 8]}
    model = kerasgen.DDPM((8, 8, 1), network, classes=3, sampling_steps=4)
    signature = model.signatures()["generate"]
    proto = convert(signature, {})
    loop, body = loop_of(proto.graph)
    assert len(loop.output) == 3  # the row, x and the sampler's memory
    weights = {tensor.name: list(tensor.dims) for tensor in body.initializer}
    kernels = [node for node in body.node if node.op_type == "Conv"]
    assert len(kernels) == 3
    for node in kernels:
        assert weights[node.input[1]][2:] == [3, 3]  # as ONNX wants them
    inputs = signature.example(3)
    (found,) = answers(proto, **inputs)
    np.testing.assert_allclose(found, signature(**inputs)["images"], atol=2e-3)


@pytest.fixture
def handmade():
    """y <- y + transpose(w), last <- w, five times, w handed through as a state."""

    def value(name, kind=TensorProto.FLOAT, shape=(2, 2)):
        return helper.make_tensor_value_info(name, kind, shape)

    go = value("go_in", TensorProto.BOOL, ())
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_in"], ["go_out"]),
            helper.make_node("Transpose", ["w_in"], ["w_t"], perm=[1, 0]),
            helper.make_node("Add", ["y_in", "w_t"], ["y_out"]),
            helper.make_node("Identity", ["w_in"], ["w_out"]),
            helper.make_node("Identity", ["w_in"], ["last_out"]),
        ],
        "body",
        [
            value("i", TensorProto.INT64, ()),
            go,
            *map(value, ("w_in", "y_in", "last_in")),
        ],
        [
            value("go_out", TensorProto.BOOL, ()),
            *map(value, ("w_out", "y_out", "last_out")),
        ],
    )
    weight = np.array([[1, 2], [3, 4]], "float32")
    graph = helper.make_graph(
        [
            helper.make_node(
                "Loop",
                ["trips", "true", "w", "x", "x"],
                ["w_end", "y_end", "last_end"],
                body=body,
            )
        ],
        "graph",
        [value("x")],
        [value("y_end"), value("w_end"), value("last_end")],
        [
            onnx.numpy_helper.from_array(np.array(5, "int64"), "trips"),
            onnx.numpy_helper.from_array(np.array(True), "true"),
            onnx.numpy_helper.from_array(weight, "w"),
        ],
    )
    opset = helper.make_opsetid("", 18)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8)


def test_states_and_results_that_never_change(handmade):
    x = np.array([[0, 10], [20, 30]], "float32")
    before = answers(handmade, x=x)
    loops.lighten(handmade.graph)
    onnx.checker.check_model(handmade, full_check=True)
    loop, body = loop_of(handmade.graph)
    assert len(loop.input) == 4 and len(loop.output) == 2
    assert "Transpose" not in {node.op_type for node in body.node}
    for found, expected in zip(answers(handmade, x=x), before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_loop_has_its_own_weights_for_products():
    """Also of those that something before it reads; a table of rows it shares."""
    keras.utils.set_random_seed(0)
    network = {"name": "transformer", "width": 64, "depth": 1, "heads": 2}
    model = kerasgen.LanguageModel(Characters("abc"), 8, network, opening="a")
    signature = model.signatures()["generate"]
    proto = convert(signature, {})
    graphs = list(loops.with_subgraphs(proto.graph))
    weights = {tensor.name for graph in graphs for tensor in graph.initializer}
    assert len(weights) == sum(len(graph.initializer) for graph in graphs)
    read = []
    for graph in graphs:
        own = {tensor.name for tensor in graph.initializer}
        used = [node.input[1] for node in graph.node if node.op_type == "MatMul"]
        read.append(len(weights.intersection(used)))
        assert own >= weights.intersection(used)
    # queries, keys and values, output, two of the MLP, scores: before it, and in it
    assert read[0] == 6 and max(read[1:]) == 6

    inputs = signature.example(3)
    before, size = answers(proto, **inputs), proto.ByteSize()
    loops.without_copies(proto.graph)
    assert proto.ByteSize() < 0.7 * size
    np.testing.assert_array_equal(answers(proto, **inputs)[0], before[0])
