"""Networks: shapes, names, users' own, flows."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasgen import networks
from kerasgen.errors import InputError
from kerasgen.networks.flow import CouplingFlow


@pytest.mark.parametrize("name", ["dense", "residual"])
@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (30, 20, 3)])
def test_shapes(name, shape):
    encoder = networks.build("encoder", name, input_shape=shape, outputs=6)
    decoder = networks.build("decoder", name, inputs=6, output_shape=shape)
    assert encoder(np.zeros((2, *shape))).shape == (2, 6)
    assert decoder(np.zeros((2, 6))).shape == (2, *shape)


@pytest.mark.parametrize("shape", [(8, 8, 1), (30, 20, 3)])
def test_classifiers_give_features(shape):
    build = lambda spec: networks.build(  # noqa: E731
        "classifier", spec, input_shape=shape, outputs=6
    )
    keras.utils.set_random_seed(0)
    network = build({"name": "convolutional", "widths": [4, 8]})
    features = network(np.random.default_rng(0).uniform(size=(3, *shape)))
    assert features.shape == (3, 6) and np.ptp(features, axis=0).max() > 0
    assert build(network) is network  # a user's own fits, too


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("resdual", "did you mean residual"),
        ({"name": "dense", "width": [3]}, "did you mean widths"),
        ({"name": "dense", "widths": [0]}, "at least 1"),
        ({"name": "residual", "widths": []}, "at least one layer"),
        ({"widths": [3]}, "unknown encoder network None"),
    ],
)
def test_bad_specs_get_one_line(spec, message):
    with pytest.raises(InputError, match=message):
        networks.build("encoder", spec, input_shape=(8, 8, 1), outputs=2)


def test_users_networks_are_checked():
    wrong = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    with pytest.raises(InputError, match=r"into \(4,\), not \(3,\)"):
        networks.build("encoder", wrong, input_shape=(8, 8, 1), outputs=4)


def test_dtype_policy_reaches_the_layers():
    network = networks.build(
        "encoder", "dense", "mixed_bfloat16", input_shape=(8, 8, 1), outputs=2
    )
    assert network.layers[2].compute_dtype == "bfloat16"
    assert network(np.zeros((1, 8, 8, 1))).dtype == tf.float32
    assert keras.config.dtype_policy().name == "float32"


@pytest.fixture
def flow():
    keras.utils.set_random_seed(0)
    flow = CouplingFlow(5, depth=4, width=16)
    rng = np.random.default_rng(0)
    for variable in flow.trainable_variables:
        variable.assign(rng.normal(size=variable.shape) * 0.3)
    return flow


def test_flow_density_is_that_of_its_samples(flow):
    """log p(f(e)) = log N(e) - log |det df/de|, by automatic differentiation."""
    noise = tf.constant(np.random.default_rng(1).normal(size=(3, 5)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(noise)
        z = flow(noise)
    jacobian = tape.batch_jacobian(z, noise)
    log_normal = -0.5 * tf.reduce_sum(noise**2, 1) - 2.5 * np.log(2 * np.pi)
    expected = log_normal - tf.math.log(tf.abs(tf.linalg.det(jacobian)))
    np.testing.assert_allclose(flow.log_prob(z), expected, rtol=1e-4)


def test_flow_starts_as_the_standard_normal():
    fresh = CouplingFlow(4, depth=3, width=8)
    noise = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    np.testing.assert_array_equal(fresh(noise), noise)
