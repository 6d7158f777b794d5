"""The classifier of texts: a plain Keras model, that says which words decided."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasgen
from kerasgen.errors import InputError
from kerasgen.metrics.classification import calibration_gaps
from kerasgen.tokenizers import Words

FILLERS = ["the", "a", "film", "was", "it", "and", "then", "of", "plot", "saw"]
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, 128)
TEXTS = [
    " ".join([*RNG.choice(FILLERS, 4), ["awful", "great"][label], "film"])
    for label in LABELS
]
TOKENIZER = Words.train(TEXTS)


def classifier(network="attention", **values):
    keras.utils.set_random_seed(0)
    network = {"name": network, "width": 16} if isinstance(network, str) else network
    options = {"tokenizer": TOKENIZER, "context": 10, "labels": ["bad", "good"]}
    return kerasgen.TextClassifier(**options | {"network": network} | values)


def fitted(x=TEXTS, y=LABELS, compile=None, model=None, **options):
    model = model or classifier()
    model.compile(keras.optimizers.Adam(1e-2), **compile or {})
    options = {"batch_size": 32, "shuffle": False, "verbose": 0, "epochs": 3} | options
    return model, model.fit(x, y, **options).history


@pytest.mark.parametrize(
    "network",
    [
        "attention",
        {"name": "ngrams", "width": 8, "ngrams": 3, "buckets": 128},
        {"name": "transformer", "width": 16, "depth": 1, "heads": 2, "ngrams": 2},
    ],
)
def test_it_learns_and_says_which_words_decided(network):
    model, history = fitted(model=classifier(network), epochs=12)
    assert history["accuracy"][-1] > 0.95
    found = model.serve("classify", text=np.array(["the plot saw was great film"], "S"))
    assert found["probabilities"][0, 1] > 0.9
    np.testing.assert_allclose(found["attention"].sum(axis=1), 1.0, atol=1e-5)
    tokens = [token.decode() for token in found["tokens"][0]]
    assert tokens == ["the", "plot", "saw", "was", "great", "film"]


def test_fit_takes_lists_arrays_datasets_and_validation():
    _, expected = fitted(validation_data=(TEXTS[:32], LABELS[:32]))
    assert expected["val_loss"][-1] < expected["val_loss"][0]
    batches = tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)).batch(32)
    for x, y in (
        (np.array(TEXTS, object), LABELS.tolist()),
        (tf.constant(TEXTS), LABELS),
        (batches, None),
    ):
        options = {} if y is not None else {"batch_size": None}
        _, found = fitted(x, y, **options)
        assert found["loss"] == expected["loss"]


def test_a_loss_and_metrics_of_ones_own():
    _, own = fitted()
    losses = "sparse_categorical_crossentropy", keras.losses.CategoricalCrossentropy()
    one_hot = np.eye(2, dtype="float32")[LABELS]
    for loss, labels in zip(losses, (LABELS, one_hot), strict=True):
        metrics = ["accuracy"] + [keras.metrics.AUC(name="auc")] * (loss != losses[0])
        choice = {"loss": loss, "metrics": metrics}
        _, found = fitted(y=labels, compile=choice)
        np.testing.assert_allclose(found["loss"], own["loss"], rtol=1e-4)
        np.testing.assert_allclose(found["accuracy"], own["accuracy"])
    assert found["auc"][-1] > 0.5


def test_weights_of_classes_and_rows_count():
    _, plain = fitted(epochs=1)
    weights = np.where(LABELS == 0, 3.0, 1.0)
    _, by_class = fitted(epochs=1, class_weight={0: 3.0, 1: 1.0})
    _, by_row = fitted(epochs=1, sample_weight=weights)
    batches = tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)).batch(32)
    options = {"epochs": 1, "batch_size": None, "class_weight": {0: 3.0, 1: 1.0}}
    _, of_batches = fitted(batches, None, **options)
    assert by_class["loss"] == by_row["loss"] == of_batches["loss"] != plain["loss"]


def test_what_was_compiled_is_saved(tmp_path):
    choice = {"loss": keras.losses.CategoricalFocalCrossentropy(gamma=3.0)}
    choice["metrics"] = [keras.metrics.CategoricalAccuracy("right")]
    one_hot = np.eye(2, dtype="float32")[LABELS]
    model, _ = fitted(y=one_hot, compile=choice)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.loss.gamma == 3.0
    a, b = (m.evaluate(TEXTS, one_hot, verbose=0) for m in (model, again))
    assert a == b


def test_it_is_calibrated_on_held_out_data():
    rng = np.random.default_rng(1)
    noisy = np.where(rng.uniform(size=128) < 0.2, 1 - LABELS, LABELS)
    model, _ = fitted(epochs=8)  # sure of what is wrong in one of five

    def ece():
        p = model.predict(TEXTS, verbose=0)
        right = (p.argmax(axis=1) == noisy).astype(float)
        return calibration_gaps(p.max(axis=1), right).sum()

    before = ece()
    temperature = model.calibrate(TEXTS, noisy)
    assert temperature > 1.5 and ece() < before / 2
    assert model.calibrate(TEXTS, noisy) == pytest.approx(temperature, rel=1e-2)


def test_padding_is_not_seen():
    for network in ("attention", "ngrams", "transformer"):
        values = {"name": network, "width": 16}
        model = classifier(values | ({} if network == "transformer" else {"ngrams": 2}))
        ids = model.codec.ids([TEXTS[0]])
        short = model.serve("classify_ids", token_ids=ids)
        wide = model.serve("classify_ids", token_ids=np.pad(ids, [[0, 0], [0, 5]]))
        np.testing.assert_allclose(
            short["probabilities"], wide["probabilities"], atol=1e-6
        )
        assert not wide["attention"][0, ids.shape[1] :].any()


def test_no_words_are_no_error():
    found = classifier().serve("classify", text=np.array([b"", b"xyzzy"]))
    assert np.isfinite(found["probabilities"]).all()
    assert not found["attention"][0].any()
    assert found["tokens"][1, 0].decode() == "�"


def test_labels_are_needed():
    model = classifier()
    model.compile()
    with pytest.raises(InputError, match="learns from labels: give .texts, labels."):
        model.fit(TEXTS, verbose=0)
    with pytest.raises(InputError, match="labels must be at least 2"):
        classifier(labels=["one"])


def test_two_devices_are_one(two_replicas):
    choice = {"metrics": ["sparse_categorical_accuracy"]}
    _, one = fitted(compile=choice)
    with two_replicas.scope():
        _, two = fitted(compile=choice)
    for name in ("loss", "sparse_categorical_accuracy"):
        np.testing.assert_allclose(one[name], two[name], atol=1e-5)


def test_calibration_takes_what_fit_takes_and_nothing_else():
    model, _ = fitted()
    names = [model.labels[label] for label in LABELS]
    expected = model.calibrate(TEXTS, LABELS)
    ids = model.codec.ids(TEXTS)
    for x, y in ((TEXTS, names), (TEXTS, np.eye(2)[LABELS]), (ids, LABELS[:, None])):
        assert model.calibrate(x, y) == pytest.approx(expected, rel=1e-2)
    for x, y, line in (
        ([], [], "there are no examples"),
        (TEXTS, LABELS[:3], "rows must be as many: 128 of x, 3 of y"),
        (TEXTS, LABELS + 1, "label 2 is none"),
        (TEXTS, None, "learns from labels"),
    ):
        with pytest.raises(InputError, match=line):
            model.calibrate(x, y)


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        (["a", "a"], "labels must be each another name"),
        (2, "labels must be a list of names, not 2"),
        ("ab", "labels must be a list of names, not 'ab'"),
        ({"a", "b"}, "labels must be a list of names"),
    ],
)
def test_labels_are_names_each_another(labels, line):
    with pytest.raises(InputError, match=line):
        classifier(labels=labels)
