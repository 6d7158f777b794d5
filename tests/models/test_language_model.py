"""The language model: prompts, caches, strings, and what bad input is told."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import plain
import pytest
import tensorflow as tf

import kerasgen
from kerasgen import data, places, random, recipe
from kerasgen.building import create
from kerasgen.codec import Codec
from kerasgen.data.examples import Windows, examples
from kerasgen.data.text import cut
from kerasgen.errors import InputError
from kerasgen.export import contents
from kerasgen.export.server import server
from kerasgen.models import loading
from kerasgen.random import row_seeds
from kerasgen.tokenizers import Bytes, Characters, SentencePiece

TEXTS = ["abcabcabc", "cab", "bca", "abba"] * 8


def language_model(**values):
    keras.utils.set_random_seed(0)
    network = {"name": "transformer", "width": 32, "depth": 2, "heads": 2}
    options = {"tokenizer": Characters("abc\n"), "context": 12, "network": network}
    return kerasgen.LanguageModel(**options | values)


@pytest.fixture(scope="module")
def trained():
    model = language_model()
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=False)
    model.fit(TEXTS * 4, epochs=20, batch_size=16, verbose=0)
    return model


def test_it_learns_texts_and_where_they_end(trained):
    assert trained.evaluate(TEXTS, verbose=0) < 0.4
    drawn = trained.generate(50, seed=1, temperature=0.7)
    assert np.mean([text in TEXTS for text in drawn]) > 0.7


def test_fit_takes_lists_arrays_datasets_and_weights():
    def loss(x, **options):
        model = language_model()
        model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
        options = {"batch_size": 16, "shuffle": False, "verbose": 0} | options
        return model.fit(x, **options).history["loss"][0]

    expected = loss(TEXTS)
    assert loss(np.array(TEXTS, object)) == expected
    assert loss(tf.constant(TEXTS)) == expected
    batches = tf.data.Dataset.from_tensor_slices(TEXTS).batch(16)
    assert loss(batches, batch_size=None) == expected
    held = loss(TEXTS, validation_data=batches)
    assert held == expected
    weights = np.repeat([1.0, 0.0], 16)
    assert loss(TEXTS, sample_weight=weights) != expected
    compiled = language_model()
    compiled.compile(keras.optimizers.SGD(0.1))  # by XLA, which has no strings
    found = compiled.fit(TEXTS, batch_size=16, shuffle=False, verbose=0)
    assert found.history["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_every_token_counts_the_same():
    model = language_model()
    model.compile(jit_compile=False)
    rows = np.array([[1, 2, 3, 4, 1], [1, 3, 0, 0, 0]], "int32")
    logits = np.asarray(model.network(rows[:, :-1]))
    top = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    nats = -np.take_along_axis(top, rows[:, 1:, None], -1)[..., 0]
    expected = nats[rows[:, 1:] != 0].mean()
    assert model.evaluate(rows, verbose=0) == pytest.approx(expected, rel=1e-5)


def full(model, ids):
    """Greedy decoding that computes everything anew for each token."""
    row = list(ids)
    while len(row) < len(ids) + 6 and (len(row) == len(ids) or row[-1] != 1):
        logits = np.array(model.network(np.array([row], "int32"))[0, -1])
        logits[0] = -np.inf
        row.append(int(logits.argmax()))
    return row


@pytest.mark.parametrize("style", ["modern", "gpt2", "classic"])
def test_with_a_cache_or_without_the_same_is_written(style):
    network = {"name": "transformer", "width": 32, "depth": 2, "heads": 2}
    model = language_model(network=network | {"style": style})
    for weight in model.trainable_variables:  # far from ties
        weight.assign(weight * 3.0)
    ids = model.codec.ids(["", "a", "bca"])
    found = model.serve(
        "generate",
        token_ids=ids,
        seed=row_seeds(0, 3),
        temperature=np.zeros(3),
        max_new_tokens=np.full(3, 6),
    )["output_ids"]
    for row, prompt in zip(found, ids, strict=True):
        assert row[row != 0].tolist() == full(model, prompt[prompt != 0].tolist())


def test_rotary_models_write_beyond_their_context(trained):
    """As if each token saw the last 12, of which the cache keeps what was computed."""
    endless = language_model(opening="\n")
    (text,) = endless.generate(1, max_new_tokens=40)
    assert len(text) == 41
    network = {"name": "transformer", "width": 8, "depth": 1, "heads": 1}
    learned = language_model(opening="\n", network=network | {"style": "gpt2"})
    texts = learned.generate(3, prompt=["", "abcabcabc", "a"], max_new_tokens=40)
    assert [len(text) for text in texts] == [12, 12, 12]


def test_xla_writes_the_same(trained):
    options = {"prompt": ["a", "", "bca"], "max_new_tokens": [20, 3, 18], "top_k": 2}
    expected = trained.generate(3, seed=4, **options)
    again = trained.changed()
    again.compile(jit_compile=True)
    assert again.generate(3, seed=4, **options) == expected
    (function,) = again._rooms.functions.values()
    for n, length in ((3, 17), (4, 20), (3, 30)):  # of the same powers of 2
        again.generate(n, prompt="abc"[: n - 1], max_new_tokens=length)
    assert function.experimental_get_tracing_count() == 1
    long = again.generate(1, prompt="ab", max_new_tokens=40, temperature=0.0)
    assert long == trained.generate(1, prompt="ab", max_new_tokens=40, temperature=0.0)


@pytest.mark.parametrize("context, new", [(12, 40), (40, 120)])
def test_rows_are_alone_in_every_cache(monkeypatch, context, new):
    """Beyond the context, in chapters, and beside prompts of other lengths."""
    monkeypatch.setattr("kerasgen.decoding.cached.SHORT", 16)
    model = language_model(context=context, opening="\n")  # it has no end
    for weight in model.trainable_variables:  # what it sees matters
        weight.assign(weight * 4.0)
    ids = np.random.default_rng(0).integers(2, 6, (2, context - 2), "int32")
    ids[1, context // 3 :] = 0
    rows = {"seed": row_seeds(1, 2), "temperature": np.float32([0.7, 1.0])}
    rows |= {"top_k": np.int32([2, 0]), "top_p": np.float32([0.9, 1.0])}
    rows["max_new_tokens"] = np.int32([new] * 2)

    def write(model, ids, rows=rows):
        return model.serve("generate", token_ids=ids, **rows)["output_ids"]

    together = write(model, ids)
    in_place = model.changed()
    in_place.compile(jit_compile=True)
    np.testing.assert_array_equal(together, write(in_place, ids))
    for i, length in enumerate((context - 2, context // 3)):
        row = {name: value[i : i + 1] for name, value in rows.items()}
        (alone,) = write(model, ids[i : i + 1, :length], row)
        assert alone.tolist() == together[i][together[i] != 0].tolist()


def test_an_empty_prompt_is_the_beginning_or_the_opening(trained):
    assert trained.generate(3, prompt="", temperature=0) == trained.generate(
        3, temperature=0
    )
    stream = language_model(opening="\n")
    assert stream.generate(2, seed=3) == stream.generate(2, seed=3, prompt="\n")
    given = {"seed": row_seeds(3, 2), "max_new_tokens": np.full(2, 5)}
    complete = stream.serve("complete", prompt=np.array([b"", b"\n"]), **given)["text"]
    assert complete[0][:1] == b"\n" and len(complete[1]) == 6


def test_a_model_has_a_temperature_where_none_is_given(trained):
    greedy = trained.changed(temperature=0.0)
    assert greedy.generate(3, seed=1) == trained.generate(3, seed=1, temperature=0.0)
    with pytest.raises(InputError, match="temperature must be at least 0"):
        trained.changed(temperature=-1.0)


def test_strings_are_completed_in_the_graph(trained):
    given = {"seed": row_seeds(0, 3), "max_new_tokens": np.full(3, 4)}
    prompts = ["a", "", "bca"]
    texts = trained.serve("complete", prompt=np.array(prompts, "S"), **given)["text"]
    ids = trained.serve("generate", token_ids=trained.codec.ids(prompts), **given)
    expected = trained.codec.texts(ids["output_ids"])
    assert [text.decode() for text in texts] == expected


def test_sentencepiece_goes_into_the_savedmodel(tmp_path):
    pieces = SentencePiece.train([f"line {i} of words" for i in range(300)], size=320)
    model = language_model(tokenizer=pieces, max_new_tokens=3)
    model.export(tmp_path / "artifact", formats=["savedmodel"])
    parity = json.loads((tmp_path / "artifact" / "parity.json").read_text())
    found = {row["runtime"] for row in parity["rows"] if row["signature"] == "complete"}
    assert found == {"savedmodel", "tensorflow_c"}
    assert "import tensorflow_text" in (tmp_path / "artifact" / "README.md").read_text()
    assert contents.problems(model, tmp_path / "artifact") == []
    other = json.dumps(language_model().codec.values())
    (tmp_path / "artifact" / "tokenizer.json").write_text(other)
    lines = contents.problems(model, tmp_path / "artifact")
    assert lines == ["tokenizer.json: not that of model.keras"]


def test_prefill_and_steps_write_what_generate_does(trained):
    """The loop of a client: onnxruntime-genai's, in short."""
    ids = trained.codec.ids(["ab"])
    outputs = trained.serve("prefill", input_ids=ids)
    row = ids[0].tolist()
    for _ in range(5):
        logits = outputs["logits"][0, -1]
        row.append(int(np.argmax(np.where(np.arange(len(logits)) == 0, -99, logits))))
        past = {
            key.replace("present", "past_key_values"): value
            for key, value in outputs.items()
            if key != "logits"
        }
        outputs = trained.serve(
            "decode_step",
            input_ids=np.array([row[-1:]]),
            attention_mask=np.ones((1, len(row))),
            position_ids=np.array([[len(row) - 1]]),
            **past,
        )
    options = {"seed": [0], "temperature": [0.0], "max_new_tokens": [5]}
    found = trained.serve("generate", token_ids=ids, **options)["output_ids"][0]
    stop = row.index(1, 1) + 1 if 1 in row[1:] else len(row)
    assert found[found != 0].tolist() == row[:stop]


ARTIFACT = Path(__file__).parents[2] / "saved_models" / "gpt_tiny_shakespeare"


def gap(model, rows, i, length, place):
    """How much better than the second the best token of row i at `place` was."""
    logits = model.serve("logits", token_ids=rows["token_ids"][i : i + 1])["logits"]
    logits = logits[:, -1] + np.where(np.arange(logits.shape[-1]) == 0, -1e9, 0.0)
    one = {key: row[i : i + 1] for key, row in rows.items()}
    scaled = logits / np.maximum(one["temperature"], 1e-6)[:, None]
    (scaled,), (top_k,), (top_p,) = scaled, one["top_k"], one["top_p"]
    drawn = one["temperature"] > 0
    noise = random.gumbel(one["seed"], (logits.shape[-1],), place - length)
    likely = plain.likely(scaled.astype("float32"), top_k, top_p)
    best = np.sort(likely + np.asarray(noise)[0] if drawn else logits[0])
    return best[-1] - best[-2]


@pytest.mark.slow
@pytest.mark.skipif(not ARTIFACT.exists(), reason="the artifact isn't there")
@pytest.mark.parametrize("runtime", ["savedmodel", "onnx"])
def test_the_artifact_writes_the_same_in_every_runtime(runtime):
    """200 rows of 100 tokens; where rounding decides, two are equally good."""
    place = places.find(ARTIFACT)
    model, n = loading.load_keras(place.keras), 200
    rng = np.random.default_rng(0)
    text = "First Citizen: Before we proceed any further, hear me speak."
    prompts = [text[: rng.integers(1, len(text))] for _ in range(n)]
    rows = {
        "token_ids": model.codec.ids(prompts),
        "seed": row_seeds(7, n),
        "temperature": rng.choice([0.0, 0.7, 1.0], n).astype("float32"),
        "top_k": rng.choice([0, 5, 20], n).astype("int32"),
        "top_p": rng.choice([0.8, 0.95, 1.0], n).astype("float32"),
        "max_new_tokens": np.full(n, 100, "int32"),
    }
    expected = model.serve("generate", **rows)["output_ids"]
    serve, _ = server(place, runtime, "generate")
    found = serve("generate", **rows)["output_ids"]
    different = np.flatnonzero((found != expected).any(axis=1))
    assert len(different) <= 1
    for i in different:
        first = int(np.flatnonzero(found[i] != expected[i])[0])
        before = rows | {"token_ids": np.array(expected)[:, :first]}
        assert (
            gap(model, before, i, np.count_nonzero(rows["token_ids"][i]), first) < 1e-4
        )
    alone = {key: row[5:6] for key, row in rows.items()}
    (row,) = serve("generate", **alone)["output_ids"]
    np.testing.assert_array_equal(row, found[5, : len(row)])
    assert not found[5, len(row) :].any()


GENERATE = """
import resource, kerasgen
from kerasgen.tokenizers import Bytes
network = {"name": "transformer", "width": 384, "depth": 6, "heads": 6}
model = kerasgen.LanguageModel(Bytes(), 1024, network, opening="a")
model.compile(jit_compile=True)
model.generate(8, temperature=0.0, max_new_tokens=LENGTH)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_twice_the_length_takes_at_most_twice_the_memory():
    def peak(length):
        program = GENERATE.replace("LENGTH", str(length))
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert peak(800) <= 2 * peak(400)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "xyz"}, "does not know the character 'x'"),
        ({"prompt": "a" * 12}, "13 tokens, and the model's context 12"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, not 0.0"),
        ({"top_p": 1.5}, "top_p must be above 0 and at most 1, not 1.5"),
        ({"temperature": -1.0}, "temperature must be at least 0"),
        ({"top_k": -1}, "top_k must be at least 0"),
        ({"label": 3}, "takes no label"),
    ],
)
def test_bad_input_is_said_in_one_line(trained, options, message):
    with pytest.raises(InputError, match=message):
        trained.generate(2, **options)


def test_one_prompt_a_row(trained):
    found = trained.generate(3, prompt=["a", "b", "ca"], max_new_tokens=[0, 2, 3])
    assert found[0] == "a" and found[1][0] == "b" and found[2][:2] == "ca"


# Its data.


def test_windows_see_every_token_and_move():
    tokens = np.arange(2, 103, dtype="int32")
    windows = Windows(tokens, 10)
    assert len(windows) == 10 and windows.x.shape == (10, 11)
    assert windows.x[:, 1:].ravel().tolist() == tokens[1:].tolist()
    from kerasgen.data.stream import stream

    epochs = [
        np.sort([row[0][0] for (row,) in stream(windows, 1, 0, i * 10, i * 10 + 10)])
        for i in range(3)
    ]
    for firsts in epochs:
        assert set(np.diff(firsts)[:-1].tolist()) == {10}
    assert len({firsts[0] for firsts in epochs}) > 1


def test_short_texts_are_one_padded_window():
    windows = Windows(np.array([2, 3, 4], "int32"), 8)
    assert windows.x.tolist() == [[2, 3, 4, 0, 0, 0, 0, 0, 0]]
    from kerasgen.data.stream import stream

    ((row,),) = stream(windows, 2, 0, 0, 1)
    assert row.numpy().tolist() == windows.x.tolist() * 2


def test_texts_are_rows_or_one_long_row():
    split = data.load_splits("bundled:python_docs", None)[0]["train"].take(slice(2))
    split.x[:] = ["ab", "é"]
    marked, unmarked = (
        SimpleNamespace(codec=Codec(Bytes(), ends, 3), writes="x")
        for ends in (True, False)
    )
    rows = examples(marked, split, windows=False)
    assert rows.x.tolist() == [[1, 99, 100, 1], [1, 0xC3 + 2, 0xA9 + 2, 1]]
    long = examples(marked, split, windows=True)
    assert long.tokens.tolist() == [1, 99, 100, 1, 0xC3 + 2, 0xA9 + 2, 1]
    row = examples(unmarked, split, windows=True)
    assert row.tokens.tolist() == [99, 100, 0xC3 + 2, 0xA9 + 2]


def test_one_text_is_cut_at_its_end(tmp_path):
    text = "".join(chr(97 + i % 26) for i in range(1000))
    (tmp_path / "a.txt").write_text(text)
    loaded = data.load(f"text:{tmp_path / 'a.txt'}")
    parts = [loaded[name].x[0] for name in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [900, 50, 50] and "".join(parts) == text
    assert [s.x[0] for s in cut("abcd", [0.5, 0.5])] == ["ab", "cd"]


def test_lines_are_examples(tmp_path):
    (tmp_path / "a.smi").write_text("\n".join(f"C{i}" for i in range(40)) + "\n")
    loaded = data.load(f"lines:{tmp_path / 'a.smi'}")
    assert [len(s) for s in loaded.splits.values()] == [36, 2, 2]
    with pytest.raises(InputError, match="no data at"):
        data.load("lines:/nowhere/a.smi")


def test_recipes_name_what_their_models_take():
    for name in recipe.names():
        values = recipe.read(name)
        if values.family == "language_model":
            values = recipe.read(name, {"data": "bundled:python_docs"})
            if "sentencepiece" not in str(values.model["tokenizer"]):
                values.model["opening"] = values.model.get("opening")
                model = create(values, data.load(values.data))
                assert model.count_params() < 3_000_000


def test_a_row_may_ask_for_so_many_tokens():
    model = language_model(max_new_tokens=10)
    described = model.signatures()["generate"].describe()["inputs"]["max_new_tokens"]
    assert described["limit"] == 48  # four contexts
    with pytest.raises(InputError, match="max_new_tokens must .* at most 48, not 49"):
        model.generate(1, max_new_tokens=49)
    assert language_model().max_new_tokens_limit == 200  # no less than the default
    chosen = language_model(max_new_tokens=10, max_new_tokens_limit=12)
    assert "at most 12 ever" in chosen.signatures()["generate"].about
    with pytest.raises(InputError, match="must be at least max_new_tokens, 10, not 9"):
        language_model(max_new_tokens=10, max_new_tokens_limit=9)
