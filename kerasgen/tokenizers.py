"""Tokenizers: text <-> token ids, in Python and in the graph.

Token 0 is padding; token 1 begins and ends a text. A tokenizer is a few plain values
(`values()`), so it travels in a model's configuration and beside its exported files.
"""

import base64
import dataclasses
import functools
import io
from collections.abc import Iterable, Sequence

import numpy as np

from kerasgen.choices import choose
from kerasgen.errors import InputError, require

PAD, END = 0, 1


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

    def values(self) -> dict:
        """Plain values, `name` among them, that `restored` takes."""
        raise NotImplementedError


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

        lengths = tf.strings.length(texts)
        longest = tf.maximum(tf.reduce_max(lengths), 1)
        codes = tf.io.decode_raw(texts, tf.uint8, fixed_length=longest)
        return tf.RaggedTensor.from_tensor(tf.cast(codes, tf.int32) + 2, lengths)

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
        import sentencepiece

        self.proto = base64.b64decode(proto)
        self._model = sentencepiece.SentencePieceProcessor(model_proto=self.proto)
        self.size = self._model.vocab_size()

    @classmethod
    def train(cls, texts, size: int = 4096) -> "SentencePiece":
        """`size` pieces, learned from the texts."""
        import sentencepiece

        require(size > 300, "tokenizer size", "above 300", size)
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
            line = " ".join(str(error).split())[-200:]
            raise InputError(f"no tokenizer of {size} pieces: {line}") from error
        return cls(base64.b64encode(written.getvalue()).decode())

    def encode(self, text):
        return self._model.encode(text)

    def decode(self, ids):
        return self._model.decode([int(i) for i in ids if i > END])

    @functools.cached_property
    def _layer(self):
        import keras_nlp

        return keras_nlp.tokenizers.SentencePieceTokenizer(proto=self.proto)

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


KINDS = {kind.name: kind for kind in (Characters, Bytes, SentencePiece)}


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


@dataclasses.dataclass(frozen=True)
class Codec:
    """Prompts -> the `token_ids` of a signature, and its `output_ids` -> texts.

    Beside exported files it is `tokenizer.json`, for clients that have no strings.

    Args:
        tokenizer: whose tokens.
        ends: whether a prompt begins with token 1.
        context: the largest number of tokens of a prompt.
    """

    tokenizer: Tokenizer
    ends: bool
    context: int

    def ids(self, prompts: Sequence[str]) -> np.ndarray:
        """int32 `(n, T)`, right-padded with 0.

        Raises:
            InputError: for one that is too long, or can't be written in tokens.
        """
        start = [END] if self.ends else []
        rows = [start + list(self.tokenizer.encode(text)) for text in prompts]
        longest = max(map(len, rows), default=0)
        if longest > self.context:
            raise InputError(
                f"a prompt has {longest} tokens, and the model's context "
                f"{self.context}: shorten it"
            )
        return padded(rows)

    def texts(self, ids: np.ndarray) -> list[str]:
        """A text a row."""
        return [self.tokenizer.decode(row) for row in np.asarray(ids).tolist()]

    def values(self) -> dict:
        """As plain values, that `Codec.restored` takes."""
        about = {"ends": self.ends, "context": self.context}
        return {"tokenizer": self.tokenizer.values()} | about

    @classmethod
    def restored(cls, values: dict) -> "Codec":
        """The codec of `values()`."""
        return cls(**values | {"tokenizer": restored(values["tokenizer"])})


def padded(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Rows of ids as int32 `(n, longest)`, right-padded; at least one column."""
    ids = np.zeros((len(rows), max([1, *map(len, rows)])), "int32")
    for row, values in zip(ids, rows, strict=True):
        row[: len(values)] = values
    return ids
