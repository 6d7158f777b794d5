"""The VAE: its equations, and a user's own Keras workflow around it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasgen
from kerasgen.cli import main
from kerasgen.errors import InputError
from kerasgen.random import Noise, normal, row_seeds


def small(**values):
    keras.utils.set_random_seed(0)
    network = {"name": "dense", "widths": [16]}
    values = {"encoder": network, "decoder": network} | values
    return kerasgen.VAE((8, 8, 1), 4, **values)


def test_a_users_own_workflow(small_images, tmp_path):
    encoder = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(6)]
    )
    decoder = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(64), keras.layers.Reshape((8, 8, 1))]
    )
    vae = kerasgen.VAE((8, 8, 1), 3, encoder, decoder)
    vae.compile(keras.optimizers.Adam(1e-2))
    best = tmp_path / "best.keras"
    callbacks = [
        keras.callbacks.EarlyStopping("val_loss", patience=50),
        keras.callbacks.ModelCheckpoint(best, "val_loss", save_best_only=True),
        keras.callbacks.TensorBoard(tmp_path / "logs"),
    ]
    history = vae.fit(
        small_images,
        epochs=20,
        validation_data=small_images[:20],
        callbacks=callbacks,
        verbose=0,
    ).history
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert set(history) == {
        f"{v}{k}" for v in ("", "val_") for k in ("loss", "nll", "kl")
    }
    assert list((tmp_path / "logs").rglob("events*"))

    dataset = tf.data.Dataset.from_tensor_slices(small_images / np.float32(255)).batch(
        16
    )
    vae.fit(dataset, validation_data=(small_images, None), verbose=0)
    figures = vae.evaluate(dataset, verbose=0, return_dict=True)
    assert figures["loss"] == pytest.approx(figures["nll"] + figures["kl"], rel=1e-5)
    reconstructions = vae.predict(small_images, verbose=0)
    assert reconstructions.shape == (50, 8, 8, 1)
    np.testing.assert_allclose(vae(small_images), reconstructions, atol=1e-6)

    vae.save(tmp_path / "vae.keras")
    loaded = keras.saving.load_model(tmp_path / "vae.keras")
    np.testing.assert_array_equal(loaded.generate(3, seed=1), vae.generate(3, seed=1))
    loaded.fit(small_images, verbose=0)
    assert keras.saving.load_model(best).evaluate(small_images, verbose=0)

    for format in ("tf_saved_model", "onnx", "litert"):
        vae.export(tmp_path / format, format=format)
        assert (tmp_path / format).exists()


def test_uint8_and_float_images_are_the_same(small_images):
    vae = small()
    np.testing.assert_allclose(
        vae(small_images), vae(small_images[..., 0] / np.float32(255)), atol=1e-6
    )
    with pytest.raises(InputError, match="images must have shape"):
        vae.preprocess(np.zeros((1, 9, 9, 1)))


def losses(vae, images, n=2000):
    """Means of the terms for one image, over n draws of noise."""
    batch = vae.preprocess(np.repeat(images, n, axis=0))
    terms = vae.example_losses(batch, Noise(row_seeds(0, n)), False)
    return {name: float(np.mean(value)) for name, value in terms.items()}


def test_importance_weighted_bounds_tighten(small_images):
    """log p(x) >= L_k >= L_1 (Burda et al. 2016, theorem 1)."""
    one, many = small(), small(importance_samples=20)
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=w.shape) * 0.4 for w in one.trainable_variables]
    for vae in (one, many):
        for variable, value in zip(vae.trainable_variables, weights, strict=True):
            variable.assign(value)
    image = small_images[:1]
    elbo, bound = -losses(one, image)["loss"], -losses(many, image, 500)["loss"]
    seeds = row_seeds(1, 400)
    batch = np.repeat(image / 255.0, 400, axis=0)
    scores = one.serve("score", images=batch, seed=seeds)["log_likelihood"]
    exact = np.logaddexp.reduce(scores.astype("f8")) - np.log(400)
    assert elbo < bound < exact
    assert exact - bound < exact - elbo - 0.5


def test_beta_warm_up_and_free_bits(small_images):
    vae = small(beta=2.0, kl_warmup_steps=10)
    vae.step.assign(5)
    assert float(vae.kl_weight(True)) == pytest.approx(1.0)
    assert float(vae.kl_weight(False)) == 2.0
    terms = losses(vae, small_images[:1], 8)
    assert terms["loss"] == pytest.approx(terms["nll"] + 2 * terms["kl"], rel=1e-5)


def test_free_bits_are_free_in_training_and_never_reported(small_images):
    """Of 4 coordinates at 3 nats each: what is minimised has at least 12."""
    free, plain = small(free_bits=3.0), small()
    free.set_weights(plain.get_weights())
    batch = plain.preprocess(small_images)

    def terms(vae, training):
        found = vae.example_losses(batch, Noise(row_seeds(0, 50)), training)
        return {name: np.asarray(value) for name, value in found.items()}

    expected, judged, trained = (
        terms(plain, False),
        terms(free, False),
        terms(free, True),
    )
    assert expected["kl"].max() < 3.0
    for name in ("loss", "nll", "kl"):
        np.testing.assert_allclose(judged[name], expected[name], rtol=1e-5)
    np.testing.assert_allclose(trained["kl"], expected["kl"], rtol=1e-5)
    np.testing.assert_allclose(trained["loss"], trained["nll"] + 12.0, rtol=1e-5)


def test_labels_condition_both_networks(small_images, tmp_path):
    vae = small(classes=3)
    vae.compile()
    vae.fit(small_images, np.arange(50) % 3, verbose=0)
    by_label = [vae.generate(2, label=k) for k in (-1, 0, 1, 2)]
    assert all(not np.allclose(by_label[0], other) for other in by_label[1:])
    np.testing.assert_array_equal(vae.generate(2), by_label[0])
    with pytest.raises(InputError, match="label must be at least -1 and at most 2"):
        vae.generate(2, label=3)
    mean = vae.serve("encode", images=small_images[:2] / 255.0, label=[0, 1])["mean"]
    assert mean.shape == (2, 4)
    vae.export(tmp_path / "artifact", formats=["onnx"])
    out = str(tmp_path / "three.npy")
    arguments = ["generate", str(tmp_path / "artifact"), "--runtime", "onnx", "-n", "2"]
    assert main([*arguments, "--label", "2", "--out", out, "--quiet"]) == 0
    np.testing.assert_allclose(np.load(out), by_label[3], atol=1e-4)
    assert main([*arguments, "--out", out, "--quiet"]) == 0  # the default: no label
    np.testing.assert_allclose(np.load(out), by_label[0], atol=1e-4)
    assert main([*arguments, "--label", "3", "--out", out]) == 2


def test_flow_prior_is_learned(small_images):
    """The prior goes where the posterior is, here around 3, and samples follow it."""
    vae = small(prior={"depth": 2, "width": 8})
    vae.encoder.layers[-1].bias.assign([3.0] * 4 + [-1.0] * 4)
    vae.encoder.trainable = False  # or it would come to meet the prior
    images = vae.preprocess(small_images)["images"]

    def latents():
        """Of the posterior, and how likely the prior finds them beside N(0, 1)."""
        mean, log_variance = vae.posterior(images)
        noise = normal(row_seeds(0, 50), (1, 4))
        z = vae.sample_posterior(mean, log_variance, noise)
        gain = np.asarray(vae.log_prior(z)) + 0.5 * np.sum(np.square(z), axis=2)
        return np.asarray(z)[:, 0], np.mean(gain) + 2.0 * np.log(2.0 * np.pi)

    assert latents()[1] == pytest.approx(0.0, abs=1e-4)  # it begins as N(0, 1)
    vae.compile(keras.optimizers.Adam(1e-2))
    vae.fit(small_images, batch_size=25, epochs=60, verbose=0)
    z, gain = latents()
    assert gain > 15.0
    drawn = np.asarray(vae.sample_prior(normal(row_seeds(1, 2000), (4,))))
    np.testing.assert_allclose(drawn.mean(axis=0), z.mean(axis=0), atol=0.6)
    # The density is that of what is drawn: as importance weights it has the mean 1.
    grid = np.stack(np.meshgrid(*[np.linspace(-2.0, 7.0, 19)] * 4), axis=-1)
    density = np.exp(vae.flow.log_prob(grid.reshape(-1, 4).astype("float32")))
    assert density.sum() * 0.5**4 == pytest.approx(1.0, abs=0.05)
    terms = losses(vae, small_images[:1], 8)
    assert terms["loss"] == pytest.approx(terms["nll"] + terms["kl"], rel=1e-5)
    # What is served decodes draws of the prior.
    noise = Noise(row_seeds(5, 3)).normal((4,))
    expected = vae.decode(vae.sample_prior(noise))
    np.testing.assert_allclose(vae.generate(3, seed=5), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"latent_dim": -1}, "latent_dim must be a whole number of at least 1, not -1"),
        ({"latent_dim": 2.5}, "latent_dim must be a whole number"),
        ({"beta": -1.0}, "beta must be a number of at least 0"),
        ({"image_shape": (8, 8)}, r"image_shape must be \[height, width, channels\]"),
        ({"likelihood": "normal"}, "unknown likelihood"),
        ({"free_bits": 1.0, "prior": {"depth": 1}}, "free_bits need the normal prior"),
        ({"prior": "flow"}, "prior must be"),
    ],
)
def test_bad_values_get_one_line(values, message):
    with pytest.raises(InputError, match=message):
        kerasgen.VAE(**{"image_shape": (8, 8, 1), "latent_dim": 2} | values)


def test_interpolation_ends_at_its_seeds():
    vae = small()
    row = vae.interpolate(3, 4, 5)
    ends = vae.serve("generate", seed=[3, 4])["images"]
    np.testing.assert_allclose(row[[0, -1]], ends, atol=1e-5)
    assert vae.traverse(row[:1]).shape == (32, 8, 8, 1)
