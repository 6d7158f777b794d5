"""Text -> tokens -> the same text, in Python and in the graph."""

import numpy as np
import pytest
import tensorflow as tf
import yaml

from kerasgen import tokenizers
from kerasgen.codec import Codec
from kerasgen.errors import InputError
from kerasgen.tokenizers import Words

TEXTS = ["To be, or not to be", "", "Grüße aus Köln!\n", "日本"]
CORPUS = TEXTS + [f"line {i} of a corpus of words, words and words" for i in range(300)]


@pytest.fixture(scope="module", params=["characters", "bytes", "sentencepiece"])
def tokenizer(request):
    spec = {"name": request.param}
    if request.param == "sentencepiece":
        spec["size"] = 400
    return tokenizers.trained(spec, CORPUS)


def test_texts_come_back(tokenizer):
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert all(1 < i < tokenizer.size for i in ids)
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode([1, *ids, 1, 0, 0]) == text


def test_the_graph_does_the_same(tokenizer):
    ragged = tokenizer.ragged(tf.constant(TEXTS))
    assert ragged.dtype == tf.int32
    assert ragged.to_list() == [list(tokenizer.encode(text)) for text in TEXTS]
    ids = tf.pad(ragged.to_tensor(0), [[0, 0], [1, 2]], constant_values=1)
    back = [text.decode() for text in tokenizer.strings(ids).numpy()]
    assert back == TEXTS


def test_a_tokenizer_is_plain_values(tokenizer):
    again = tokenizers.restored(tokenizer.values())
    assert again.size == tokenizer.size
    assert [again.encode(t) for t in TEXTS] == [tokenizer.encode(t) for t in TEXTS]


def test_unknown_characters_are_named_in_python_and_left_out_in_the_graph():
    known = tokenizers.Characters("abc")
    with pytest.raises(InputError, match="does not know the character 'x': it knows"):
        known.encode("abx")
    assert known.ragged(tf.constant(["axb", "xyz"])).to_list() == [[2, 3], []]


def test_every_text_has_bytes():
    assert tokenizers.Bytes().encode("é") == [0xC3 + 2, 0xA9 + 2]
    pieces = tokenizers.trained({"name": "sentencepiece", "size": 400}, CORPUS)
    assert pieces.decode(pieces.encode("Ω≈ç√")) == "Ω≈ç√"


def test_a_codec_pads_and_refuses_what_is_too_long():
    codec = Codec(tokenizers.Characters("abc"), ends=True, context=4)
    ids = codec.ids(["abc", "", "b"])
    assert ids.tolist() == [[1, 2, 3, 4], [1, 0, 0, 0], [1, 3, 0, 0]]
    assert codec.texts(ids) == ["abc", "", "b"]
    assert Codec.restored(codec.values()).ids(["b"]).tolist() == [[1, 3]]
    with pytest.raises(InputError, match="5 tokens, and the model's context 4"):
        codec.ids(["abca"])
    without = Codec(tokenizers.Characters("abc"), ends=False, context=4)
    assert without.ids([""]).tolist() == [[0]]


def test_words_are_the_same_in_python_and_in_the_graph():
    reviews = [
        "It's <br /><br />GREAT, great fun!",
        "Was it? No... 10/10",
        "Ärger — über “Göttliche” cafés",
        "",
        "nothing known",
    ]
    words = Words.train(reviews[:3], size=20)
    found = words.ragged(tf.constant(reviews)).to_list()
    assert found == [words.encode(text) for text in reviews]
    assert words.shown(reviews[0]) == ["it's", "great", "great", "fun", "!"]
    assert words.decode(found[0]) == "it's great great fun !"
    assert found[4] == [Words.UNKNOWN] * 2 and words.decode(found[4]) == "� �"
    (text,) = words.strings(tf.constant([[0, *found[0], 0]])).numpy()
    assert text.decode() == words.decode(found[0])
    assert words.words[:2] == ["great", "."] or words.words[0] == "."
    again = tokenizers.restored(words.values())
    assert again.encode(reviews[0]) == found[0] and again.size == words.size <= 23


def test_tokens_show_the_parts_of_a_text(tokenizer):
    for text in ("To be, or not", "line 5 of words"):
        assert "".join(tokenizer.shown(text)).replace("▁", " ").strip() == text


def test_a_codec_cuts_or_reads_in_the_graph():
    codec = Codec(tokenizers.Characters("abc"), ends=True, context=4).cutting()
    texts = ["abcabc", "", "b"]
    expected = [[1, 2, 3, 4], [1, 0, 0, 0], [1, 3, 0, 0]]
    assert codec.ids(texts).tolist() == expected
    assert codec.tensor(tf.constant(texts)).numpy().tolist() == expected
    without = Codec(tokenizers.Characters("abc"), ends=False, context=4)
    assert without.tensor(tf.constant(["", ""])).numpy().tolist() == [[0], [0]]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("character", "did you mean characters"),
        ({"name": "sentencepiece", "size": 10}, "above 260, not 10"),
        (
            {"name": "sentencepiece", "size": 261},
            r"at least 2\d\d pieces, not 261: set",
        ),
        ({"name": "sentencepiece", "size": 100_000}, "at most .* not 100000: set"),
        ({"name": "bytes", "size": 3}, "unknown value of the bytes tokenizer"),
    ],
)
def test_what_does_not_fit_is_said(spec, message):
    with pytest.raises(InputError, match=message):
        tokenizers.trained(spec, CORPUS)


def test_the_largest_possible_size_is_offered_and_fits():
    with pytest.raises(InputError) as caught:
        tokenizers.trained({"name": "sentencepiece", "size": 1500}, CORPUS)
    (line,) = str(caught.value).splitlines()
    spec = yaml.safe_load(line.split("model.tokenizer=")[1].strip("'"))
    assert spec["name"] == "sentencepiece" and spec["size"] < 1500
    assert tokenizers.trained(spec, CORPUS).size == spec["size"]
    with pytest.raises(InputError, match="at most"):
        tokenizers.trained(spec | {"size": spec["size"] + 1}, CORPUS)
    with pytest.raises(InputError, match="there are no texts"):
        tokenizers.trained(spec, [""])


def test_training_is_repeatable():
    spec = {"name": "sentencepiece", "size": 400}
    a, b = (tokenizers.trained(spec, CORPUS).values() for _ in range(2))
    assert a == b
    assert np.isfinite(len(a["proto"]))


def test_the_graph_reads_any_bytes(tokenizer):
    texts = [b"\xff\xfe", b"", b"be\x80\xc3", "日\0".encode()]
    rows = tokenizer.ragged(tf.constant(texts)).to_list()
    assert len(rows) == 4 and rows[1] == []
    assert all(1 < i < tokenizer.size for row in rows for i in row)
    assert tokenizer.decode(rows[2]).startswith("be")
    assert tokenizer.ragged(tf.constant([], tf.string)).to_list() == []


def test_a_codec_keeps_the_beginning_or_the_end():
    codec = Codec(tokenizers.Characters("abc"), ends=True, context=4)
    texts = tf.constant(["abcabc", "xyz", "", "ab"])
    expected = [[1, 2, 3, 4], [1, 0, 0, 0], [1, 0, 0, 0], [1, 2, 3, 0]]
    assert codec.tensor(texts).numpy().tolist() == expected
    expected[0] = [4, 2, 3, 4]
    assert codec.tensor(texts, keep_last=True).numpy().tolist() == expected


def test_what_servers_are_asked_begins_with_what_stands_for_nothing():
    codec = Codec(tokenizers.Characters("abc"), ends=False, context=2)
    assert codec.typical(["abc", "b"]).tolist() == [[0, 2, 3], [0, 3, 0]]
    started = Codec(tokenizers.Characters("abc"), ends=True, context=3)
    assert started.typical(["abc", "b"]).tolist() == [[1, 2, 3], [1, 3, 0]]
    assert started.samples(["ab c", "  c\nb  ", "a"]) == ["ab c", "c b"]
    assert started.samples(np.int32([[1, 2, 3], [1, 4, 0]])) == ["ab", "c"]
