"""The diffusion model: its equations, guidance, and a user's own Keras workflow."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import kerasgen
from kerasgen import kinds, pictures
from kerasgen.cli import main
from kerasgen.diffusion.damage import DAMAGES
from kerasgen.errors import InputError
from kerasgen.random import Noise, integers, normal, row_seeds, uniform

NETWORK = {"name": "convolutional", "widths": [8, 8]}
FAST = {"sampling_steps": 4, "restoration_steps": 3, "resampling": 2}


def small(**values):
    keras.utils.set_random_seed(0)
    return kerasgen.DDPM((8, 8, 1), **{"network": NETWORK} | FAST | values)


@pytest.fixture(scope="module")
def conditional():
    return small(classes=3)


def test_moments_of_noisy_images():
    """q(x_t | x_0) = N(sqrt(alpha_bar_t) x_0, 1 - alpha_bar_t) (eq. 4)."""
    model, n = small(), 20_000
    x_0 = np.linspace(-1, 1, 64, dtype="float32").reshape(1, 8, 8, 1)
    for t in (0, 300, 999):
        times, eps = np.full(n, t, "int32"), normal(row_seeds(0, n), (8, 8, 1))
        x = np.asarray(model.diffuse(x_0, times, eps))
        bar = model.alpha_bar[t]
        np.testing.assert_allclose(x.mean(axis=0), np.sqrt(bar) * x_0[0], atol=0.04)
        np.testing.assert_allclose(x.var(axis=0), 1 - bar, atol=0.05 * (1 - bar))


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_the_loss_of_a_network_that_says_nothing(prediction, small_images):
    """An output of 0 errs by the target: E|target|² = 1 for eps, v of unit variance."""
    model = small(prediction=prediction)
    for weight in model.network.layers[-1].weights:
        weight.assign(0.0 * weight)
    images = np.repeat(small_images, 40, axis=0)
    batch = model.preprocess(images)
    terms = model.example_losses(batch, Noise(row_seeds(0, len(images))), False)
    square = np.mean((images / 127.5 - 1.0) ** 2)
    bar = model.alpha_bar.mean()
    expected = {"eps": 1.0, "x0": square, "v": bar + (1 - bar) * square}[prediction]
    assert np.mean(terms["loss"]) == pytest.approx(expected, rel=0.03)
    np.testing.assert_array_equal(terms["loss"], terms["squared_error"])


def test_labels_are_hidden_in_training_only(small_images):
    hidden, seen = small(classes=3, label_dropout=1.0), small(classes=3)
    seen.network.set_weights(hidden.network.get_weights())
    labelled = hidden.preprocess(small_images, np.arange(50) % 3)
    free = hidden.preprocess(small_images)

    def loss(model, batch, training):
        noise = Noise(row_seeds(0, 50))
        return np.asarray(model.example_losses(batch, noise, training)["loss"])

    np.testing.assert_allclose(
        loss(hidden, labelled, True), loss(seen, free, False), rtol=1e-5
    )
    assert not np.allclose(loss(hidden, labelled, False), loss(seen, free, False))


def test_the_share_of_hidden_labels_is_that_of_dropout(small_images):
    """Row by row: the loss without label where the third draw is below 0.3."""
    model = small(classes=3, label_dropout=0.3)
    labels = np.arange(50) % 3

    def loss(labels, training):
        batch = model.preprocess(small_images, labels)
        terms = model.example_losses(batch, Noise(row_seeds(0, 50)), training)
        return np.asarray(terms["loss"])

    hidden = np.asarray(uniform(row_seeds(0, 50), (), stream=2)) < 0.3
    assert 5 < hidden.sum() < 25
    expected = np.where(hidden, loss(-np.ones(50, "int32"), False), loss(labels, False))
    np.testing.assert_allclose(loss(labels, True), expected, rtol=1e-5)


def test_errors_are_weighted_by_their_time_steps(small_images):
    model = small(weighting={"name": "min_snr", "gamma": 3.0}, prediction="v")
    noise = Noise(row_seeds(0, 50))
    terms = model.example_losses(model.preprocess(small_images), noise, True)
    t = np.asarray(integers(row_seeds(0, 50), 1000))  # the first draw
    snr = model.alpha_bar[t] / (1.0 - model.alpha_bar[t])
    found = np.asarray(terms["loss"]) / np.asarray(terms["squared_error"])
    np.testing.assert_allclose(found, np.minimum(snr, 3.0) / (snr + 1.0), rtol=1e-4)


def test_networks_read_the_time_of_1000_steps():
    """Whatever the number of steps, so that embeddings see the same range."""
    images, time = keras.Input((8, 8, 1)), keras.Input(())
    shown = keras.layers.Reshape((1, 1, 1))(time) + 0.0 * images
    model = small(network=keras.Model((images, time), shown), timesteps=100)
    times = ops.convert_to_tensor([0, 7, 99], "int32")
    found = model.output_at(ops.zeros((3, 8, 8, 1)), times)
    np.testing.assert_allclose(found[:, 0, 0, 0], [0.0, 70.0, 990.0])


def test_guidance(conditional):
    x = normal(row_seeds(0, 3), (8, 8, 1))
    t, label = ops.convert_to_tensor([10, 500, 900], "int32"), [0, 2, -1]

    def output(label, guidance=None):
        w = guidance and ops.convert_to_tensor(guidance, "float32")
        label = ops.convert_to_tensor(label, "int32")
        return np.asarray(conditional.output_at(x, t, label, w))

    free, given = output([-1, -1, -1]), output(label)
    assert not np.allclose(free[:2], given[:2], atol=1e-3)
    for w, expected in (
        ([0, 0, 0], free),
        ([1, 1, 1], given),
        ([3, 3, 3], free + 3 * (given - free)),
        ([0, 1, 2], np.stack([free[0], given[1], free[2]])),
    ):
        np.testing.assert_allclose(output(label, w), expected, atol=1e-5)
    drawn = {w: conditional.generate(2, label=1, guidance=w) for w in (0.0, 1.0, 4.0)}
    np.testing.assert_allclose(drawn[0.0], conditional.generate(2, label=-1), atol=1e-4)
    np.testing.assert_array_equal(drawn[1.0], conditional.generate(2, label=1))
    assert not np.allclose(drawn[4.0], drawn[1.0], atol=0.01)


def test_training_on_one_image_draws_that_image():
    """A grey one: the loss, the averages and the sampler agree."""
    images = np.full((64, 8, 8, 1), 191, "uint8")
    model = small(prediction="v", ema_decay=0.9, sampling_steps=10)
    model.compile(keras.optimizers.Adam(1e-2), steps_per_execution=10)
    model.fit(images, epochs=1, steps_per_epoch=1, verbose=0)
    before = np.abs(model.generate(4, seed=1) - 0.75).mean()
    data = tf.data.Dataset.from_tensors(images).repeat()
    model.fit(data, steps_per_epoch=150, verbose=0)
    assert np.abs(model.changed().generate(4, seed=1) - 0.75).mean() < 0.1 < before


def test_steps_in_few_passes_are_the_same_steps(small_images):
    histories, weights = [], []
    for chosen in (False, "auto"):
        keras.utils.set_random_seed(0)
        model = small()
        model.compile(keras.optimizers.SGD(0.1), jit_compile=chosen)
        assert model._fuses() == (chosen == "auto")
        history = model.fit(small_images, batch_size=20, epochs=1, verbose=0).history
        histories.append(history["loss"])
        weights.append([w.numpy() for w in model.network.trainable_variables])
    np.testing.assert_allclose(*histories, rtol=1e-5)
    for plain, few in zip(*weights, strict=True):
        np.testing.assert_allclose(few, plain, atol=1e-5)


def test_a_users_own_workflow(small_images, tmp_path):
    inputs = (keras.Input((8, 8, 1)), keras.Input(()))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(inputs[0])
    x = x * keras.layers.Reshape((1, 1, 4))(
        keras.layers.Dense(4)(keras.layers.Reshape((1,))(inputs[1] / 1000.0))
    )
    own = keras.Model(inputs, keras.layers.Conv2D(1, 3, padding="same")(x))
    model = kerasgen.DDPM((8, 8, 1), own, schedule="linear", **FAST)
    model.compile(keras.optimizers.Adam(1e-2))
    history = model.fit(
        small_images, epochs=8, validation_data=small_images[:20], verbose=0
    ).history
    assert set(history) == {
        f"{v}{k}" for v in ("", "val_") for k in ("loss", "squared_error")
    }
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert model.predict(small_images, verbose=0).shape == (50, 8, 8, 1)
    model.save(tmp_path / "ddpm.keras")
    loaded = keras.saving.load_model(tmp_path / "ddpm.keras")
    np.testing.assert_array_equal(loaded.generate(3, seed=1), model.generate(3, seed=1))


def test_interpolation_ends_at_its_seeds():
    for sampler in ("ddpm", "dpm-solver++"):
        model = small(sampler=sampler, prediction="x0")
        row = model.interpolate(3, 4, 5)
        ends = model.serve("generate", seed=[3, 4])["images"]
        np.testing.assert_allclose(row[[0, -1]], ends, atol=1e-4)


def test_pictures(conditional, small_images):
    """Samples of each class in turn; examples above what is left of them, above what
    the restorers make of that."""
    examples = (small_images / 255.0).astype("float32")
    found = kinds.of(conditional.signatures()).pictures(conditional, examples)
    samples = conditional.generate(64, label=np.arange(64) % 3)
    np.testing.assert_array_equal(found["samples"], samples)
    assert not np.allclose(samples[0], samples[1], atol=0.01)
    ends = conditional.serve("generate", seed=[0, 1])["images"]
    np.testing.assert_allclose(found["interpolation"][[0, -1]], ends, atol=1e-3)
    assert set(found) == {"samples", "interpolation", *DAMAGES}
    seeds = row_seeds(0, 8)
    for name, damage in DAMAGES.items():
        originals, left, restored = np.split(found[name], 3)
        np.testing.assert_array_equal(originals, examples[:8])
        inputs = damage(conditional, examples[:8])
        damaged = next(iter(inputs.values()))
        size = 8 // damaged.shape[1]  # small ones are enlarged
        assert size == (2 if name == "super_resolve" else 1)
        np.testing.assert_array_equal(left[:, ::size, ::size], damaged)
        expected = conditional.serve(name, **inputs, seed=seeds)["restored"]
        np.testing.assert_allclose(restored, expected, atol=1e-5)
        assert np.abs(restored - left).mean() > 0.01
    np.testing.assert_array_equal(found["inpaint"][16:, :4], examples[:8, :4])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prediction": "epsilon"}, "unknown prediction"),
        ({"schedule": "cosin"}, "did you mean cosine"),
        ({"timesteps": 0}, "timesteps must be"),
        ({"sampler": "dpm"}, "unknown sampler"),
        ({"sampling_steps": 2000}, "sampling_steps must be from 1 to the 1000"),
        ({"restoration_steps": 2000}, "restoration_steps must be at most the 1000"),
        ({"weighting": {"name": "min_snr", "gamma": 0}}, "gamma must be above 0"),
        ({"guidance": 11.0}, r"guidance must be in \[0, 10\]"),
        ({"scale": 3}, "scale must divide 8 and 8, not be 3"),
        ({"label_dropout": 2.0}, "label_dropout must be"),
        ({"network": {"name": "unet", "patch": 8}}, "needs sides that 16 divides"),
    ],
)
def test_bad_values_get_one_line(values, message):
    with pytest.raises(InputError, match=message):
        small(**values)


@pytest.fixture(scope="module")
def files(conditional, tmp_path_factory):
    """A model file, and a folder of pictures."""
    folder = tmp_path_factory.mktemp("files")
    conditional.save(folder / "model.keras")
    (folder / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        pictures.write_image(folder / "pictures" / f"{i}.png", rng.random((8, 8, 1)))
    mask = np.zeros((8, 8, 1))
    mask[4:] = 1.0
    pictures.write_image(folder / "mask.png", mask)
    return folder


def test_the_sampler_is_chosen_on_the_command_line(files, conditional, tmp_path):
    out = str(tmp_path / "x.npy")
    arguments = ["generate", str(files / "model.keras"), "-n", "2", "--out", out]
    sampler = {"name": "ddim", "eta": 0.5}
    choice = ["--sampler", json.dumps(sampler), "--sampling-steps", "3", "--quiet"]
    assert main([*arguments, *choice, "--label", "1", "--guidance", "2"]) == 0
    other = conditional.changed(sampler=sampler, sampling_steps=3)
    expected = other.generate(2, label=1, guidance=2.0)
    np.testing.assert_allclose(np.load(out), expected, atol=1e-5)
    assert not np.allclose(expected, conditional.generate(2, label=1, guidance=2.0))


def test_restore(files, tmp_path):
    picture = files / "pictures" / "1.png"
    for task, *options in (
        ("inpaint", "--mask", str(files / "mask.png")),
        ("denoise", "--noise-level", "0.2"),
        ("deblur",),
        ("super-resolve",),
    ):
        out = tmp_path / f"{task}.png"
        arguments = [str(files / "model.keras"), str(picture), "--task", task, *options]
        assert main(["restore", *arguments, "--out", str(out), "--quiet"]) == 0
        assert pictures.read(out).shape == (8, 8, 1)
    upper = pictures.read(tmp_path / "inpaint.png")[:4]
    np.testing.assert_array_equal(upper, pictures.read(picture)[:4])
    out = tmp_path / "all.npy"
    arguments = [str(files / "model.keras"), str(files / "pictures"), "--out", str(out)]
    assert main(["restore", *arguments, "--task", "deblur", "--quiet"]) == 0
    assert np.load(out).shape == (3, 8, 8, 1)


def test_of_a_folder_what_cannot_be_read_is_skipped(files, tmp_path, capsys):
    folder, out = tmp_path / "pictures", tmp_path / "all.npy"
    shutil.copytree(files / "pictures", folder)
    (folder / "1.png").write_bytes(b"no image")
    arguments = [str(files / "model.keras"), str(folder), "--out", str(out)]
    assert main(["restore", *arguments, "--task", "deblur"]) == 0
    assert np.load(out).shape == (2, 8, 8, 1)
    assert "1 skipped: 1.png (no picture of a known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "inpaint"], "--task inpaint needs a --mask"),
        (["--task", "denoise"], "--task denoise needs a --noise-level"),
        (["--task", "denoise", "--noise-level", "3"], "noise_level must be at least 0"),
        (["--task", "deblur", "--mask", "x.png"], "only inpaint takes --mask"),
        (["--task", "deblur", "--out", "x.jpg"], "must end in"),
        (["--task", "deblur", "--runtime", "onnx"], "is no artifact"),
        (["--task", "inpaint", "--mask", "/no/where.png"], "not a readable image"),
    ],
)
def test_bad_restoring_gets_one_line(files, arguments, message, capsys):
    place = [str(files / "model.keras"), str(files / "pictures" / "0.png")]
    assert main(["restore", *place, *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line


def test_samplers_on_the_command_line_get_one_line(files, digits_run, capsys):
    model = str(files / "model.keras")
    for arguments, message in (
        (["generate", model, "--sampler", "dimm"], "did you mean ddim"),
        (["generate", model, "--sampling-steps", "0"], "sampling_steps must be"),
        (["generate", str(digits_run), "--sampler", "ddim"], "VAE has no sampler"),
        (["restore", str(digits_run), model, "--task", "deblur"], "can't deblur"),
        (["restore", model, "/no/where.png", "--task", "deblur"], "there is no image"),
    ):
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert message in line


def test_a_run_is_evaluated_exported_and_says_its_sampler(tmp_path, capsys):
    run = str(tmp_path / "run")
    settings = ["model.network=convolutional", "model.restoration_steps=3"]
    settings += ["evaluate.bound_draws=2", "train.steps_per_execution=1"]
    arguments = [a for pair in settings for a in ("--set", pair)]
    train = ["train", "ddpm_digits", "--out", run, "--steps", "4", "--quiet"]
    assert main([*train, *arguments]) == 0
    assert main(["evaluate", run, "--quiet"]) == 0
    figures = json.loads((tmp_path / "run" / "metrics.json").read_text())["figures"]
    assert "given labels, 2 of 1000 time steps" in figures["bits_per_dim"]["protocol"]
    assert figures["bits_per_dim"]["value"] > 0
    last = str(tmp_path / "last.json")  # of the last weights
    assert main(["evaluate", run, "--no-ema", "--json", last, "--quiet"]) == 0
    other = json.loads((tmp_path / "last.json").read_text())["figures"]
    assert other["bits_per_dim"]["value"] != figures["bits_per_dim"]["value"]
    out = str(tmp_path / "artifact")
    export = ["export", run, "--out", out, "--formats", "onnx", "--quiet"]
    choice = ["--sampler", "heun", "--sampling-steps", "3", "--guidance", "1.5"]
    capsys.readouterr()
    export.remove("--quiet")
    assert main([*export, *choice, "--set", "model.resampling=2"]) == 0
    said = "figures that are not shipped: nearest_neighbour, diversity: measured with"
    assert said in capsys.readouterr().out
    shipped = json.loads((tmp_path / "artifact" / "metrics.json").read_text())
    assert shipped["figures"] == {"bits_per_dim": figures["bits_per_dim"]}
    card = (tmp_path / "artifact" / "README.md").read_text()
    assert "Sampler: heun, 3 steps, guidance 1.5 where none is given" in card
    assert "`inpaint` takes each 2 times" in card
    assert main(["evaluate", out, "--no-ema"]) == 2  # it has the average only
    drawn = {}
    for runtime in ("keras", "onnx"):
        file = str(tmp_path / f"{runtime}.npy")
        generate = ["generate", out, "--runtime", runtime, "--out", file, "--quiet"]
        assert main([*generate, "--label", "3", "--seed", "5"]) == 0
        drawn[runtime] = np.load(file)
    np.testing.assert_allclose(drawn["keras"], drawn["onnx"], atol=2e-3)
    file = str(tmp_path / "guided.npy")
    generate = ["generate", out, "--label", "3", "--seed", "5", "--out", file]
    assert main([*generate, "--guidance", "1.5", "--quiet"]) == 0
    np.testing.assert_array_equal(np.load(file), drawn["keras"])
    assert main([*generate, "--guidance", "1", "--quiet"]) == 0
    assert not np.allclose(np.load(file), drawn["keras"], atol=1e-3)
