"""Signatures: names, types, shapes, defaults."""

import numpy as np
import pytest
from keras import ops

from kerasgen.errors import InputError
from kerasgen.signature import Input, Signature


@pytest.fixture
def doubled():
    inputs = {"x": Input((2,)), "times": Input((), "int32", 1, 9, default=2)}
    return Signature(
        lambda x, times: {"y": x * ops.cast(times, "float32")[:, None]}, inputs, ("y",)
    )


def test_computes_with_defaults(doubled):
    outputs = doubled(x=[[1, 2], [3, 4]])
    np.testing.assert_array_equal(outputs["y"], [[2, 4], [6, 8]])
    assert doubled(x=[[1, 2]], times=[5])["y"].tolist() == [[5, 10]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"times": [1]}, "'x' is missing"),
        ({"x": [[1, 2]], "z": [1]}, "unknown input 'z'"),
        ({"x": [[1, 2, 3]]}, "must have shape"),
        ({"x": [[1, 2]], "times": [1, 2]}, "must have shape"),
    ],
)
def test_bad_inputs_get_one_line(doubled, values, message):
    with pytest.raises(InputError, match=message):
        doubled(**values)


def test_an_input_and_an_output_may_not_share_a_name():
    with pytest.raises(InputError, match="'x' names an input and an output"):
        Signature(lambda x: {"x": x}, {"x": Input()}, ("x",))


def test_examples_are_in_range_and_repeatable(doubled):
    a, b = doubled.example(4, seed=1), doubled.example(4, seed=1)
    assert a["x"].shape == (4, 2) and a["x"].dtype == "float32"
    assert a["times"].min() >= 1 and a["times"].max() < 9
    np.testing.assert_array_equal(a["x"], b["x"])
