"""Sources of text, and token ids as examples."""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from kerasgen.data import SPLITS, Split, find_file
from kerasgen.errors import InputError
from kerasgen.files import json_value
from kerasgen.kinds import music
from kerasgen.kinds.text import Text
from kerasgen.tokenizers import END, Tokenizer, padded


@dataclasses.dataclass
class Windows(Split):
    """One long row of tokens, as windows of `length` tokens to predict after one.

    `x` are the windows that begin at 0, `length`, …; in training the cuts move from
    epoch to epoch.

    Args:
        tokens: int32 `(n,)`, n > 1.
        length: tokens to predict in a window.
    """

    x: np.ndarray = dataclasses.field(init=False)
    y: None = dataclasses.field(init=False, default=None)
    tokens: np.ndarray
    length: int

    def __post_init__(self):
        count = -(-(len(self.tokens) - 1) // self.length)
        full = np.zeros(count * self.length + 1, "int32")
        full[: len(self.tokens)] = self.tokens
        view = np.lib.stride_tricks.sliding_window_view(full, self.length + 1)
        self.x = view[:: self.length]

    def reader(self):
        import tensorflow as tf

        tokens, last = tf.constant(self.tokens), len(self.tokens) - self.length - 1
        if last < 0:  # one window, padded
            return super().reader()
        within = tf.range(self.length + 1, dtype=tf.int64)

        def rows(index, random):
            first = tf.minimum(index * self.length + random % self.length, last)
            return (tf.gather(tokens, first[:, None] + within),)

        return rows


@dataclasses.dataclass
class Rows(Split):
    """Token ids, a text a row, right-padded with 0.

    Args:
        x: int32 `(n, length)`.
        y: labels `(n,)`, or the tokens of other texts, `(n, other length)`.
    """

    STEP = 8  # lengths of batches are multiples of it: XLA compiles for each

    def take(self, index):
        return Rows(self.x[index], None if self.y is None else self.y[index])

    def lengths(self):
        sides = [side for side in (self.x, self.y) if side is not None]
        counts = [(side != 0).sum(axis=1) for side in sides if side.ndim == 2]
        return np.max(counts, axis=0).astype("int32")

    def trimmed(self, rows):
        import tensorflow as tf

        texts = [side for side in rows if side.shape.rank == 2]
        counts = [tf.math.count_nonzero(side, axis=1) for side in texts]
        longest = tf.reduce_max([tf.reduce_max(count) for count in counts])
        longest = tf.maximum(-(-longest // self.STEP), 1) * self.STEP
        return tuple(
            side[:, :longest] if side.shape.rank == 2 else side for side in rows
        )


def load_text(name: str, image_shape=None):
    """A file that is one text."""
    text = read_text(name)
    if not text.strip():
        raise InputError(f"{name} has no text")
    return {"train": _split([text])}, []


def load_lines(name: str, image_shape=None):
    """A file with an example a line."""
    lines = [line for line in read_text(name).split("\n") if line.strip()]
    if not lines:
        raise InputError(f"{name} has no lines of text")
    return {"train": _split(lines)}, []


def load_python_docs():
    """The topics of Python's own help."""
    from pydoc_data.topics import topics

    return {"train": _split([topics[key] for key in sorted(topics)])}, []


def load_python_titles():
    """The sections of Python's own help: text, title."""
    from pydoc_data.topics import topics

    # A title is a line with a line of one sign under it.
    heading = re.compile(r"^(\S.*)\n([*=\-~^\"'])\2{2,}$", re.MULTILINE)
    pairs = {}
    for topic in topics.values():
        found = list(heading.finditer(topic))
        ends = [match.start() for match in found[1:]] + [len(topic)]
        for match, end in zip(found, ends, strict=True):
            section = topic[match.end() : end].strip()
            if section:
                pairs[section] = match.group(1)
    return {"train": Split(texts(list(pairs)), texts(list(pairs.values())))}, []


def from_tfds(column, labels) -> Split:
    """What tensorflow-datasets has under "text"."""
    return _split([text.decode() for text in np.atleast_1d(column)], labels)


def cut(text: str, shares: Sequence[float]) -> list[Split]:
    """One text as successive parts."""
    ends = [round(len(text) * share) for share in np.cumsum(shares)]
    starts = [0, *ends[:-1]]
    return [_split([text[start:end]]) for start, end in zip(starts, ends, strict=True)]


def tokenized(
    split: Split, tokenizer: Tokenizer, context: int, windows: bool, ends: bool
) -> Split:
    """Texts as rows of at most `context` tokens to predict, and one before them.

    Args:
        split: texts.
        tokenizer: whose tokens.
        context: tokens to predict a row.
        windows: one long row of all texts, cut into windows; else a row a text, cut
            off where it is longer.
        ends: each text begins and ends with token 1.
    """
    mark = [END] if ends or not windows else []
    rows = [mark + list(tokenizer.encode(text)) for text in split.x]
    if windows:
        tokens = np.fromiter((i for row in [*rows, mark] for i in row), "int32")
        return Windows(tokens, context)
    return Split(padded([(row + mark)[: context + 1] for row in rows]), split.y)


def texts(values: Sequence[str]) -> np.ndarray:
    """Python strings as an array `(n,)`."""
    x = np.empty(len(values), object)
    x[:] = values
    return x


def _split(values: Sequence[str], labels=None) -> Split:
    return Split(texts(values), labels)


def read_text(name: str) -> str:
    """A file of text by its path, or in the folder of the data."""
    return Text().read(find_file(name))


def load_chorales(name: str, image_shape=None):
    """A JSON file of chorales: split -> pieces, each a list of steps of MIDI notes.

    Pieces to train on come in every key in which all training notes are heard anyway.
    """
    content = json_value(read_text(name), name)
    wrong = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)
    try:
        parts = {SPLITS.get(key, key): part for key, part in content.items()}
        parts["train"] = list(music.in_all_keys(parts["train"]))
        written = {k: [music.text(piece) for piece in p] for k, p in parts.items()}
    except wrong as error:
        raise InputError(
            f"{name} is not a file of chorales: it must hold {{split: [[[note, …], …], "
            "…]}, with a split train"
        ) from error
    return {split: _split(pieces) for split, pieces in written.items()}, []
