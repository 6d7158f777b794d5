"""Shorter ONNX graphs that compute the same."""

from collections import Counter

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
import tf2onnx
from keras import layers, ops

from kerasgen.export.rewrites import shorten

X = np.random.default_rng(0).normal(size=(3, 6)).astype("float32")


def session(model, **options):
    values = onnxruntime.SessionOptions()
    for key, value in options.items():
        setattr(values, key, value)
    return onnxruntime.InferenceSession(model.SerializeToString(), values)


def shortened(function, x=X):
    """The operations that `function` becomes; its answers are the same."""
    keras.utils.set_random_seed(0)
    spec = [tf.TensorSpec((None, *x.shape[1:]), x.dtype, "x")]
    long, _ = tf2onnx.convert.from_function(
        tf.function(function, input_signature=spec), input_signature=spec, opset=18
    )
    short = shorten(long)
    onnx.checker.check_model(short, full_check=True)
    (before,), (after,) = (session(m).run(None, {"x": x}) for m in (long, short))
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after, function(tf.constant(x)), rtol=1e-5, atol=1e-5)
    return short, Counter(node.op_type for node in short.graph.node)


def with_weights(layer):
    layer.build((None, 6))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    return layer


def test_layer_normalization_is_one():
    layer = with_weights(layers.LayerNormalization(epsilon=1e-5))
    _, found = shortened(layer)
    assert found["LayerNormalization"] == 1
    assert not {"ReduceMean", "Sqrt", "Mul", "Add"} & set(found)


def test_normalization_over_another_axis_stays():
    layer = layers.LayerNormalization(axis=1)
    layer.build((None, 4, 6))
    _, found = shortened(layer, np.stack([X, 2 * X, X**2, -X], axis=1))
    assert found["LayerNormalization"] == 0


def test_rms_normalization_is_one_in_onnx_runtime(tmp_path):
    model, _ = shortened(with_weights(layers.RMSNormalization(epsilon=1e-5)))
    path = tmp_path / "optimized.onnx"
    session(model, optimized_model_filepath=str(path))
    found = Counter(node.op_type for node in onnx.load(path).graph.node)
    assert found == {"SimplifiedLayerNormalization": 1}


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_where(dtype):
    def function(x):
        return ops.where(x > 0.0, ops.cast(3.0 * x, dtype), ops.cast(x, dtype) - 1)

    _, found = shortened(function)
    assert found["Where"] == 1 and found["Not"] == 0


def test_places_from_the_end():
    places = np.array([[0], [-1], [4], [-5]], "int32")
    table = X.reshape(-1)[:5]
    _, found = shortened(lambda x: ops.take(table, x), places)
    assert found == {"Gather": 1}

    def other(x):  # looks alike
        return tf.gather(table, tf.where(x < 0, x + 6, x))

    _, found = shortened(other, np.array([[0], [-2]], "int32"))
    assert found["Where"] == 1


def test_clip():
    _, found = shortened(lambda x: ops.clip(x, -0.5, 0.5))
    assert found == {"Clip": 1}
    _, found = shortened(lambda x: ops.maximum(ops.minimum(x, x[:, :1]), 0.0))
    assert found["Clip"] == 0


def test_a_slice_of_everything():
    _, found = shortened(lambda x: ops.exp(x)[:, None] * 2.0)
    assert found["Slice"] == 0
    _, found = shortened(lambda x: ops.exp(x)[:, None, 1:] * 2.0)
    assert found["Slice"] == 1
