"""What counts as equal, and products of 8 bits that no processor cuts off."""

import keras
import numpy as np
import onnx
import pytest
import toy
from onnx import numpy_helper

import kerasgen
from kerasgen import tokenizers
from kerasgen.errors import RunError
from kerasgen.export import loops, verify
from kerasgen.export import onnx as exporter
from kerasgen.inputs import Input
from kerasgen.signature import Signature


@pytest.mark.parametrize(
    ("ours", "theirs", "absolute", "relative"),
    [
        (67_413.0, 67_413.0078125, 0.0078125, 0.0078125 / 67_413),  # one float32 step
        (0.25, 0.5, 0.25, 0.25),  # not above 1: as it is
        (-4.0, -5.0, 1.0, 0.25),
    ],
)
def test_differences_are_in_proportion_to_what_is_large(
    ours, theirs, absolute, relative
):
    a, b = ({"x": np.array([[v, 1.0]], "float32")} for v in (ours, theirs))
    found = {"max_abs_difference": absolute, "max_relative_difference": relative}
    assert verify._difference(a, b) == pytest.approx(found)


@pytest.mark.parametrize(
    "other",
    [
        {"x": np.array([np.nan], "float32")},
        {"x": np.array([1.0], "float64")},
        {"x": np.array([[1.0]], "float32")},
        {"y": np.array([1.0], "float32")},
        {},
    ],
)
def test_what_differs_by_more_than_values_is_no_number(other):
    expected = {"x": np.array([1.0], "float32")}
    assert set(verify._difference(expected, other).values()) == {None}
    assert set(verify._loss(expected, other).values()) == {None}


def test_the_loss_of_smaller_weights_is_the_root_mean_square():
    expected = {"x": np.array([[0.0, 10.0]], "float32"), "y": np.zeros(2, "float32")}
    found = {"x": np.array([[0.3, 14.0]], "float32"), "y": np.zeros(2, "float32")}
    row = verify._loss(expected, found)
    assert row["rms_difference"] == pytest.approx(np.sqrt((0.3**2 + 0.4**2) / 2))
    assert row["max_abs_difference"] == pytest.approx(4.0)


def test_tokens_of_smaller_weights_may_be_others_and_more():
    expected = {"token_ids": np.array([[1, 2, 3]], "int32")}
    found = {"token_ids": np.array([[1, 2, 4, 5]], "int32")}
    row = verify._loss(expected, found)
    assert row["max_abs_difference"] == 0.5 and row["rms_difference"] == 0.0


@pytest.mark.parametrize(("runtime", "most"), [("onnx", 1e-4), ("litert-int8", 0.1)])
def test_the_tolerance_is_that_of_the_code(runtime, most):
    """And not what the processor gave that exported the file."""
    signature = Signature(lambda x: {"y": x}, {"x": Input((2,))}, ("y",))
    example = verify.Example(1, 5, seed=1)
    expected = {"y": np.zeros((1, 2), "float32")}
    case = verify._Case("f", signature, example, {}, expected)
    for share, ok in ((0.99, True), (1.01, False)):
        answer = {"y": np.full((1, 2), most * share, "float32")}
        row = verify._row(case, runtime, answer)
        assert row["ok"] is ok and row["tolerance"] == most


class Centred(toy.LinearGaussian):
    """A row of whose samples depends on the others."""

    def sample(self, seed):
        images = super().sample(seed)
        return images - keras.ops.mean(images, axis=0)


def test_rows_that_see_each_other_are_refused(tmp_path):
    with pytest.raises(
        RunError, match="generate: a row's answer depends on the others"
    ):
        verify.parity(Centred((4, 4, 1), latent_dim=2), tmp_path)


def test_no_product_of_8_bits_can_saturate():
    """x86 without VNNI adds two products of a byte (to 255) and a weight in 16 bits."""
    words = tokenizers.Words.train(["good film", "bad film"], size=10)
    network = {"name": "attention", "width": 64}
    options = {"labels": ["bad", "good"], "network": network}
    model = kerasgen.TextClassifier(words, context=8, **options)
    small = exporter.in_8_bits(exporter.convert(model.signatures()["classify_ids"], {}))
    weights = [
        numpy_helper.to_array(tensor).astype("int32")
        for graph in loops.with_subgraphs(small.graph)
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8
    ]
    assert len(weights) >= 2 and max(w.size for w in weights) >= 64 * 64
    assert max(2 * 255 * np.abs(w).max() for w in weights) < 2**15
