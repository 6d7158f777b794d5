"""The classifier: its loss, its augmentation, and a user's own Keras workflow."""

import keras
import numpy as np
import pytest

import kerasgen
from kerasgen import kinds
from kerasgen.cli import main
from kerasgen.errors import InputError
from kerasgen.models.images import shifted_and_flipped
from kerasgen.random import Noise, row_seeds


def small(**values):
    keras.utils.set_random_seed(0)
    network = {"name": "convolutional", "widths": [8]}
    return kerasgen.ImageClassifier((8, 8, 1), 10, 8, network, **values)


def test_it_learns_in_a_users_own_fit(digits, tmp_path):
    model = small()
    model.compile(keras.optimizers.Adam(1e-2))
    train, test = digits["train"], digits["test"]
    model.fit(train.x, train.y, batch_size=64, epochs=10, verbose=0)
    figures = model.evaluate(test.x, test.y, verbose=0, return_dict=True)
    assert figures["accuracy"] > 0.85
    probabilities = model.predict(test.x, verbose=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
    assert np.mean(probabilities.argmax(axis=1) == test.y) == pytest.approx(
        figures["accuracy"]
    )
    model.save(tmp_path / "c.keras")
    again = keras.saving.load_model(tmp_path / "c.keras")
    served = again.serve("classify", images=test.x / np.float32(255))
    np.testing.assert_allclose(served["probabilities"], probabilities, atol=1e-5)
    assert served["features"].shape == (len(test), 8)

    preview = kinds.of(model.signatures()).preview(model, test.x[:20] / 255.0, 16)
    classes = model.predict(preview, verbose=0).argmax(axis=1)
    assert len(preview) == 16 and (np.diff(classes) >= 0).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_loss_is_kerass_cross_entropy(small_images, smoothing):
    labels = np.arange(50) % 10
    model = small(label_smoothing=smoothing)
    batch = model.preprocess(small_images, labels)
    terms = model.example_losses(batch, Noise(row_seeds(0, 50)), False)
    expected = keras.losses.categorical_crossentropy(
        np.eye(10)[labels], model(small_images), label_smoothing=smoothing
    )
    np.testing.assert_allclose(terms["loss"], expected, rtol=1e-4)
    right = np.argmax(model(small_images), axis=1) == labels
    np.testing.assert_array_equal(terms["accuracy"], right)


def test_images_are_moved_whole_and_every_way():
    rng = np.random.default_rng(0)
    images = rng.uniform(1, 2, (400, 5, 4, 2)).astype("float32")
    noise = lambda: Noise(row_seeds(0, 400))  # noqa: E731
    np.testing.assert_array_equal(shifted_and_flipped(images, noise()), images)
    moved = np.asarray(shifted_and_flipped(images, noise(), shift=1, flip=True))
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    ways = np.stack(
        [
            view[:, dy : dy + 5, dx : dx + 4]
            for view in (padded, padded[:, :, ::-1])
            for dy in range(3)
            for dx in range(3)
        ]
    )
    found = (ways == moved).all(axis=(2, 3, 4))  # (way, image)
    assert (found.sum(axis=0) == 1).all()
    assert found.mean(axis=1).min() > 0.02  # each of 18 ways is taken


def test_augmentation_is_for_training_only(small_images):
    model = small(augment={"shift": 2})
    batch = model.preprocess(small_images, np.zeros(50, int))
    noise = Noise(row_seeds(0, 50))
    plain = small().example_losses(batch, noise, False)["loss"]
    np.testing.assert_allclose(model.example_losses(batch, noise, False)["loss"], plain)
    changed = model.example_losses(batch, noise, True)["loss"]
    unchanged = small().example_losses(batch, noise, True)["loss"]
    assert not np.allclose(changed, unchanged)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"classes": 1}, "classes must be at least 2"),
        ({"feature_dim": 0}, "feature_dim must be a whole number"),
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\), not 1.0"),
        ({"augment": {"shfit": 1}}, "did you mean shift"),
        ({"augment": {"shift": -1}}, "augment.shift must be"),
        ({"network": "convolution"}, "did you mean convolutional"),
    ],
)
def test_bad_values_get_one_line(values, message):
    with pytest.raises(InputError, match=message):
        kerasgen.ImageClassifier(**{"image_shape": (8, 8, 1), "classes": 3} | values)


def test_labels_are_needed_to_train(small_images):
    model = small()
    model.compile()
    with pytest.raises(
        InputError,
        match="learns from labels.*from 0 to 9",
    ):
        model.fit(small_images, verbose=0)


def test_accuracy_and_calibration_are_figures(tmp_path, capsys):
    out = tmp_path / "run"
    recipe = "tests/contract/image_classifier_contract.yaml"
    assert main(["train", recipe, "--out", str(out), "--steps", "30", "--quiet"]) == 0
    assert main(["evaluate", str(out), "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "accuracy 0." in printed and "ece 0." in printed
