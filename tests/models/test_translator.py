"""The translator: pairs, the search it serves, and what bad input is told."""

from pathlib import Path

import keras
import numpy as np
import plain
import pytest
import tensorflow as tf

import kerasgen
from kerasgen import data, pictures, recipe
from kerasgen.building import create
from kerasgen.errors import InputError
from kerasgen.tokenizers import END, Characters

# Letters in another order: what a translator has to look up.
SOURCES = [f"{a}{b}{c}" for a in "abcd" for b in "abcd" for c in "abcd"]
TARGETS = [text[::-1].upper() for text in SOURCES]


def translator(**values):
    keras.utils.set_random_seed(0)
    network = {"name": "transformer", "width": 32, "depth": 1, "heads": 2}
    options = {"tokenizer": Characters("abcdABCD"), "context": 8, "network": network}
    return kerasgen.Translator(**options | {"beam": 2} | values)


@pytest.fixture(scope="module")
def trained():
    model = translator()
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=False)
    model.fit(SOURCES, TARGETS, epochs=50, batch_size=16, verbose=0)
    return model


def test_it_learns_what_goes_where(trained):
    found = trained.translate(SOURCES)
    assert np.mean([a == b for a, b in zip(found, TARGETS, strict=True)]) > 0.8


def test_it_looks_at_what_it_translates(trained):
    weights, rows, columns = trained.attention("abc", "CBA")
    assert (rows, columns) == (["C", "B", "A", "⏎"], ["⏎", "a", "b", "c"])
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-5)
    maps = [trained.attention(*pair)[0] for pair in zip(SOURCES, TARGETS, strict=True)]
    first = np.array([seen[0].argmax() for seen in maps])  # later ones know the rest
    assert np.mean(first == 3) > 0.8
    picture = pictures.heatmap(weights, rows, columns)
    assert picture.shape[2] == 3 and picture.min() < 0.5 and picture.max() == 1.0
    with pytest.raises(InputError, match="context"):
        trained.attention("abcd" * 4)


def test_fit_takes_lists_arrays_and_datasets_of_pairs():
    def loss(x, y=None, **options):
        model = translator()
        model.compile(keras.optimizers.SGD(0.1), **options)
        options = {"batch_size": None if y is None else 16, "shuffle": False}
        return model.fit(x, y, verbose=0, **options).history["loss"][0]

    plain = {"jit_compile": False}
    expected = loss(SOURCES, TARGETS, **plain)
    assert loss(np.array(SOURCES, object), np.array(TARGETS), **plain) == expected
    pairs = tf.data.Dataset.from_tensor_slices((SOURCES, TARGETS)).batch(16)
    assert loss(pairs, **plain) == expected


@pytest.mark.slow
def test_xla_takes_the_same_steps():
    def losses(**options):
        model = translator()
        model.compile(keras.optimizers.SGD(0.1), **options)
        options = {"batch_size": 16, "shuffle": False, "verbose": 0}
        return model.fit(SOURCES, TARGETS, **options).history["loss"]

    np.testing.assert_allclose(losses(), losses(jit_compile=False), rtol=1e-5)


STYLES = [pytest.param(name, marks=pytest.mark.slow) for name in ("gpt2", "classic")]


@pytest.mark.parametrize("style", ["modern", *STYLES])
def test_one_beam_is_greedy_without_a_cache(style):
    network = {"name": "transformer", "width": 16, "depth": 1, "heads": 2}
    model = translator(network=network | {"style": style}, beam=1)
    for weight in model.trainable_variables:  # far from ties
        weight.assign(weight * 3.0)
    ids = model.codec.ids(["b", "ad", "dcba"])
    found = model.serve("translate_ids", token_ids=ids)["output_ids"]
    for row, source in zip(found, ids, strict=True):
        target, limit = [END], min(model.context, 2 * np.count_nonzero(source) + 10)
        while len(target) <= limit and (len(target) == 1 or target[-1] != END):
            both = [source[source != 0][None], np.array([target], "int32")]
            logits = np.array(model.network(both)[0, -1])
            logits[0] = -np.inf
            target.append(int(logits.argmax()))
        assert row[row != 0].tolist() == target[1:]


ARTIFACT = Path(__file__).parents[2] / "saved_models" / "translator_multi30k"


@pytest.mark.slow
@pytest.mark.skipif(not ARTIFACT.exists(), reason="translator_multi30k isn't there")
def test_the_search_of_the_artifact_is_a_plain_one():
    """On 200 sentences; where rounding decides between two, they are equally good."""
    try:
        source = data.load(recipe.read("translator_multi30k").data)
    except InputError as error:
        pytest.skip(str(error))
    model = kerasgen.load(ARTIFACT)
    texts = source["validation"].x[:200]
    ids = model.codec.ids(list(texts))
    found = model.codec.texts(model.serve("translate_ids", token_ids=ids)["output_ids"])
    shape = (model.beam, model.context)
    network = tf.function(model.network, reduce_retracing=True)
    different = 0
    for row, text in zip(ids, found, strict=True):
        sources = np.repeat(row[None], model.beam, axis=0)

        def logits_after(rows, sources=sources):
            target = np.zeros(shape, "int32")
            target[: len(rows), : len(rows[0])] = rows
            logits = network([tf.constant(sources), tf.constant(target)])
            return logits[: len(rows), len(rows[0]) - 1].numpy()

        limit = min(model.context, 2 * np.count_nonzero(row) + 10)
        search = model.beam, model.length_penalty
        tokens, score = plain.beam_search(logits_after, limit, *search)
        (expected,) = model.codec.texts(np.array([tokens]))
        if text != expected:
            different += 1
            (tokens,) = model.codec.ids([text])
            ours = [*tokens[1:].tolist(), 1]
            chances = [
                tf.nn.log_softmax(logits_after([[1, *ours[:t]]])[0])[token]
                for t, token in enumerate(ours)
            ]
            penalty = ((5 + len(ours)) / 6) ** model.length_penalty
            assert np.sum(chances) / penalty == pytest.approx(score, abs=1e-3)
    assert different <= 1


def test_strings_are_translated_in_the_graph(trained):
    texts = ["abc", "", "dd", " \t"]
    found = trained.serve("translate", text=np.array(texts, "S"))["translation"]
    assert [text.decode() for text in found] == trained.translate(texts)
    assert [found[1], found[3]] == [b"", b""] and found[0] and found[2]


def test_of_a_source_without_text_there_is_nothing_to_translate(trained):
    """Whatever else is in the batch, and what search would make of it."""
    ids = np.array([[1, 2, 3], [1, 0, 0], [0, 0, 0]], "int32")
    found = trained.serve("translate_ids", token_ids=ids)["output_ids"]
    assert found[0].any() and not found[1:].any()
    assert trained.translate(["", "abc", "\n"])[::2] == ["", ""]


def test_the_loop_of_a_client_finds_what_one_beam_does(trained):
    model = trained.changed(beam=1)
    ids = model.codec.ids(["abc", "d"])
    memory = model.serve("encode_source", token_ids=ids)
    past = {key.replace("present", "past_key_values"): v for key, v in memory.items()}
    shape = list(memory["present.0.encoder.key"].shape)
    for part in ("key", "value"):
        past[f"past_key_values.0.decoder.{part}"] = np.zeros([*shape[:2], 0, shape[3]])
    last, found = np.full((2, 1), END), []
    for _ in range(3):
        values = {"input_ids": last, "encoder_attention_mask": ids != 0} | past
        outputs = model.serve("decode_step", **values)
        logits = outputs.pop("logits")
        logits[:, 0] = -np.inf
        last = logits.argmax(axis=1)[:, None]
        found.append(last[:, 0])
        past |= {
            key.replace("present", "past_key_values"): v for key, v in outputs.items()
        }
    expected = model.serve("translate_ids", token_ids=ids)["output_ids"]
    np.testing.assert_array_equal(np.stack(found, 1)[0], expected[0, :3])


def test_padding_and_length_do_not_matter(trained):
    batch = trained.preprocess(["abc", "d"], ["CBA", "D"])
    wide = {key: np.pad(value, [[0, 0], [0, 3]]) for key, value in batch.items()}
    losses = [trained.example_losses(b, None, False)["loss"] for b in (batch, wide)]
    np.testing.assert_allclose(*losses, atol=1e-5)
    (row,) = trained.serve("translate_ids", token_ids=np.array([[1, 6]]))["output_ids"]
    padded = np.array([[1, 6, 0, 0]])
    (again,) = trained.serve("translate_ids", token_ids=padded)["output_ids"]
    assert row.tolist() == again.tolist()


def test_targets_are_smoothed_in_training_only():
    batch = translator().preprocess(["abc"], ["CBA"])
    smoothed = translator(label_smoothing=0.5)
    plain = translator(label_smoothing=0.0)
    (a,), (b,), (c,) = (
        np.array(model.example_losses(batch, None, training)["loss"])
        for model, training in ((smoothed, False), (plain, True), (smoothed, True))
    )
    assert a == b != c
    logits = np.array(plain.call(batch))[0, :4]
    nats = np.log(np.exp(logits).sum(-1, keepdims=True)) - logits
    target = np.array(batch["target_ids"])[0, 1:5]
    expected = 0.5 * nats[range(4), target].mean() + 0.5 * nats.mean()
    assert c == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.translate(["abcdabcd"]), "9 tokens, and the model's context 8"),
        (lambda m: m.translate(["xyz"]), "does not know the character 'x'"),
        (lambda m: m.compile(loss="mse"), "Translator has its own loss"),
        (lambda m: m.changed(beam=5), "beam must be at most 4, of so many tokens"),
        (
            lambda m: m.fit(SOURCES, verbose=0),
            "learns from pairs: give .so",
        ),
        (lambda m: m.predict(SOURCES, verbose=0), "needs pairs, .* but to `translate`"),
    ],
)
def test_bad_input_is_said_in_one_line(call, message):
    model = translator()
    model.compile(jit_compile=False)
    with pytest.raises(InputError, match=message):
        call(model)


def test_data_without_pairs_is_refused():
    values = recipe.read("translator_cldr", {"data": "bundled:python_docs"})
    with pytest.raises(InputError, match="needs pairs of texts"):
        create(values, data.load(values.data))
