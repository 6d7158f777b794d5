"""What clients send: nonsense, nothing, too much, and rows of several lengths at once.

Every signature that is served answers a bad row with something, and the rows beside it
as if it weren't there.
"""

import functools
import random

import numpy as np
import onnxruntime
import pytest

import kerasgen
from kerasgen.export import onnx
from kerasgen.random import row_seeds
from kerasgen.signature import by_tensorflow
from kerasgen.tokenizers import Bytes, Characters, SentencePiece, Words

DENSE = {"name": "dense", "widths": [8]}
CONVOLUTIONAL = {"name": "convolutional", "widths": [8]}
TRANSFORMER = {"name": "transformer", "width": 8, "depth": 1, "heads": 2}
LEARNED = TRANSFORMER | {"style": "gpt2"}
IMAGES = {"image_shape": (8, 8, 1)}
LETTERS = Characters("abcdefgh\n")
FEW = {"sampling_steps": 2, "restoration_steps": 2, "resampling": 1}
WORDS = Words([f"word{i}" for i in range(20)])


def language_model(**values):
    options = {"tokenizer": LETTERS, "context": 12, "network": TRANSFORMER}
    options |= {"max_new_tokens": 6, "max_new_tokens_limit": 20}
    return kerasgen.LanguageModel(**options | values)


def pieces():
    return SentencePiece.train([f"line {i} of words" for i in range(300)], size=320)


MODELS = {
    "autoencoder": lambda: kerasgen.Autoencoder(**IMAGES, latent_dim=2),
    "vae": lambda: kerasgen.VAE(
        **IMAGES, latent_dim=2, encoder=DENSE, decoder=DENSE, classes=3
    ),
    "gan": lambda: kerasgen.GAN(
        **IMAGES, latent_dim=4, generator=DENSE, discriminator=DENSE, classes=3
    ),
    "ddpm": lambda: kerasgen.DDPM(**IMAGES, network=CONVOLUTIONAL, classes=3, **FEW),
    "language_model": language_model,
    "opening": lambda: language_model(opening="\n", network=LEARNED),
    "bytes": lambda: language_model(tokenizer=Bytes(), repetition_penalty=1.5),
    "translator": lambda: kerasgen.Translator(LETTERS, 12, TRANSFORMER, beam=2),
    "classifier": lambda: kerasgen.TextClassifier(
        WORDS, 12, ["a", "b"], {"name": "transformer", "width": 8, "ngrams": 2}
    ),
    "image_classifier": lambda: kerasgen.ImageClassifier(
        **IMAGES, classes=3, feature_dim=4, network=CONVOLUTIONAL
    ),
    "pieces": lambda: language_model(tokenizer=pieces()),
}


def cached(function):
    """Kept, but for what has resources of TensorFlow's: a new random seed, in any test
    that runs between, clears them."""
    kept = functools.cache(function)
    return lambda name, *more: (function if name == "pieces" else kept)(name, *more)


@cached
def model(name):
    random.seed(0)  # of Keras's initializers; set_random_seed would clear resources
    made = MODELS[name]()
    for weight in made.trainable_variables:  # answers that differ
        weight.assign(weight * 3.0 + 0.01)
    return made


@cached
def served(name, signature):
    """As a server computes it: the graph alone, without what Python checks before."""
    found = model(name).signatures()[signature]
    graph = by_tensorflow(found.positional(), found.specs())

    return found, lambda inputs: {
        key: value.numpy()
        for key, value in graph(*(inputs[name] for name in found.inputs)).items()
    }


def signatures(name):
    """Those that TF Serving serves: (key, signature, function of arrays)."""
    for key, signature in model(name).signatures().items():
        if signature.serves("savedmodel"):
            yield key, *served(name, key)


every_model = pytest.mark.parametrize("name", [*MODELS])

BAD = {
    "float32": (np.nan, -np.inf, np.inf, -3.0, 1e30),
    "int32": (-(2**31), -5, 10**9, 2**31 - 1),
    "string": (b"", b"\xff\xfe\x80", b"\0?~", b"abc word1 " * 300),
}


def same(alone, beside):
    """Rows of texts or numbers, but for padding that neighbours cause."""
    if alone.dtype.kind == "f":
        shape = np.minimum(alone.shape, beside.shape)
        parts = (a[tuple(map(slice, shape))] for a in (alone, beside))
        return np.allclose(*parts, atol=1e-5)  # where they are longer, of longer sums
    if alone.ndim == 1:
        return np.array_equal(alone, beside)
    alone, beside = alone.tolist(), beside.tolist()
    return all(
        [x for x in a if x] == [x for x in b if x]
        for a, b in zip(alone, beside, strict=True)
    )


@every_model
def test_a_bad_row_harms_no_other(name):
    for key, signature, call in signatures(name):
        good = signature.example(3, seed=1, length=8)
        exact = "string" not in str(signature.describe())
        expected = call(good)
        for which in range(5):
            bad = {}
            for entry, array in good.items():
                values = BAD[signature.inputs[entry].dtype]
                text = array.dtype.kind == "S"
                bad[entry] = array.astype(object) if text else array.copy()
                bad[entry][1] = values[which % len(values)]
            for output, value in call(bad).items():
                others, value = expected[output][[0, 2]], value[[0, 2]]
                equal = exact and others.shape == value.shape
                compare = np.array_equal if equal else same
                assert compare(others, value), (key, which, output)


@every_model
def test_no_rows_are_answered_by_no_rows(name):
    for key, signature, call in signatures(name):
        inputs = {k: v[:0] for k, v in signature.example(1, length=8).items()}
        for value in call(inputs).values():
            assert len(value) == 0, key


@every_model
def test_what_is_out_of_range_is_taken_for_what_the_card_says(name):
    """The same answers as to the values in range that it stands for."""
    for key, signature, call in signatures(name):
        good = signature.example(2, seed=1, length=8)
        for key_, wrong, right in [
            (key_, wrong, right if entry.outside is None else entry.outside)
            for key_, entry in signature.inputs.items()
            for wrong, right in (
                *([(-(2**31), entry.low)] if entry.low is not None else []),
                *([(2**31 - 1, entry.limit)] if entry.limit is not None else []),
                *([(np.nan, entry.low)] if entry.dtype == "float32" else []),
            )
            if right is not None
        ]:
            given, instead = (
                good | {key_: np.full_like(good[key_], value)}
                for value in (wrong, right)
            )
            expected = call(instead)
            for output, value in call(given).items():
                assert np.array_equal(value, expected[output]), (key, key_, wrong)


@pytest.mark.parametrize("name", ["language_model", "opening", "bytes", "pieces"])
def test_work_is_bounded_by_the_model(name):
    """A client that asks for a billion tokens gets 20; and of a long prompt the last 12
    tokens are read: never is a matrix of prompt × prompt made."""
    options = {
        "seed": row_seeds(0, 4).astype("int32"),
        "temperature": np.ones(4, "float32"),
        "top_k": np.zeros(4, "int32"),
        "top_p": np.ones(4, "float32"),
        "max_new_tokens": np.int32([3, 1_000_000_000, 3, 2]),
    }
    text = "abcdefgh" * 12_500
    texts = np.array(["ab", "cd", text, ""], object)
    _, generate = served(name, "generate")
    _, complete = served(name, "complete")
    codec = model(name).codec.cutting()
    rows = [[1] * codec.ends + codec.tokenizer.encode(t) for t in texts]
    width = max(map(len, rows))
    ids = np.array([row + [0] * (width - len(row)) for row in rows], "int32")
    found = generate({"token_ids": ids} | options)["output_ids"]
    assert found.shape == (4, 12 + 20)
    lengths = (found != 0).sum(axis=1)
    assert 12 < lengths[2] <= 12 + 3 and found[2, :12].tolist() == rows[2][-12:]
    written = complete({"prompt": texts} | options)["text"]
    assert [t.decode(errors="replace") for t in written] == codec.texts(found)
    first = {key: value[:1] for key, value in options.items()}
    alone = generate({"token_ids": ids[:1, :4]} | first)["output_ids"]
    assert codec.texts(alone) == codec.texts(found[:1])


def test_long_sources_are_cut():
    _, call = served("translator", "translate_ids")
    ids = np.tile(np.int32([[1, 2, 3, 4]]), (1, 1000))
    ids[:, 4:][ids[:, 4:] == 1] = 5
    expected = call({"token_ids": ids[:, :12]})["output_ids"]
    assert np.array_equal(call({"token_ids": ids})["output_ids"], expected)
    _, call = served("classifier", "classify_ids")
    found = call({"token_ids": ids + 3})
    assert found["attention"].shape == (1, 13)  # with a mark at the beginning
    expected = call({"token_ids": ids[:, :13] + 3})
    assert np.array_equal(found["probabilities"], expected["probabilities"])


# TensorFlow Serving's batches: tensorflow_serving/batching/batching_util.cc.


def batched(requests):
    """One batch of the requests, as with `pad_variable_length_inputs: true`: each input
    is filled up to the longest with *its request's first number*, and concatenated."""
    batch = {}
    for key in requests[0]:
        arrays = [request[key] for request in requests]
        longest = np.max([array.shape[1:] for array in arrays], axis=0)
        filled = []
        for array in arrays:
            assert array.size  # or TF Serving refuses the batch
            more = [(0, n) for n in longest - array.shape[1:]]
            value = array.flat[0]
            filled.append(np.pad(array, [(0, 0), *more], constant_values=value))
        batch[key] = np.concatenate(filled)
    return batch


# The signatures whose inputs have a length.
VARIABLE = [
    *(("language_model", "generate"), ("language_model", "logits")),
    *(("opening", "generate"), ("opening", "logits"), ("bytes", "generate")),
    *(("translator", "translate_ids"), ("classifier", "classify_ids")),
]


@every_model
def test_those_whose_inputs_have_a_length_are_known(name):
    for key, signature, _ in signatures(name):
        shapes = [entry.shape for entry in signature.inputs.values()]
        if name not in ("bytes", "pieces"):
            assert ((None,) in shapes) == ((name, key) in VARIABLE)


@pytest.mark.parametrize(("name", "key"), VARIABLE)
def test_requests_of_different_lengths_share_a_batch(name, key):
    signature, call = served(name, key)
    starts = getattr(model(name), "has_ends", name == "translator")
    rng, requests = np.random.default_rng(0), []
    for n, length in ((1, 3), (2, 7), (1, 1), (3, 12), (1, 2)):
        request = signature.example(n, seed=length, length=length)
        ids = rng.integers(2, 10, (n, length), dtype="int32")
        ids[1:, length // 2 + 1 :] = 0  # what the client filled up itself
        ids[:, 0] = 1 if starts else 0  # as cards say: then TF Serving's is padding
        requests.append(request | {"token_ids": ids})
    together, first = call(batched(requests)), 0
    for request in requests:
        n, length = request["token_ids"].shape
        alone = call(request)
        for output, value in alone.items():
            rows = together[output][first : first + n]
            if output == "logits":
                assert np.allclose(rows[:, :length], value, atol=1e-5)
            elif value.dtype.kind == "f":
                assert np.allclose(rows[:, : value.shape[1]], value, atol=1e-6)
                assert not rows[:, value.shape[1] :].any()
            else:
                assert same(value, rows), output
        first += n


def test_padding_before_and_after_tokens_is_none():
    rows = np.int32(
        [[1, 2, 3, 0, 0], [0, 0, 1, 2, 3], [1, 2, 3, 1, 1], [1, 0, 2, 0, 3]]
    )
    _, call = served("translator", "translate_ids")
    found = call({"token_ids": rows})["output_ids"]
    assert (found == found[0]).all() and found[0].any()
    _, call = served("classifier", "classify_ids")
    found = call({"token_ids": np.where(rows > 1, rows + 3, rows)})
    attention = found["attention"]
    assert ((attention > 0) == (rows > 1)).all()  # of each where it stands
    assert np.allclose(found["probabilities"][:3], found["probabilities"][0], atol=1e-6)


@pytest.mark.parametrize("name", ["language_model", "translator", "classifier"])
def test_empty_ids_are_an_empty_text(name):
    key = {"language_model": "generate", "translator": "translate_ids"}
    signature, call = served(name, key.get(name, "classify_ids"))
    given = signature.example(2, length=4)
    found, expected = (
        call(given | {"token_ids": ids})
        for ids in (np.zeros((2, 0), "int32"), np.zeros((2, 1), "int32"))
    )
    for output, value in expected.items():
        assert np.array_equal(found[output], value)


# Exported files.


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("gan", "generate"),
        ("ddpm", "denoise"),
        ("language_model", "generate"),
        ("translator", "translate_ids"),
        ("classifier", "classify_ids"),
    ],
)
def test_onnx_answers_bad_rows_alike(name, key):
    signature, call = served(name, key)
    proto = onnx.convert(signature, {})
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    inputs = signature.example(4, seed=1, length=8)
    for name, array in inputs.items():
        array[:-1] = np.array(BAD[array.dtype.name][:3]).reshape(
            -1, *[1] * (array.ndim - 1)
        )
        if signature.inputs[name].low is None and array.dtype == "float32":
            array[:-1] = 0.5
    for rows in (slice(None), slice(0, 0)):
        given = {key: value[rows] for key, value in inputs.items()}
        expected = call(given)
        names = [output.name for output in session.get_outputs()]
        for output, value in zip(names, session.run(names, given), strict=True):
            assert value.shape == expected[output].shape
            np.testing.assert_allclose(
                value, expected[output], atol=signature.tolerance
            )


UNET = {"name": "unet", "widths": [8, 16], "blocks": 1, "attention": [4]}


@pytest.mark.parametrize(
    ("model", "key"),
    [
        (MODELS["vae"], "score"),
        (lambda: kerasgen.DDPM(**IMAGES, network=UNET, **FEW), "predict_noise"),
    ],
    ids=["vae", "unet"],
)
def test_onnx_takes_no_rows(model, key):
    """Where its reshapes, or those that the runtime makes of them, would fail."""
    signature = model().signatures()[key]
    proto = onnx.convert(signature, {})
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    some = signature.example(2)
    none = {name: value[:0] for name, value in some.items()}
    answers = (session.run(None, inputs) for inputs in (some, none))
    for output, two, zero in zip(proto.graph.output, *answers, strict=True):
        batch, *rest = output.type.tensor_type.shape.dim
        assert batch.dim_param == "batch" and len(two) == 2
        assert two.shape[1:] == zero.shape[1:] == tuple(dim.dim_value for dim in rest)
        assert len(zero) == 0
