"""Networks: shapes, names, users' own, flows."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasgen
from kerasgen import networks
from kerasgen.errors import InputError
from kerasgen.networks.flow import CouplingFlow
from kerasgen.networks.normalization import SpectralNormalization, batch_normalization


@pytest.mark.parametrize("name", ["dense", "residual"])
@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (30, 20, 3)])
def test_shapes(name, shape):
    encoder = networks.build("encoder", name, input_shape=shape, outputs=6)
    decoder = networks.build("decoder", name, inputs=6, output_shape=shape)
    assert encoder(np.zeros((2, *shape))).shape == (2, 6)
    assert decoder(np.zeros((2, 6))).shape == (2, *shape)


@pytest.mark.parametrize("name", ["dense", "dcgan", "sngan"])
@pytest.mark.parametrize("shape", [(28, 28, 1), (30, 20, 3)])
def test_adversarial_shapes(name, shape):
    values = {} if name == "dense" else {"conditional": True}
    spec = {"name": name, "widths": [8, 6]}
    generator = networks.build("generator", spec | values, inputs=6, output_shape=shape)
    discriminator = networks.build("discriminator", spec, input_shape=shape, outputs=4)
    assert generator(np.zeros((2, 6))).shape == (2, *shape)
    assert discriminator(np.zeros((2, *shape))).shape == (2, 4)


def layer_shapes(network, kinds):
    return [layer.output.shape[1:] for layer in network.layers if type(layer) in kinds]


def test_dcgan_has_the_layers_of_its_paper():
    kinds = (keras.layers.Reshape, keras.layers.Conv2DTranspose, keras.layers.Conv2D)
    generator = networks.build(
        "generator", "dcgan", inputs=100, output_shape=(28, 28, 1)
    )
    expected = [(7, 7, 256), (7, 7, 128), (14, 14, 64), (28, 28, 1)]
    assert layer_shapes(generator, kinds) == expected
    discriminator = networks.build(
        "discriminator", "dcgan", input_shape=(28, 28, 1), outputs=1
    )
    assert layer_shapes(discriminator, kinds) == [(14, 14, 64), (7, 7, 128)]
    for size, widths in ((32, [256, 128, 64]), (64, [512, 256, 128, 64])):
        spec = {"name": "dcgan", "widths": widths}
        shape = (size, size, 3)
        generator = networks.build("generator", spec, inputs=9, output_shape=shape)
        found = layer_shapes(generator, kinds)
        assert found[0] == (8, 8, widths[0]) and found[-1] == shape


def test_sngan_has_the_blocks_of_its_table():
    """Table 4: 4·4·256, three doublings to 32; four blocks, of which two halve."""
    add = (keras.layers.Add,)
    generator = networks.build(
        "generator", "sngan", inputs=128, output_shape=(32, 32, 3)
    )
    assert layer_shapes(generator, add) == [(n, n, 256) for n in (8, 16, 32)]
    discriminator = networks.build(
        "discriminator", "sngan", input_shape=(32, 32, 3), outputs=1
    )
    assert layer_shapes(discriminator, add) == [(n, n, 128) for n in (16, 8, 8, 8)]


@pytest.mark.parametrize(
    "layer", [keras.layers.Dense(3), keras.layers.Conv2D(3, 3, padding="same")]
)
def test_spectral_normalization_divides_by_the_largest_singular_value(layer):
    keras.utils.set_random_seed(0)
    shape = (5,) if isinstance(layer, keras.layers.Dense) else (4, 4, 2)
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    normalized = SpectralNormalization(layer)
    for _ in range(100):
        normalized(x, training=True)
    bias = np.float32([0.5, -1.0, 2.0])
    kernel = layer.kernel.numpy()
    sigma = np.linalg.svd(kernel.reshape(-1, 3), compute_uv=False)[0]
    layer.bias.assign(bias)
    plain = np.asarray(layer(x)) - bias
    before = normalized.u.numpy()
    np.testing.assert_allclose(
        normalized(x), plain / sigma + bias, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(normalized.u, before)  # moves in training only


def test_spectral_normalization_has_the_papers_gradient():
    """Eq. 12: no gradient along W itself, as W / sigma(W) does not change with it."""
    keras.utils.set_random_seed(0)
    normalized = SpectralNormalization(keras.layers.Dense(3, use_bias=False))
    x = np.random.default_rng(0).normal(size=(7, 5)).astype("float32")
    for _ in range(100):
        normalized(x, training=True)
    kernel = normalized.layer.kernel
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(normalized(x) ** 2)
    gradient = tape.gradient(loss, kernel.value).numpy()
    along = np.sum(gradient * kernel.numpy())
    assert abs(along) < 1e-3 * np.linalg.norm(gradient) * np.linalg.norm(kernel)


def test_conditional_batch_normalization_begins_as_the_plain_one():
    x, condition = keras.Input((4, 4, 3)), keras.Input((2,))
    network = keras.Model([x, condition], batch_normalization(x, condition))
    rows = np.random.default_rng(0).normal(2.0, 3.0, (40, 4, 4, 3)).astype("float32")
    labels = np.eye(2, dtype="float32")[np.arange(40) % 2]
    found = network([rows, labels], training=True).numpy()
    assert abs(found.mean()) < 1e-4 and found.std() == pytest.approx(1.0, abs=1e-3)
    for kernel in network.trainable_variables:
        kernel.assign(np.array([[0.0] * 3, [2.0] * 3]))
    changed = network([rows, labels], training=True).numpy()
    np.testing.assert_allclose(changed[::2], found[::2], atol=1e-5)
    np.testing.assert_allclose(changed[1::2], 3.0 * found[1::2] + 2.0, atol=1e-4)


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


def _ending(kind, units=64):
    """A decoder of four numbers to 8×8 that ends in a sigmoid, told in five ways."""
    layers = keras.layers
    x = inputs = layers.Input((4,))
    if kind == "nested":
        return keras.Sequential([inputs, _ending("activation")])
    x = layers.Dense(units, activation="sigmoid" if kind == "argument" else None)(x)
    x = layers.Activation("sigmoid")(x) if kind == "activation" else x
    x = keras.ops.sigmoid(x) if kind == "operation" else x
    x = layers.Softmax()(x) if kind == "softmax" else x
    return keras.Model(inputs, layers.Reshape((8, 8, 1))(x))


@pytest.mark.parametrize("kind", ["argument", "activation", "operation", "nested"])
def test_what_ends_in_a_sigmoid_is_told_to_give_logits(kind):
    vae = {"image_shape": (8, 8, 1), "latent_dim": 4}
    with pytest.raises(InputError, match="decoder ends in sigmoid.*give logits"):
        kerasgen.VAE(**vae, decoder=_ending(kind))
    kerasgen.VAE(**vae, decoder=_ending("plain"))
    kerasgen.VAE(**vae, decoder=_ending(kind), likelihood="gaussian")  # means in [0, 1]
    with pytest.raises(InputError, match="generator ends in sigmoid"):
        kerasgen.GAN(**vae, generator=_ending(kind))


def test_other_bounds_are_told_by_name():
    assert networks.last_bound(_ending("softmax")) == "softmax"
    assert networks.last_bound(_ending("plain")) is None
