"""Examples of a split as what a model takes: texts as rows of tokens."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from kerasgen.data.splits import Split
from kerasgen.tokenizers import END, padded


def examples(model, split: Split, windows: bool = True) -> Split:
    """A split as what `fit` of a model takes.

    Args:
        model: of images, or of texts: with a `codec`, and `writes`, the side of a pair
            that it learns to write, if any.
        split: images or texts, and what goes with them.
        windows: for a model that learns to write x: all texts as one long row, cut into
            windows; else a row a text, cut off at the context.
    """
    if not hasattr(model, "codec"):
        labelled = getattr(model, "classes", True)  # one's own model sees to it itself
        return split if labelled else split.unlabelled()
    codec = model.codec
    if model.writes != "x":
        y = _written(codec, split.y) if model.writes == "y" else split.y
        return Rows(codec.cutting().ids(split.x), y)
    if not windows:
        return Split(_written(codec, split.x), split.y)
    mark = [END] if codec.ends else []
    rows = [mark + list(codec.tokenizer.encode(text)) for text in split.x]
    tokens = np.fromiter((i for row in [*rows, mark] for i in row), "int32")
    return Windows(tokens, codec.context)


def _written(codec, texts: Sequence[str]) -> np.ndarray:
    """Texts as tokens to predict, at most `context`, after one before them."""
    rows = ([END, *codec.tokenizer.encode(text), END] for text in texts)
    return padded([row[: codec.context + 1] for row in rows])


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
