"""What a client does around a model of texts: prompts to token ids, and back."""

import dataclasses
import os
from collections.abc import Iterable, Sequence

import numpy as np

from kerasgen.errors import InputError, not_utf8
from kerasgen.files import damaged, read_json
from kerasgen.tokenizers import END, PAD, Tokenizer, padded, restored


@dataclasses.dataclass(frozen=True)
class Codec:
    """Prompts -> the `token_ids` of a signature, and its `output_ids` -> texts.

    Beside exported files it is `tokenizer.json`, for clients that have no strings.

    Args:
        tokenizer: whose tokens.
        ends: whether a prompt begins with token 1.
        context: the largest number of tokens of a prompt.
        cut: whether longer ones are cut off there, not refused.
        labels: names of the classes that texts are put into.
    """

    tokenizer: Tokenizer
    ends: bool
    context: int
    cut: bool = False
    labels: Sequence[str] = ()

    @property
    def start(self) -> list[int]:
        """The tokens that every row begins with."""
        return [END] if self.ends else []

    def ids(self, prompts: Sequence[str]) -> np.ndarray:
        """int32 `(n, T)`, right-padded with 0.

        Raises:
            InputError: for one that is too long, can't be written in tokens, or is no
                text.
        """
        texts = strings(prompts)
        rows = [self.start + list(self.tokenizer.encode(text)) for text in texts]
        longest = max(map(len, rows), default=0)
        if self.cut:
            rows = [row[: self.context] for row in rows]
        elif longest > self.context:
            raise InputError(
                f"a prompt has {longest} tokens, and the model's context "
                f"{self.context}: shorten it"
            )
        return padded(rows)

    def cutting(self) -> "Codec":
        """The same, that cuts texts off."""
        return dataclasses.replace(self, cut=True)

    def tensor(self, texts, keep_last: bool = False):
        """In the graph: strings `(batch,)` -> as `ids` does; what is longer is cut off,
        at its end or its beginning, and what has no token left out."""
        import tensorflow as tf

        ids = self.tokenizer.ragged(texts)
        if self.ends:
            start = tf.fill([tf.shape(texts)[0], 1], END)
            ids = tf.concat([start, ids], axis=1)
        kept = slice(-self.context, None) if keep_last else slice(self.context)
        ids = ids[:, kept].to_tensor(PAD)
        return tf.pad(ids, [[0, 0], [0, tf.maximum(1 - tf.shape(ids)[1], 0)]])

    def typical(self, texts: Sequence[str]) -> np.ndarray:
        """As `tensor` reads texts, for a request to TF Serving, which fills rows up
        with the first number of a request: so they begin with 0 or 1."""
        ids = self.tensor(np.array(texts, object))
        return np.pad(np.asarray(ids), [[0, 0], [0 if self.ends else 1, 0]])

    def samples(self, examples=None) -> list[str]:
        """How two of the examples, texts or their ids, begin; or two long pieces."""
        if examples is None:
            return sorted(self.tokenizer.pieces, key=len)[-2:]
        first = examples[:2]
        texts = first if isinstance(first[0], str) else self.texts(first)
        return [" ".join(text.split())[:60] for text in texts]

    def texts(self, ids: np.ndarray) -> list[str]:
        """A text a row."""
        return [self.tokenizer.decode(row) for row in np.asarray(ids).tolist()]

    def values(self) -> dict:
        """As plain values, that `Codec.restored` takes."""
        about = {"tokenizer": self.tokenizer.values(), "labels": [*self.labels]}
        return about | {key: getattr(self, key) for key in ("ends", "context", "cut")}

    @classmethod
    def restored(cls, values: dict) -> "Codec":
        """The codec of `values()`."""
        return cls(**values | {"tokenizer": restored(values["tokenizer"])})

    @classmethod
    def read(cls, path: str | os.PathLike) -> "Codec":
        """The codec of a tokenizer.json.

        Raises:
            InputError: if the file is damaged.
        """
        values = read_json(path)
        try:
            coded = cls.restored(values)
            good = (
                all(type(flag) is bool for flag in (coded.ends, coded.cut))
                and type(coded.context) is int
                and coded.context > 0
                and isinstance(coded.labels, Sequence)
                and all(isinstance(label, str) for label in coded.labels)
            )
        except MemoryError:
            raise
        except Exception as error:  # of what is missing, of each tokenizer
            raise damaged(path, "a tokenizer") from error
        if not good:
            raise damaged(path, "a tokenizer")
        return coded


def strings(texts) -> list[str]:
    """A list of texts, of bytes in UTF-8 too.

    Raises:
        InputError: for one string alone, and for what is no text.
    """
    if isinstance(texts, (str, bytes)):
        raise InputError("one string is no list of texts: give [text]")
    if not isinstance(texts, Iterable):
        raise InputError(f"texts are a list of strings, not {texts!r}")
    return [_string(text) for text in texts]


def _string(text) -> str:
    try:
        if isinstance(text, bytes):
            return text.decode()
        if not isinstance(text, str):
            raise InputError(f"a text is a string, not {text!r}")
        text.encode()
        return text
    except UnicodeError as error:
        raise not_utf8("a text", error) from error


def translations(serve, codec, texts, size: int = 32, progress=None) -> list[str]:
    """Translations of texts by a `translate_ids` signature, those of about one length
    together; of a blank text there is nothing to translate.

    Args:
        serve: computes signatures, `(name, **arrays) -> dict`.
        codec: the model's.
        texts: to be translated.
        size: how many at a time.
        progress: wraps an iterable in a bar: `(iterable, title, total)`.
    """
    texts = strings(texts)
    ids = codec.ids([text if text.strip() else "" for text in texts])
    lengths = (ids != 0).sum(axis=1)
    order = np.argsort(lengths, kind="stable")
    order = [row for row in order if texts[row].strip()]
    starts = range(0, len(order), size)
    found = [""] * len(texts)
    for start in progress(starts, "translating", len(starts)) if progress else starts:
        rows = order[start : start + size]
        part = ids[rows, : max(1, lengths[rows].max())]
        outputs = serve("translate_ids", token_ids=part)["output_ids"]
        for row, text in zip(rows, codec.texts(outputs), strict=True):
            found[row] = text
    return found
