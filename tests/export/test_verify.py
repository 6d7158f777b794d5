"""What counts as equal, and products of 8 bits that no processor cuts off."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import kerasgen
from kerasgen import tokenizers
from kerasgen.export import loops, verify
from kerasgen.export import onnx as exporter


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
    assert verify._difference(a, b) == pytest.approx((absolute, relative))


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
    assert verify._difference(expected, other) == (None, None)


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
