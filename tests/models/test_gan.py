"""The GAN: its losses and penalties against their papers, labels, two optimizers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasgen
from kerasgen.cli import main
from kerasgen.errors import InputError
from kerasgen.models import gan as gans
from kerasgen.random import Noise, row_seeds

SCORES = np.float32([-2.0, -0.5, 0.0, 0.5, 3.0])
NETWORKS = {
    "generator": {"name": "dense", "widths": [16], "activation": "leaky_relu"},
    "discriminator": {"name": "dense", "widths": [16], "activation": "leaky_relu"},
}


def small(**values):
    keras.utils.set_random_seed(0)
    return kerasgen.GAN(
        **{"image_shape": (8, 8, 1), "latent_dim": 4} | NETWORKS | values
    )


def linear_critic():
    return keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1)]
    )


def noise(n):
    return Noise(row_seeds(0, n))


def softplus(x):
    return np.log1p(np.exp(x))


@pytest.mark.parametrize(
    ("name", "real", "fake", "generator"),
    [
        ("non_saturating", softplus(-SCORES), softplus(SCORES), softplus(-SCORES)),
        ("hinge", np.maximum(0, 1 - SCORES), np.maximum(0, 1 + SCORES), -SCORES),
        (
            "least_squares",
            (SCORES - 1) ** 2 / 2,
            SCORES**2 / 2,
            (SCORES - 1) ** 2 / 2,
        ),
        ("wasserstein", -SCORES, SCORES, -SCORES),
    ],
)
def test_losses_are_those_of_the_papers(name, real, fake, generator):
    loss = gans.LOSSES[name]
    for function, expected in zip(loss, (real, fake, generator), strict=True):
        np.testing.assert_allclose(function(SCORES), expected, rtol=1e-5)


def test_the_optimal_discriminator_finds_the_jensen_shannon_divergence():
    """With D = p / (p + q), the loss is 2 log 2 - 2 JSD(p, q) (Goodfellow, thm. 1)."""
    p, q = np.float32([0.1, 0.2, 0.7]), np.float32([0.5, 0.25, 0.25])
    loss, score = gans.LOSSES["non_saturating"], np.log(p / q)
    found = np.sum(p * loss.real(score) + q * loss.fake(score))
    middle = (p + q) / 2
    divergence = (np.sum(p * np.log(p / middle)) + np.sum(q * np.log(q / middle))) / 2
    assert found == pytest.approx(2 * np.log(2) - 2 * divergence, rel=1e-5)


def test_penalties_in_closed_form():
    """Of D(x) = sum(w x^2) / 2, whose gradient is w x."""
    rng = np.random.default_rng(0)
    real, fake = (rng.normal(size=(3, 4, 4, 2)).astype("float32") for _ in range(2))
    w = rng.normal(size=(4, 4, 2)).astype("float32")

    def score(images):
        return tf.reduce_sum(w * images**2, axis=(1, 2, 3)) / 2

    found = gans.r1(score, *map(tf.constant, (real, fake)), noise(3))
    np.testing.assert_allclose(found, ((w * real) ** 2).sum((1, 2, 3)) / 2, rtol=1e-5)

    found = gans.gradient_penalty(score, *map(tf.constant, (real, fake)), noise(3))
    share = np.asarray(noise(3).uniform((1, 1, 1)))
    gradient = w * (real + share * (fake - real))
    norm = np.sqrt((gradient**2).sum((1, 2, 3)))
    np.testing.assert_allclose(found, (norm - 1) ** 2, rtol=1e-5)
    assert not np.any(gans.no_penalty(score, real, fake, noise(3)))


def test_the_penalty_brings_a_linear_critic_to_length_one():
    """Reals and fakes are all black: only (|w| - 1)^2 has a gradient."""
    critic = linear_critic()
    model = small(
        discriminator=critic,
        output="sigmoid",
        loss="wasserstein",
        penalty="gradient_penalty",
        penalty_weight=100.0,
    )
    kernel, bias = model.generator.layers[-2].get_weights()
    model.generator.layers[-2].set_weights([kernel * 0.0, bias - 99.0])
    model.compile(keras.optimizers.SGD(2e-3))
    before = np.linalg.norm(critic.get_weights()[0])
    model.fit(np.zeros((32, 8, 8, 1), "uint8"), epochs=20, verbose=0)
    assert abs(before - 1.0) > 0.05
    assert np.linalg.norm(critic.get_weights()[0]) == pytest.approx(1.0, abs=1e-2)


@pytest.fixture
def batch(small_images):
    """A preprocessed batch with labels."""
    return small(classes=3).preprocess(small_images, np.arange(50) % 3)


@pytest.mark.parametrize("loss", gans.LOSSES)
@pytest.mark.parametrize("penalty", gans.PENALTIES)
def test_terms_are_what_they_say(batch, loss, penalty):
    model = small(loss=loss, penalty=penalty, penalty_weight=3.0, classes=3)
    discriminator, generator = model.phases()
    terms = discriminator.losses(batch, noise(50), True)
    assert list(terms) == discriminator.terms
    losses = gans.LOSSES[loss]
    expected = losses.real(terms["real_score"]) + losses.fake(terms["fake_score"])
    np.testing.assert_allclose(
        terms["discriminator_loss"], expected + 3.0 * terms["penalty"], rtol=1e-5
    )
    assert all(value.shape == (50,) for value in terms.values())
    terms = generator.losses(batch, noise(50), True)
    assert list(terms) == generator.terms and terms["generator_loss"].shape == (50,)


def test_separation_is_the_share_of_pairs_in_order():
    """1 for a critic that likes white where all reals are white, 0 for its opposite."""
    critic = linear_critic()
    model = small(discriminator=critic)
    for sign in (1.0, -1.0):
        critic.set_weights([sign * np.ones((64, 1)), np.zeros(1)])
        white = {"images": tf.ones((9, 8, 8, 1))}
        terms = model.discriminator_losses(white, noise(9), False)
        assert float(np.mean(terms["separation"])) == (sign > 0)


def test_each_phase_trains_its_own_network(small_images):
    model = small(critic_repeats=3)
    model.compile(
        {
            "discriminator": keras.optimizers.SGD(0.0),
            "generator": keras.optimizers.SGD(0.1),
        }
    )
    before = [v.numpy() for v in model.trainable_variables]
    model.train_on_batch(small_images)
    changed = {
        network: any(
            not np.array_equal(old, new)
            for old, new in zip(before, model.trainable_variables, strict=True)
            if any(new is v for v in getattr(model, network).trainable_variables)
        )
        for network in ("generator", "discriminator")
    }
    assert changed == {"generator": True, "discriminator": False}
    iterations = {k: int(o.iterations) for k, o in model.optimizers.items()}
    assert iterations == {"discriminator": 3, "generator": 1}


class Seen(kerasgen.GAN):
    """Notes the first pixel of the real images that each update of the critic sees."""

    def discriminator_losses(self, batch, noise, training):
        tens = 25.5 * batch["images"][:, 0, 0, 0]
        self.seen_reals.append([round(float(value)) for value in tens])
        return super().discriminator_losses(batch, noise, training)


@pytest.mark.parametrize(
    ("rows", "repeats", "seen"),
    [
        (7, 3, [[0, 3, 6], [1, 4], [2, 5]]),
        (6, 2, [[0, 2, 4], [1, 3, 5]]),
        (2, 3, [[0], [1], [0]]),  # the last batch of an epoch may be as small
        (3, 1, [[0, 1, 2]]),
    ],
)
def test_each_critic_update_sees_images_of_its_own(rows, repeats, seen):
    model = Seen((8, 8, 1), 4, **NETWORKS, critic_repeats=repeats)
    model.compile(run_eagerly=True)
    model.seen_reals = []
    tens = np.arange(0, 10 * rows, 10, dtype="uint8")
    images = np.tile(tens[:, None, None, None], (1, 8, 8, 1))
    model.fit(images, batch_size=rows, shuffle=False, verbose=0)
    assert model.seen_reals == seen


@pytest.mark.parametrize("batch", [8, 7, 22])
def test_critic_updates_of_replicas_are_those_of_one_device(
    batch, two_replicas, small_images
):
    def trained():
        model = small(critic_repeats=3, penalty="gradient_penalty", ema_decay=0.9)
        model.compile(keras.optimizers.Adam(0.01, epsilon=1e-3), seed=2)
        rows = small_images[:22]  # the last batch: 6, 1 or 22 rows
        model.fit(rows, batch_size=batch, epochs=2, shuffle=False, verbose=0)
        return [v.numpy() for v in model.variables]

    one = trained()
    with two_replicas.scope():
        two = trained()
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_only_the_generator_is_averaged_with_its_statistics(small_images):
    network = {"name": "dcgan", "widths": [6, 4], "kernel": 3}
    model = small(generator=network, ema_decay=0.9)
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(small_images, epochs=3, verbose=0)
    statistics = [v for v in model.generator.variables if "moving" in v.name]
    averaged = {id(v) for v in model.averaged_variables}
    assert statistics and all(id(v) in averaged for v in statistics)
    assert averaged == {id(v) for v in model.generator.variables}
    baked = model.baked()
    np.testing.assert_array_equal(model.generate(3), baked.generate(3))
    assert not np.allclose(model.generator.variables[0], baked.generator.variables[0])
    for a, b in zip(
        model.discriminator.variables, baked.discriminator.variables, strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_the_projection_discriminator(small_images):
    """f(x, y) = psi(phi(x)) + y^T V phi(x); no label leaves psi alone."""
    model = small(classes=3, output="sigmoid")
    images = (small_images[:4] / 255.0).astype("float32")
    last = model.discriminator.layers[-1]
    inner = keras.Model(model.discriminator.input, last.input)
    phi = np.asarray(inner(images))
    kernel, bias = last.get_weights()
    psi, v = phi @ kernel[:, 0] + bias[0], phi @ kernel[:, 1:] + bias[1:]
    labels = np.array([2, 0, 1, -1])
    found = model.serve("discriminate", images=images, label=labels)["scores"]
    expected = psi + np.where(labels < 0, 0, v[np.arange(4), labels])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_labels_condition_the_generator(small_images, tmp_path):
    model = small(classes=3, generator={"name": "dcgan", "widths": [6], "kernel": 3})
    model.compile()
    model.fit(small_images, np.arange(50) % 3, verbose=0)
    by_label = [model.generate(12, label=k) for k in range(3)]
    assert not np.allclose(by_label[0], by_label[1])
    # -1 draws a class for each row, from its seed.
    drawn = model.generate(12)
    found = [
        [k for k in range(3) if np.allclose(drawn[i], by_label[k][i], atol=1e-6)]
        for i in range(12)
    ]
    assert {k for row in found for k in row} == {0, 1, 2}
    assert all(len(row) == 1 for row in found)

    model.save(tmp_path / "gan.keras")
    out = tmp_path / "three.npy"
    arguments = ["generate", str(tmp_path / "gan.keras"), "-n", "12", "--quiet"]
    assert main([*arguments, "--label", "2", "--out", str(out)]) == 0
    np.testing.assert_allclose(np.load(out), by_label[2], atol=1e-6)
    assert main([*arguments, "--label", "3", "--out", str(out)]) == 2


def test_images_are_in_the_unit_range(small_images):
    """Both outputs are; and a discriminator sees its own range."""
    for output, lowest in (("sigmoid", 0.0), ("tanh", -1.0)):
        model = small(output=output)
        images = model.serve("decode", latents=np.full((2, 4), 50.0))["images"]
        assert images.min() >= 0.0 and images.max() <= 1.0 and np.ptp(images) > 0.5
        np.testing.assert_allclose(model.inward(np.float32([0, 1])), [lowest, 1.0])


def test_it_learns_two_points():
    """Images all black or all white: samples become both."""
    images = np.repeat(np.uint8([0, 255] * 32), 64).reshape(-1, 8, 8, 1)
    model = small(latent_dim=2, penalty="r1", penalty_weight=0.1, ema_decay=0.98)
    model.compile(keras.optimizers.Adam(5e-3, beta_1=0.5), steps_per_execution=50)
    batches = tf.data.Dataset.from_tensors(images).repeat(400)
    model.fit(batches, shuffle=False, verbose=0)
    means = model.generate(200).mean(axis=(1, 2, 3))
    assert np.mean(means < 0.2) > 0.2 and np.mean(means > 0.8) > 0.2


def test_a_users_own_workflow(small_images, tmp_path):
    model = small(augment={"translation": 0.2}, ema_decay=0.9)
    model.compile("adam")
    path = tmp_path / "last.keras"
    callbacks = [keras.callbacks.ModelCheckpoint(path)]
    history = model.fit(
        small_images, validation_data=small_images, callbacks=callbacks, verbose=0
    ).history
    terms = ["discriminator_loss", "real_score", "fake_score", "separation", "penalty"]
    terms.append("generator_loss")
    assert set(history) == {f"{v}{k}" for v in ("", "val_") for k in terms}
    scores = model.predict(small_images, verbose=0)
    served = model.serve("discriminate", images=small_images / 255.0)["scores"]
    np.testing.assert_allclose(scores, served, atol=1e-5)
    loaded = keras.saving.load_model(path)
    np.testing.assert_array_equal(loaded.generate(3), model.generate(3))
    for other in (model, loaded):  # both optimizers continue where they were
        other.fit(small_images, shuffle=False, verbose=0)
    np.testing.assert_allclose(loaded.generate(3), model.generate(3), atol=1e-6)


class AtBatch(keras.callbacks.Callback):
    """Sets a rate before the second batch."""

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 1:
            self.model.optimizer.learning_rate = 0.02


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
@pytest.mark.parametrize(
    ("callback", "expected"),
    [
        (keras.callbacks.LearningRateScheduler(lambda epoch: 0.04 / 2**epoch), 0.01),
        (
            keras.callbacks.ReduceLROnPlateau(
                "real_score", factor=0.5, patience=1, mode="min", min_delta=1e9
            ),
            0.02,
        ),
        (AtBatch(), 0.02),
    ],
    ids=["scheduler", "plateau", "batch"],
)
def test_callbacks_move_all_rates(callback, expected, dtype, small_images):
    """The generator's is a quarter of the discriminator's, and stays it."""
    model = small(dtype=dtype)
    model.compile(
        d_optimizer=keras.optimizers.Adam(0.08), g_optimizer=keras.optimizers.SGD(0.02)
    )
    history = model.fit(
        small_images, batch_size=25, epochs=3, callbacks=[callback], verbose=0
    ).history
    rates = {k: float(o.learning_rate) for k, o in model.optimizers.items()}
    expected = {"discriminator": expected, "generator": expected / 4}
    assert rates == pytest.approx(expected)
    if not isinstance(callback, AtBatch):
        logged = np.float32(history["discriminator_learning_rate"])
        np.testing.assert_allclose(history["learning_rate"], logged)
        np.testing.assert_allclose(history["generator_learning_rate"], logged / 4)
        assert len(set(logged)) == 3 or logged[-1] != logged[0]


def test_callbacks_move_all_rates_of_replicas(two_replicas, small_images):
    """And these train, from the next step on, what they train on one device."""

    def trained():
        model = small()
        sgd = {"d_optimizer": keras.optimizers.SGD(0.08)}
        model.compile(**sgd, g_optimizer=keras.optimizers.SGD(0.02), seed=2)
        options = {"batch_size": 25, "epochs": 2, "shuffle": False, "verbose": 0}
        model.fit(small_images, callbacks=[AtBatch()], **options)
        return model

    one = trained()
    with two_replicas.scope():
        two = trained()
    rates = {k: o.learning_rate.numpy() for k, o in two.optimizers.items()}
    assert rates == pytest.approx({"discriminator": 0.02, "generator": 0.005})
    for a, b in zip(one.variables, two.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5)


def test_the_moved_rate_is_the_one_that_trains(small_images):
    """A discriminator that stands still stops the generator in the same epoch."""
    model = small()
    model.compile(keras.optimizers.SGD(0.1))
    still = keras.callbacks.LearningRateScheduler(lambda epoch: 0.0)
    before = [v.numpy() for v in model.trainable_variables]
    model.fit(small_images, epochs=2, callbacks=still, verbose=0)
    for old, new in zip(before, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_a_schedule_is_not_overwritten(dtype, small_images):
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    model = small(dtype=dtype)
    model.compile(keras.optimizers.SGD(schedule))
    model.fit(small_images, verbose=0)
    still = keras.callbacks.LearningRateScheduler(lambda epoch: 0.0)
    with pytest.raises(TypeError, match="not settable"):
        model.fit(small_images, callbacks=[still], verbose=0)


def test_a_callback_learns_which_losses_there_are(small_images, capsys, recwarn):
    model = small()
    model.compile()
    callbacks = [keras.callbacks.EarlyStopping(), keras.callbacks.TerminateOnNaN()]
    model.fit(small_images, epochs=3, callbacks=callbacks, verbose=0)
    error = capsys.readouterr().err
    assert error.count("EarlyStopping: a GAN has no val_loss; set monitor= to") == 1
    assert "discriminator_loss, real_score" in error
    assert not [w for w in recwarn if "Early stopping" in str(w.message)]
    named = keras.callbacks.EarlyStopping("generator_loss", mode="min")
    model.fit(small_images, callbacks=[named], verbose=0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["accuracy"]}, "GAN measures .*: call compile without metrics="),
        ({"weighted_metrics": ["auc"]}, "call compile without weighted_metrics="),
        ({"loss_weights": [1.0]}, "call compile without loss_weights="),
        ({"loss_fn": "mse"}, "has its own loss: call compile without loss_fn="),
        ({"d_optimizer": "adam"}, "no optimizer for phase 'generator'"),
        ({"d_optimizer": "adam", "optimizer": "sgd"}, "is for all phases"),
    ],
)
def test_compile_ignores_nothing(options, message):
    with pytest.raises(InputError, match=message):
        small().compile(**options)


def test_a_metric_of_its_own_may_be_asked_for(small_images):
    model = small()
    model.compile(metrics=["separation"])
    assert "separation" in model.evaluate(small_images, verbose=0, return_dict=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loss": "hing"}, "unknown loss 'hing': did you mean hinge"),
        ({"penalty": "r2"}, "unknown penalty 'r2': did you mean r1"),
        ({"output": "relu"}, "unknown output 'relu'"),
        ({"augment": {"cutot": 0.5}}, "did you mean cutout"),
        (
            {"augment": {"cutout": -0.5}},
            "augment.cutout must be a number of at least 0",
        ),
        ({"augment": ["cutout"]}, "augment must be"),
        ({"critic_repeats": 0}, "critic_repeats must be a whole number"),
        ({"penalty_weight": -1}, "penalty_weight must be a number of at least 0"),
        ({"classes": -1}, "classes must be a number of at least 0"),
        ({"generator": "dcga"}, "did you mean dcgan"),
    ],
)
def test_bad_values_get_one_line(values, message):
    with pytest.raises(InputError, match=message):
        small(**values)
