"""The training step: what every model shares, on a model of two phases."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kerasgen import GenerativeModel, InputError, Model, Phase
from kerasgen import inputs as s
from kerasgen.random import Noise, fold, row_seeds
from kerasgen.rows import generate_inputs, in_parts


class TwoPhases(GenerativeModel):
    """Two linear maps, each fitted by its own optimizer; the first twice a step."""

    def __init__(self, size=3, noisy=True, regularizer=None, **kwargs):
        super().__init__(**kwargs)
        self.size, self.noisy = size, noisy
        dense = {"kernel_regularizer": regularizer}
        self.a = keras.Sequential(
            [keras.Input((size,)), keras.layers.Dense(size, **dense)]
        )
        self.b = keras.Sequential([keras.Input((size,)), keras.layers.Dense(1)])
        self.build()

    def preprocess(self, x, y=None):
        return {"x": ops.cast(x, "float32")}

    def phases(self):
        return [
            Phase("a", [self.a], self.a_losses, ["a_loss"], repeats=2),
            Phase("b", [self.b], self.b_losses, ["b_loss", "size"]),
        ]

    def a_losses(self, batch, noise, training):
        target = noise.normal((self.size,)) if self.noisy else 1.0
        error = self.a(batch["x"]) - target
        return {"a_loss": ops.sum(ops.square(error), axis=1)}

    def b_losses(self, batch, noise, training):
        value = self.b(self.a(batch["x"]))[:, 0]
        return {"b_loss": ops.square(value - 1.0), "size": ops.abs(value)}

    def call(self, inputs, training=False):
        return self.b(self.a(inputs["x"] if isinstance(inputs, dict) else inputs))

    def signatures(self):
        def generate(seed):
            return {"value": self.call(Noise(seed).normal((self.size,)))}

        return {"generate": self.signature(generate, {"seed": s.seed()}, ["value"])}


ROWS = np.random.default_rng(0).normal(size=(22, 3)).astype("float32")


def trained(optimizer=lambda: keras.optimizers.Adam(0.05), steps=1, batch=8, **values):
    """Weights after an epoch and a bit: 22 rows in batches of 8, the last uneven."""
    keras.utils.set_random_seed(0)
    model = TwoPhases(**values)
    model.compile(optimizer(), seed=3, steps_per_execution=steps)
    model.fit(ROWS, batch_size=batch, epochs=4, shuffle=False, verbose=0)
    return model


def largest_difference(a, b):
    pairs = zip(a.variables, b.variables, strict=True)
    return max(float(np.abs(x.numpy() - y.numpy()).max()) for x, y in pairs)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.Adam(0.05),
        lambda: keras.optimizers.Adam(0.05, global_clipnorm=0.1),
        lambda: keras.optimizers.SGD(0.05, clipvalue=0.05),
        lambda: keras.optimizers.LossScaleOptimizer(
            keras.optimizers.Adam(0.05, global_clipnorm=0.1)
        ),
    ],
    ids=["adam", "clipped norm", "clipped value", "loss scaling"],
)
def test_two_replicas_take_the_step_of_one_device(two_replicas, optimizer):
    values = {"ema_decay": 0.9, "regularizer": "l2"}
    one = trained(optimizer, **values)
    with two_replicas.scope():
        two = trained(optimizer, **values)
    assert largest_difference(one, two) < 1e-5
    still = trained(lambda: keras.optimizers.SGD(0.0), **values)
    assert largest_difference(one, still) > 1e-2


def test_replicas_report_the_metrics_of_the_whole_batch(two_replicas):
    one = trained().evaluate(ROWS, batch_size=5, verbose=0, return_dict=True)
    with two_replicas.scope():
        model = trained()
        two = model.evaluate(ROWS, batch_size=5, verbose=0, return_dict=True)
    assert one.keys() == two.keys() == {"a_loss", "b_loss", "size"}
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("replicas", [1, 2])
def test_predictions_are_of_the_rows_in_their_order(two_replicas, replicas, steps):
    """Whatever shares the work: batches, several of them a call, devices."""
    place = two_replicas if replicas == 2 else tf.distribute.get_strategy()
    with place.scope():
        model = trained(steps=steps)
        found = model.predict(ROWS, batch_size=5, verbose=0)
    (a, bias_a), (b, bias_b) = (net.get_weights() for net in (model.a, model.b))
    np.testing.assert_allclose(found, (ROWS @ a + bias_a) @ b + bias_b, atol=1e-5)


def test_several_steps_an_execution_change_nothing(two_replicas):
    for steps in (3, 10):
        assert largest_difference(trained(), trained(steps=steps)) == 0.0
    with two_replicas.scope():
        for steps in (2, 3, 10):  # 3 batches an epoch: not all executions are full
            assert largest_difference(trained(), trained(steps=steps)) == 0.0


def test_noise_is_a_function_of_seed_step_and_global_row():
    assert largest_difference(trained(), trained()) == 0.0
    model = TwoPhases()
    model.compile(seed=4)
    seeds = fold(4, 0, model.step, 0, 1, tf.range(5))
    assert np.unique(seeds).size == 5


class Listening(TwoPhases):
    """Keeps the seeds of the noise that its losses get."""

    heard: list = []

    def a_losses(self, batch, noise, training):
        self.heard.extend(ops.convert_to_numpy(noise.seed).tolist())
        return super().a_losses(batch, noise, training)

    def b_losses(self, batch, noise, training):
        self.heard.extend(ops.convert_to_numpy(noise.seed).tolist())
        return super().b_losses(batch, noise, training)


def test_no_noise_is_drawn_twice():
    """Rows, repeats, phases, steps, training and testing, and runs: all are seeds. A
    phase that repeats deals the rows out."""

    def heard(seed):
        Listening.heard.clear()
        model = Listening()
        model.compile(keras.optimizers.SGD(0.1), seed=seed, run_eagerly=True)
        model.fit(ROWS[:10], batch_size=5, epochs=2, verbose=0)
        assert len(Listening.heard) == 4 * (1 + 1) * 5
        model.evaluate(ROWS[:10], batch_size=5, verbose=0)
        assert len(Listening.heard) == 4 * (1 + 1) * 5 + 2 * (1 + 1) * 5
        return set(Listening.heard)

    one, other = heard(3), heard(4)
    assert len(one) == len(other) == 60 and not one & other


def test_many_samples_are_those_of_their_seeds():
    """However many are drawn at a time."""
    model, some = TwoPhases(), [0, 499, 500, 501, 1000, 1200]
    expected = model.serve("generate", seed=row_seeds(5, 1201)[some])["value"]
    found = model.generate(1201, seed=5)
    assert len(found) == 1201
    np.testing.assert_allclose(found[some], expected, atol=1e-6)


def test_sample_weights_weigh_examples():
    """Weight 0 removes an example, up to the count that the mean divides by."""
    keras.utils.set_random_seed(0)
    a, b = TwoPhases(noisy=False), TwoPhases(noisy=False)
    b.set_weights(a.get_weights())
    for model in (a, b):
        model.compile(keras.optimizers.SGD(0.1))
    a.fit(ROWS[:4], epochs=1, shuffle=False, verbose=0)
    weight = np.float32([2, 2, 2, 2, 0, 0, 0, 0])
    rows = np.concatenate([ROWS[:4], ROWS[4:8]])
    b.fit(rows, sample_weight=weight, epochs=1, shuffle=False, verbose=0)
    assert largest_difference(a, b) < 1e-6


def test_average_follows_its_formula():
    """Warm-up first, and from the third step on, where 3 / 12 < 0.3, the decay."""
    keras.utils.set_random_seed(0)
    model = TwoPhases(ema_decay=0.3)
    model.compile(keras.optimizers.SGD(0.1))
    average = model.trainable_variables[0].numpy()
    for t in range(6):
        model.train_on_batch(ROWS)
        decay = min(0.3, (1 + t) / (10 + t))
        average = decay * average + (1 - decay) * model.trainable_variables[0].numpy()
    np.testing.assert_allclose(model.averages[0].numpy(), average, rtol=1e-5)


def test_everything_but_training_uses_the_average():
    model = trained(ema_decay=0.99)
    baked = model.baked()
    assert not baked.averages
    np.testing.assert_array_equal(model.generate(5), baked.generate(5))
    np.testing.assert_allclose(
        model.predict(ROWS, verbose=0), baked.predict(ROWS, verbose=0), rtol=1e-6
    )
    weights_alone = np.asarray(model.call(ROWS))
    assert not np.allclose(weights_alone, model.predict(ROWS, verbose=0))
    baked.compile(seed=3)
    assert model.evaluate(ROWS, verbose=0) == pytest.approx(
        baked.evaluate(ROWS, verbose=0), rel=1e-5
    )


def test_both_optimizers_are_saved_and_continue(tmp_path):
    values = {
        "a": keras.optimizers.SGD(0.1, momentum=0.9),
        "b": keras.optimizers.Adam(),
    }
    keras.utils.set_random_seed(0)
    model = TwoPhases(ema_decay=0.9)
    model.compile(values, seed=5)
    model.fit(ROWS, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert type(loaded.optimizers["a"]) is keras.optimizers.SGD
    assert loaded.seed == 5 and loaded.ema_decay == 0.9
    for again in (model, loaded):
        again.fit(ROWS, verbose=0, shuffle=False)
    assert largest_difference(model, loaded) == 0.0


def test_one_optimizer_is_copied_for_each_phase():
    model = TwoPhases()
    model.compile(keras.optimizers.Adam(0.01))
    assert model.optimizers["a"] is not model.optimizers["b"]
    assert float(model.optimizers["b"].learning_rate) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizer": {"a": "adam"}}, "no optimizer for phase 'b'"),
        ({"optimizer": {"a": "adam", "c": "adam"}}, "unknown phase 'c'"),
        ({"loss": "mse"}, "has its own loss"),
    ],
)
def test_bad_compile_gets_one_line(arguments, message):
    with pytest.raises(InputError, match=message):
        TwoPhases().compile(**arguments)


def test_bad_generate_gets_one_line():
    model = TwoPhases()
    with pytest.raises(InputError, match="n must be a whole number of at least 1"):
        model.generate(0)
    with pytest.raises(InputError, match="takes no label"):
        model.generate(2, label=1)
    with pytest.raises(InputError, match="ema_decay must be in"):
        TwoPhases(ema_decay=1.0)
    with pytest.raises(InputError, match="unknown signature 'generat'"):
        model.serve("generat", seed=[1])


def test_subclasses_are_registered():
    assert Model.families["two_phases"] is TwoPhases


def test_mixed_precision_trains_in_float32_variables():
    model = trained(dtype="mixed_float16")
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    assert isinstance(model.optimizers["b"], keras.optimizers.LossScaleOptimizer)
    assert np.isfinite(model.generate(3)).all()


@pytest.mark.parametrize("replicas", [1, 2])
def test_an_overflow_skips_the_step(replicas, two_replicas):
    keras.utils.set_random_seed(0)
    place = two_replicas if replicas == 2 else tf.distribute.get_strategy()
    with place.scope():
        model = TwoPhases(dtype="mixed_float16")
        model.compile(keras.optimizers.Adam(0.05, global_clipnorm=1.0))
    # An update of phase a sees every other row.
    fine, broken = ROWS[:4], np.concatenate([ROWS[:2], np.full((2, 3), np.inf)])

    def after(rows):
        model.fit(rows, batch_size=4, shuffle=False, verbose=0)
        return np.concatenate([v.numpy().ravel() for v in model.trainable_variables])

    before = after(fine)
    scale = float(model.optimizers["a"].dynamic_scale.numpy())
    np.testing.assert_array_equal(after(broken), before)
    assert float(model.optimizers["a"].dynamic_scale.numpy()) == scale / 4  # 2 repeats
    assert not np.array_equal(after(fine), before)


def test_accumulation_is_one_step(two_replicas):
    whole = trained(lambda: keras.optimizers.Adam(0.05, global_clipnorm=0.1))
    for scope in (tf.distribute.get_strategy(), two_replicas):
        with scope.scope():
            keras.utils.set_random_seed(0)
            model = TwoPhases()
            optimizer = keras.optimizers.Adam(0.05, global_clipnorm=0.1)
            model.compile(optimizer, seed=3, accumulate=3)
            model.fit(ROWS, batch_size=8, epochs=4, shuffle=False, verbose=0)
        assert int(model.step.numpy()) == int(whole.step.numpy())
        assert largest_difference(whole, model) < 1e-5
    with pytest.raises(InputError, match="accumulate must be"):
        model.compile(accumulate=0)


@pytest.mark.parametrize(
    ("shape", "dtype", "then"),
    [
        ((8, 8, 1), "float32", 500),
        ((64, 64, 3), "float32", 162),
        ((256, 256, 3), "float32", 10),
        ((4096, 4096, 3), "float32", 1),
        ((256,), "int32", 488),
        ((1024,), "int32", 122),
    ],
)
def test_parts_are_small_where_rows_are_large(shape, dtype, then):
    sizes, wrapped = [], []

    def serve(signature, seed):
        sizes.append(len(seed))
        out = np.broadcast_to(np.zeros((), dtype), (len(seed), *shape))
        return {"seed": seed, "samples": out}

    def progress(steps, title, total):
        wrapped.append((title, total))
        return steps

    rows = {"seed": np.arange(700)}
    parts = [*in_parts(serve, "generate", rows, progress)]
    np.testing.assert_array_equal(
        np.concatenate([p["seed"] for p in parts]), rows["seed"]
    )
    assert sizes[0] == 16 and sizes[1] == then == max(sizes[1:])
    assert sum(sizes) == 700 and wrapped == [("generate", 700)]


def test_no_rows_are_no_parts():
    assert [*in_parts(lambda *_: 1 / 0, "generate", {"seed": np.arange(0)})] == []


@pytest.mark.parametrize(
    ("name", "inputs", "hint"),
    [
        ("label", ["seed"], "train a conditional one"),
        ("labels", ["seed", "label"], "it takes label"),
        ("guidance", ["seed", "label"], "it takes label"),
        ("sed", ["seed"], "it takes a seed alone"),
    ],
)
def test_what_generate_does_not_take(name, inputs, hint):
    described = {key: {"dtype": "int32", "default": 0} for key in inputs}
    with pytest.raises(InputError, match=f"takes no {name}: {hint}$"):
        generate_inputs(described, 2, 0, {name: 1})


def test_a_generative_model_serves_generate():
    class Misspelled(TwoPhases):
        def signatures(self):
            return {"genrate": super().signatures()["generate"]}

    class Seedless(TwoPhases):
        def signatures(self):
            values = {"x": s.Input((self.size,))}
            call = self.signature(lambda x: {"value": self.call(x)}, values, ["value"])
            return {"generate": call}

    with pytest.raises(InputError, match="Misspelled serves 'genrate', and a Gener"):
        Misspelled()
    with pytest.raises(
        InputError, match="needs a 'seed' among the inputs of 'generate"
    ):
        Seedless()


def test_no_family_takes_the_place_of_another():
    before = dict(Model.families)
    with pytest.raises(InputError, match="kerasgen.models.vae.VAE is the family vae"):
        type("Vae", (Model,), {})
    assert Model.families == before


@pytest.mark.parametrize("step", ["fit", "evaluate"])
@pytest.mark.parametrize(
    ("reduced", "message"),
    [
        (lambda found: {k: ops.mean(v) for k, v in found.items()}, r"shape \(\)"),
        (lambda found: {k: v[:, None] for k, v in found.items()}, r"shape \(None, 1\)"),
        (lambda found: {"loss": found["a_loss"]}, "reports a_loss, but its losses are"),
    ],
)
def test_losses_are_a_value_an_example(reduced, message, step):
    class Reduced(TwoPhases):
        def a_losses(self, batch, noise, training):
            return reduced(super().a_losses(batch, noise, training))

    model = Reduced()
    model.compile()
    with pytest.raises(InputError, match=message):
        getattr(model, step)(ROWS, verbose=0)
