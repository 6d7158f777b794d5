"""Tokenizers: text <-> token ids, in Python and in the graph.

Token 0 is padding; token 1 begins and ends a text. A tokenizer is a few plain values
(`values()`), so it travels in a model's configuration and beside its exported files.
"""

import base64
import collections
import functools
import io
import re
from collections.abc import Iterable, Sequence

import numpy as np
from keras import ops

from kerasgen.choices import choose
from kerasgen.errors import InputError, require
from kerasgen.extras import need

PAD, END = 0, 1
_FINGERPRINTS = 2**62


class Tokenizer:
    """What tokenizers share.

    A subclass has `name`, `size` (ids are below it), `encode`, `decode`, `ragged`,
    `strings`, and `train`, a class method that makes one for a corpus.
    """

    name: str
    size: int

    def encode(self, text: str) -> list[int]:
        """Token ids of a text.

        Raises:
            InputError: for what can't be written in them.
        """
        raise NotImplementedError

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids; padding and ends have none."""
        raise NotImplementedError

    def ragged(self, texts):
        """In the graph: strings `(batch,)` -> ragged int32; unknown parts are left
        out."""
        raise NotImplementedError

    def strings(self, ids):
        """In the graph: int32 `(batch, T)` -> strings `(batch,)`."""
        raise NotImplementedError

    def resources(self) -> list:
        """What `ragged` and `strings` read beside the graph; SavedModels keep it."""
        return []

    def values(self) -> dict:
        """Plain values, `name` among them, that `restored` takes."""
        raise NotImplementedError

    @functools.cached_property
    def pieces(self) -> list[str]:
        """What each token stands for, to be shown."""
        return ["", "", *(self.decode([i]) for i in range(2, self.size))]

    def shown(self, text: str) -> list[str]:
        """The parts of a text that its tokens stand for."""
        return [self.pieces[i] for i in self.encode(text)]


class Characters(Tokenizer):
    """A token a character, of those that the corpus has."""

    name = "characters"

    def __init__(self, characters: str):
        self.characters = "".join(sorted(set(characters)))
        self.size = 2 + len(self.characters)
        self._ids = {c: i + 2 for i, c in enumerate(self.characters)}

    @classmethod
    def train(cls, texts: Sequence[str]) -> "Characters":
        """All characters of the texts."""
        return cls("".join(set().union(*map(set, texts))))

    def encode(self, text):
        try:
            return [self._ids[c] for c in text]
        except KeyError as error:
            known = self.characters.replace("\n", "⏎")
            raise InputError(
                f"this model does not know the character {error.args[0]!r}: it knows "
                f"{known}"
            ) from error

    def decode(self, ids):
        return "".join(self.characters[i - 2] for i in ids if i > END)

    def ragged(self, texts):
        import tensorflow as tf

        known = tf.constant([ord(c) for c in self.characters])
        codes = tf.strings.unicode_decode(texts, "UTF-8")
        place = tf.searchsorted(known, codes.flat_values)
        place = tf.minimum(place, len(self.characters) - 1)
        is_known = tf.gather(known, place) == codes.flat_values
        ids = codes.with_flat_values(place + 2)
        return tf.ragged.boolean_mask(ids, codes.with_flat_values(is_known))

    def strings(self, ids):
        import tensorflow as tf

        codes = tf.constant([0, 0, *map(ord, self.characters)])
        return tf.strings.unicode_encode(
            tf.ragged.boolean_mask(tf.gather(codes, ids), ids > END), "UTF-8"
        )

    def values(self):
        return {"name": self.name, "characters": self.characters}


class Bytes(Tokenizer):
    """A token a byte of UTF-8: knows every text."""

    name = "bytes"
    size = 2 + 256

    @classmethod
    def train(cls, texts) -> "Bytes":
        """Nothing to learn."""
        return cls()

    def encode(self, text):
        return [byte + 2 for byte in text.encode()]

    def decode(self, ids):
        return bytes(int(i) - 2 for i in ids if i > END).decode(errors="replace")

    def ragged(self, texts):
        import tensorflow as tf

        codes = tf.io.decode_raw(tf.strings.reduce_join(texts), tf.uint8)
        return tf.RaggedTensor.from_row_lengths(
            tf.cast(codes, tf.int32) + 2, tf.strings.length(texts), validate=False
        )

    def strings(self, ids):
        import tensorflow as tf

        table = tf.constant([b"", b"", *(bytes([i]) for i in range(256))])
        return tf.strings.reduce_join(tf.gather(table, ids), axis=1)

    def values(self):
        return {"name": self.name}


class SentencePiece(Tokenizer):
    """Pieces of words, learned by byte-pair encoding (Sennrich et al., 2016), with
    bytes for what no piece has (Kudo & Richardson, 2018)."""

    name = "sentencepiece"

    def __init__(self, proto: str):
        need("text")
        import sentencepiece

        self.proto = base64.b64decode(proto, validate=True)
        require(self.proto != b"", "proto", "a model of SentencePiece", proto)
        self._model = sentencepiece.SentencePieceProcessor(model_proto=self.proto)
        self.size = self._model.vocab_size()

    @classmethod
    def train(cls, texts, size: int = 4096) -> "SentencePiece":
        """`size` pieces, learned from the texts."""
        need("text")
        import sentencepiece

        # 256 bytes and four marks, but for characters.
        require(size > 260, "tokenizer size", "above 260", size)
        written = io.BytesIO()
        lines = (line for text in texts for line in text.split("\n") if line)
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=lines,
                model_writer=written,
                vocab_size=size,
                model_type="bpe",
                byte_fallback=True,
                character_coverage=1.0,
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                user_defined_symbols=["\n"],
                pad_id=PAD,
                bos_id=END,
                eos_id=-1,
                unk_id=2,
                max_sentence_length=1 << 20,
                num_threads=1,  # the same pieces every time
                minloglevel=2,
            )
        except RuntimeError as error:
            raise InputError(_no_pieces(size, str(error))) from error
        return cls(base64.b64encode(written.getvalue()).decode())

    def encode(self, text):
        return self._model.encode(text)

    def decode(self, ids):
        return self._model.decode([int(i) for i in ids if i > END])

    @functools.cached_property
    def pieces(self):
        known = map(self._model.id_to_piece, range(2, self.size))
        return ["", "", *(piece.replace("▁", " ") for piece in known)]

    @functools.cached_property
    def _layer(self):
        import keras_nlp
        import tensorflow as tf

        with tf.init_scope():  # outlives the graph that asks for it first
            return keras_nlp.tokenizers.SentencePieceTokenizer(proto=self.proto)

    def resources(self):
        return [self._layer._sentence_piece]

    def ragged(self, texts):
        import tensorflow as tf

        # A function: outside of graphs the layer gives lists.
        return tf.cast(tf.function(self._layer.tokenize)(texts), tf.int32)

    def strings(self, ids):
        import tensorflow as tf

        kept = tf.ragged.boolean_mask(ids, ids > END)
        return tf.function(self._layer.detokenize)(kept)

    def values(self):
        return {"name": self.name, "proto": base64.b64encode(self.proto).decode()}


def _no_pieces(size: int, error: str) -> str:
    """Why there is no tokenizer of that size, of what SentencePiece says."""
    for pattern, most in ((r"<= (\d+)", "at most"), (r"\d vs (\d+)", "at least")):
        if found := re.search(pattern, error):
            fitting = f"{{name: sentencepiece, size: {found[1]}}}"
            return (
                f"these texts make {most} {found[1]} pieces, not {size}: set "
                f"model.tokenizer='{fitting}'"
            )
    if "sentences_.empty" in error:
        return "there are no texts to make a tokenizer of"
    return f"no tokenizer of {size} pieces: {' '.join(error.split())[-200:]}"


class Words(Tokenizer):
    """A token a word, of those that the corpus has most often, in small letters.

    Words are runs of letters, digits and apostrophes; marks that end sentences are
    words too. All that is between them is lost, and so are tags of HTML.
    """

    name = "words"
    UNKNOWN = 2

    # Letters of ASCII, of other alphabets, and of those after them.
    LETTERS = "a-z0-9'\u00c0-\u1fff\u2c00-\U0010ffff"
    MARKS = ".!?"

    def __init__(self, words: Sequence[str]):
        self.words = list(words)
        self.size = 3 + len(self.words)
        self._ids = {word: i + 3 for i, word in enumerate(self.words)}

    @classmethod
    def train(cls, texts, size: int = 30_000) -> "Words":
        """The `size` most frequent words of the texts."""
        require(size > 0, "tokenizer size", "above 0", size)
        counts = collections.Counter(word for t in texts for word in cls.split(t))
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(ranked[:size])

    @classmethod
    def split(cls, text: str) -> list[str]:
        """The words of a text."""
        small = re.sub("<[^>]*>", " ", text).encode().lower().decode()  # of ASCII
        return re.findall(f"[{cls.LETTERS}]+|[{cls.MARKS}]", small)

    def encode(self, text):
        return [self._ids.get(word, self.UNKNOWN) for word in self.split(text)]

    def decode(self, ids):
        return " ".join(self.pieces[i] for i in ids if i > END)

    @functools.cached_property
    def pieces(self):
        return ["", "", "�", *self.words]

    def shown(self, text):
        return self.split(text)

    def ragged(self, texts):
        import tensorflow as tf

        small = tf.strings.lower(tf.strings.regex_replace(texts, "<[^>]*>", " "))
        apart = tf.strings.regex_replace(small, f"([{self.MARKS}])", r" \1 ")
        other = f"[^{self.LETTERS}{self.MARKS}]+"
        found = tf.strings.split(tf.strings.regex_replace(apart, other, " "))
        # By fingerprints, which need no table beside the graph.
        with tf.init_scope():
            known = tf.strings.to_hash_bucket_fast(self.words, _FINGERPRINTS).numpy()
        order = np.argsort(known)
        known, ids = tf.constant(known[order]), tf.constant(order + 3, tf.int32)
        prints = tf.strings.to_hash_bucket_fast(found.flat_values, _FINGERPRINTS)
        place = tf.minimum(tf.searchsorted(known, prints), len(order) - 1)
        same = tf.gather(known, place) == prints
        return found.with_flat_values(tf.where(same, tf.gather(ids, place), 2))

    def strings(self, ids):
        import tensorflow as tf

        words = tf.gather(tf.constant(self.pieces), ids)
        kept = tf.ragged.boolean_mask(words, ids > END)
        return tf.strings.reduce_join(kept, axis=1, separator=" ")

    def values(self):
        return {"name": self.name, "words": self.words}


KINDS = {kind.name: kind for kind in (Characters, Bytes, SentencePiece, Words)}


def trained(spec, texts: Sequence[str]) -> Tokenizer:
    """The tokenizer that `spec` names, made for a corpus.

    Args:
        spec: a name, or a dict of it and values (`{"name": "sentencepiece", "size":
            4096}`).
        texts: the training texts.
    Raises:
        InputError: for an unknown name or value.
    """
    kinds = {k: functools.partial(kind.train, texts) for k, kind in KINDS.items()}
    return choose("tokenizer", spec, kinds)


def restored(values) -> Tokenizer:
    """The tokenizer of `values()`, or the one that is given.

    Raises:
        InputError: for an unknown name or value.
    """
    if isinstance(values, Tokenizer):
        return values
    return choose("tokenizer", values, KINDS)


def padded(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Rows of ids as int32 `(n, longest)`, right-padded; at least one column."""
    ids = np.zeros((len(rows), max([1, *map(len, rows)])), "int32")
    for row, values in zip(ids, rows, strict=True):
        row[: len(values)] = values
    return ids


def marked(tokenizer: Tokenizer, texts, context: int):
    """In the graph: strings `(batch,)` -> `END`, their tokens, `END`; int32 `(batch,
    context + 1)`, cut off there."""
    ids = tokenizer.ragged(texts).to_tensor(PAD, shape=(None, context))
    lengths = ops.sum(ops.cast(ids != PAD, "int32"), axis=1, keepdims=True)
    ids = ops.pad(ids, [[0, 0], [1, 1]])
    places = ops.arange(context + 2)[None]
    end = ops.logical_or(places == 0, places == lengths + 1)
    return ops.where(end, END, ids)[:, : context + 1]
