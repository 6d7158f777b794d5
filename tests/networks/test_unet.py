"""Denoisers: shapes, sizes, and normalisation as Keras's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasgen import networks
from kerasgen.errors import InputError
from kerasgen.models.trainers.tensorflow import compiled
from kerasgen.networks.embeddings import SinusoidalEmbedding
from kerasgen.networks.fused import fusing
from kerasgen.networks.group_norm import GroupNorm, GroupNormSiLU


def built(values, shape, classes=0, dtype=None):
    return networks.build("denoiser", values, dtype, image_shape=shape, classes=classes)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize(
    ("values", "shape"),
    [
        ("convolutional", (7, 5, 2)),
        ({"name": "unet", "widths": [8], "blocks": 1, "heads": 0}, (7, 5, 2)),
        (
            {"name": "unet", "widths": [8, 16, 24], "attention": [2], "heads": 2},
            (8, 8, 1),
        ),
        ({"name": "unet", "widths": [8, 16], "patch": 2, "dropout": 0.1}, (12, 8, 3)),
    ],
)
def test_shapes(values, shape, classes):
    network = built(values, shape, classes)
    for weight in network.trainable_variables:  # some begin as zeros
        weight.assign(weight + 0.1)
    rows = np.ones((2, *shape)), np.array([0.0, 999.0]), np.eye(3)[:2]
    by_time = np.asarray(network(rows[: 3 if classes else 2]))
    assert by_time.shape == (2, *shape)
    assert not np.allclose(*by_time)
    if classes:
        by_label = network((rows[0], np.zeros(2), rows[2]))
        assert not np.allclose(*np.asarray(by_label))


def test_the_network_of_the_ddpm_paper():
    """Ho et al. (2020), appendix B: 35.7 million parameters for CIFAR-10."""
    values = {"name": "unet", "widths": [128, 256, 256, 256], "attention": [16]}
    assert built(values, (32, 32, 3)).count_params() == pytest.approx(35.7e6, rel=0.01)


def test_patches_are_space_to_depth():
    """A strided convolution of 6×6 is one of 3×3 over squares of 2×2 pixels."""
    network = built({"name": "unet", "widths": [8], "patch": 2}, (8, 8, 3))
    first = next(x for x in network.layers if isinstance(x, keras.layers.Conv2D))
    images = np.random.default_rng(0).random((1, 8, 8, 3)).astype("float32")
    deep = images.reshape(1, 4, 2, 4, 2, 3).transpose(0, 1, 3, 2, 4, 5)
    deep = deep.reshape(1, 4, 4, 12)
    kernel = first.kernel.numpy().reshape(3, 2, 3, 2, 3, 8)
    kernel = kernel.transpose(0, 2, 1, 3, 4, 5).reshape(3, 3, 12, 8)
    expected = keras.ops.conv(deep, kernel, padding="same")
    np.testing.assert_allclose(first(images) - first.bias, expected, atol=1e-5)


def test_group_norm_is_that_of_keras():
    x = np.random.default_rng(0).normal(3.0, 2.0, (2, 5, 4, 12)).astype("float32")
    ours, theirs = GroupNorm(), keras.layers.GroupNormalization(3, epsilon=1e-5)
    for layer in (ours, theirs):
        layer.build(x.shape)
    rng = np.random.default_rng(1)
    for mine, other in ((ours.gain, theirs.gamma), (ours.bias, theirs.beta)):
        values = rng.normal(size=12)
        mine.assign(values)
        other.assign(values)
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-5)
    activated = GroupNormSiLU()
    activated.build(x.shape)
    activated.set_weights(ours.get_weights())
    np.testing.assert_allclose(activated(x), keras.ops.silu(theirs(x)), atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_group_norm_with_silu_has_the_same_gradients_in_few_passes(dtype):
    rng = np.random.default_rng(0)
    x, weights = rng.normal(1.0, 2.0, (2, 2, 5, 4, 12)).astype("float32")
    layer = GroupNormSiLU(dtype=dtype)
    layer.build(x.shape)
    layer.set_weights([rng.normal(size=12) for _ in range(2)])

    def gradients(compiler):
        with fusing(compiler), tf.GradientTape() as tape:
            tape.watch(values := tf.cast(x, layer.compute_dtype))
            outputs = layer(values)
            loss = tf.reduce_sum(tf.cast(outputs, "float32") * weights)
        return [
            outputs,
            *tape.gradient(loss, [values, layer.gain.value, layer.bias.value]),
        ]

    atol = 1e-4 if dtype == "float32" else 0.3
    for plain, one in zip(gradients(None), gradients(compiled), strict=True):
        assert plain.dtype == one.dtype
        np.testing.assert_allclose(one, plain, atol=atol)


def test_times_are_told_apart():
    codes = np.asarray(SinusoidalEmbedding(16)(np.arange(1000.0, dtype="float32")))
    assert codes.shape == (1000, 16) and np.abs(codes).max() <= 1.0
    gaps = np.linalg.norm(codes[1:] - codes[:-1], axis=1)
    assert gaps.min() > 0.05


def test_mixed_precision_reaches_the_layers():
    values = {"name": "unet", "widths": [8, 8], "blocks": 1}
    network = built(values, (8, 8, 1), dtype="mixed_bfloat16")
    dtypes = {layer.compute_dtype for layer in network.layers}
    assert {"bfloat16", "float32"} == dtypes
    images = np.random.default_rng(0).random((2, 8, 8, 1))
    assert network((images, np.zeros(2))).dtype == "float32"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"widths": [8, 8, 8]}, "needs sides that 4 divides, not 6×6"),
        ({"widths": []}, "at least one resolution"),
        ({"widths": [8], "heads": 3}, "heads must be a divisor of 8"),
        ({"width": 8}, "did you mean widths"),
    ],
)
def test_bad_values_get_one_line(values, message):
    with pytest.raises(InputError, match=message):
        built({"name": "unet"} | values, (6, 6, 1))


def test_users_denoisers_are_checked():
    inputs = (keras.Input((8, 8, 1)), keras.Input(()))
    wrong = keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs[0]))
    with pytest.raises(InputError, match=r"into \(8, 8, 1\), not \(6, 6, 2\)"):
        built(wrong, (8, 8, 1))
