"""What images and labels users give, and what they are told."""

import numpy as np
import pytest
import tensorflow as tf

import kerasgen
from kerasgen import tokenizers
from kerasgen.errors import InputError
from kerasgen.labels import check_labels, label_numbers
from kerasgen.models.images import check_images, image_batch
from kerasgen.networks.group_norm import GroupNorm

SHAPE = (2, 2, 1)
RAMP = np.linspace(0.0, 1.0, 12, dtype="float32").reshape(3, *SHAPE)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64"])
def test_whole_numbers_of_any_type_count_to_255(dtype):
    images = np.round(RAMP * 255).astype(dtype)
    check_images(images, SHAPE)
    found = np.asarray(image_batch(images, SHAPE)["images"])
    np.testing.assert_allclose(found, images / 255.0, atol=1e-6)


@pytest.mark.parametrize(
    ("images", "line"),
    [
        (RAMP * 255, "from 0 to 255, where floats are in .0, 1.: give images / 255"),
        (RAMP * 2 - 1, r"from -1 to 1, .* give \(images \+ 1\) / 2"),
        (RAMP * np.nan, "no numbers .NaN."),
        ((RAMP * 65535).astype("int32"), "from 0 to 65535, where whole numbers are 0"),
        (np.round(RAMP).astype("int64"), "of whole numbers 255 is white"),
        (RAMP[0], r"must have shape \(batch, 2, 2, 1\), not .* wants .batch\(64\)"),
        ({"image": RAMP}, "not as a dict"),
    ],
)
def test_other_images_get_a_line(images, line):
    with pytest.raises(InputError, match=line):
        check_images(images, SHAPE)


def test_labels_are_numbers_one_hot_rows_or_names():
    y = np.array([2, 0, 1])
    for labels in (y, y[:, None], np.eye(3)[y], y.astype("float32")):
        check_labels(labels, 3)
        np.testing.assert_array_equal(np.asarray(label_numbers(labels)), y)
    check_labels(np.array(["a", b"b"], object), 2, names=["a", "b"])


@pytest.mark.parametrize(
    ("labels", "least", "line"),
    [
        (np.array([1, 3]), -1, "label 3 is none .* from -1 to 2"),
        (np.array([-1, 2]), 0, "label -1 is none .* from 0 to 2"),
        (np.array([0.5]), -1, "label 0.5 is none"),
        (np.eye(4), -1, "one-hot labels have 4 columns, and the model 3"),
        (np.zeros((2, 3)), -1, "a single 1"),
        (np.array(["cta"], object), 0, "unknown label 'cta': did you mean cat"),
    ],
)
def test_other_labels_get_a_line(labels, least, line):
    names = ["cat", "dog", "owl"] if labels.dtype == object else ()
    with pytest.raises(InputError, match=line):
        check_labels(labels, 3, least, names)


def test_group_norm_where_the_mean_is_a_thousand_deviations():
    rng = np.random.default_rng(0)
    x = rng.normal(1000.0, 1.0, (2, 8, 8, 8)).astype("float32")
    wide = x.astype("float64").reshape(2, 8, 8, 2, 4)
    mean, variance = (f(wide, axis=(1, 2, 4), keepdims=True) for f in (np.mean, np.var))
    expected = ((wide - mean) / np.sqrt(variance + 1e-5)).reshape(x.shape)
    np.testing.assert_allclose(np.asarray(GroupNorm()(x)), expected, atol=2e-3)


@pytest.mark.parametrize("entry", ["fit", "train_on_batch", "generator"])
def test_every_example_has_its_label_and_weight(entry):
    model = kerasgen.ImageClassifier(SHAPE, classes=3, feature_dim=2)
    model.compile("sgd")
    images = np.zeros((5, *SHAPE), "uint8")
    for rest in ([np.zeros(4, int)], [np.zeros(5, int), np.ones(6)]):
        with pytest.raises(InputError, match="rows must be as many: 5 of x, . of y"):
            if entry == "generator":
                model.fit(((images, *rest) for _ in range(2)), verbose=0)
            elif entry == "fit":
                y, *weight = rest
                model.fit(images, y, sample_weight=weight[0] if weight else None)
            else:
                model.train_on_batch(images, *rest)


MODELS = {
    "vae": lambda: kerasgen.VAE(SHAPE, latent_dim=2, classes=3),
    "gan": lambda: kerasgen.GAN(SHAPE, latent_dim=2, classes=3),
    "image_classifier": lambda: kerasgen.ImageClassifier(SHAPE, 3, feature_dim=2),
    "text_classifier": lambda: kerasgen.TextClassifier(
        tokenizers.Bytes(), context=4, labels=["a", "b", "c"], network="ngrams"
    ),
}
LABELS = np.array([2, 0, 1])
FORMS = [LABELS[:, None], np.eye(3)[LABELS], LABELS.astype("float32"), LABELS]


@pytest.mark.parametrize("family", MODELS)
def test_labels_may_change_their_form_from_call_to_call(family):
    """What a compiled step was traced for says nothing about the next call."""
    texts = family == "text_classifier"
    x = np.array([[5, 6], [7, 0], [8, 9]]) if texts else RAMP
    model = MODELS[family]()
    model.compile("sgd")
    model.fit(x, LABELS, verbose=0)
    for y in FORMS:
        model.fit(x, y, verbose=0)
    assert model.steps_taken == 1 + len(FORMS)
    expected = model.evaluate(x, LABELS, verbose=0)
    for y in FORMS:
        batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(3)
        for fed in ((x, y), (batches,), (pair for pair in [(x, y)])):
            fed = fed if isinstance(fed, tuple) else (fed,)
            found = model.evaluate(*fed, verbose=0)
            np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_images_of_one_channel_may_come_with_it_or_without():
    model = kerasgen.VAE(SHAPE, latent_dim=2)
    model.compile("sgd")
    expected = model.evaluate(RAMP, verbose=0)
    for images in (RAMP[..., 0], RAMP):
        batches = tf.data.Dataset.from_tensor_slices(images).batch(3)
        for x in (images, batches):
            np.testing.assert_allclose(model.evaluate(x, verbose=0), expected)


def test_one_hot_labels_stay_for_a_loss_that_wants_them():
    model = MODELS["text_classifier"]()
    model.compile("sgd", "categorical_crossentropy", metrics=["categorical_accuracy"])
    x = np.array([[5, 6], [7, 0], [8, 9]])
    batches = tf.data.Dataset.from_tensor_slices((x, np.eye(3)[LABELS])).batch(3)
    expected = model.evaluate(x, np.eye(3)[LABELS], verbose=0)
    np.testing.assert_allclose(model.evaluate(batches, verbose=0), expected)


@pytest.fixture(scope="module")
def language_model():
    network = {"name": "transformer", "width": 8, "depth": 1, "heads": 2}
    model = kerasgen.LanguageModel(tokenizers.Bytes(), context=4, network=network)
    model.compile("sgd", jit_compile=False)
    return model


def _batches(x):
    return tf.data.Dataset.from_tensor_slices(x).batch(3)


ROWS = [[5, 6, 7], [8, 9], [10]]
TEXTS = ["abc", "de", "f"]
FED = [
    (lambda: ROWS, "ids"),
    (lambda: tf.ragged.constant(ROWS), "ids"),
    (lambda: _batches(tf.ragged.constant(ROWS)), "ids"),
    (lambda: (rows for rows in [TEXTS]), "texts"),
    (lambda: (tuple(rows) for rows in [TEXTS]), "texts"),
]


@pytest.mark.parametrize(("make", "kind"), FED)
def test_texts_and_rows_of_tokens_may_be_lists_and_ragged(make, kind, language_model):
    plain = {"ids": np.array([[5, 6, 7], [8, 9, 0], [10, 0, 0]]), "texts": TEXTS}
    expected = language_model.evaluate(plain[kind], verbose=0)
    found = language_model.evaluate(make(), verbose=0)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: tf.data.Dataset.from_tensor_slices(TEXTS), "wants .batch.64."),
        (lambda: [3, "a"], "must be strings, or rows of token ids"),
        (lambda: ["a", 3], "must be strings, or rows of token ids"),
        (lambda: [], "there are no examples: give one at least"),
        (lambda: [[5.5, 6], [7]], "rows have different shapes"),
        (lambda: [[[5, 6], [7]], [8]], "rows have different shapes"),
        (lambda: ["\ud800"], r"a text has U\+D800, half of a character"),
        (lambda: "one text", r"one string is no list of texts: give \[text\]"),
    ],
)
def test_other_texts_get_a_line(make, line, language_model):
    with pytest.raises(InputError, match=line):
        language_model.fit(make(), verbose=0)


@pytest.mark.parametrize(
    ("prompt", "line"),
    [
        (3, "texts are a list of strings, not 3"),
        (["a", None], "a text is a string, not None"),
        ("\ud800", r"a text has U\+D800, half of a character: leave it out"),
        ("\udcff", "a text is not in UTF-8 .byte 0xff in line 1.: convert it"),
        (b"\xff", "a text is not in UTF-8 .byte 0xff in line 1.: convert it"),
    ],
)
def test_other_prompts_get_a_line(prompt, line, language_model):
    with pytest.raises(InputError, match=line):
        language_model.generate(2, prompt=prompt)
    with pytest.raises(InputError, match="one string is no list of texts"):
        language_model.codec.ids("abc")
    as_bytes = language_model.generate(1, prompt=b"ab", max_new_tokens=1)
    assert as_bytes == language_model.generate(1, prompt="ab", max_new_tokens=1)


def test_a_translator_takes_a_list_of_texts():
    network = {"name": "transformer", "width": 8, "depth": 1, "heads": 2}
    model = kerasgen.Translator(tokenizers.Bytes(), context=4, network=network)
    for texts, line in ((["a", None], "not None"), ("one", "no list"), (3, "not 3")):
        with pytest.raises(InputError, match=line):
            model.translate(texts)
