"""Scores of the next token, `(rows, vocabulary)`, and what all decoding asks of them.

With a vocabulary of 50,000 a pass over the scores takes a while and a full sort fifty
times as long. So what is sought are the few largest; and in the graph there is no list
of all tokens, and no row of a vocabulary's length for each token of a text.
"""

import numpy as np
from keras import ops

LOWEST = -1e9  # the score of what can't be chosen


def without(scores, forbidden):
    """The scores, of forbidden tokens `LOWEST`.

    Args:
        forbidden: tokens, at least one.
    """
    token = ops.arange(scores.shape[-1])[:, None]
    banned = ops.any(token == np.array(forbidden, "int32"), axis=1)
    return ops.where(banned, LOWEST, scores)


def penalized(scores, token_ids, penalty: float):
    """The scores, of tokens that a row has divided by the penalty where positive, and
    multiplied by it elsewhere (Keskar et al., 2019, section 4.1).

    Args:
        token_ids: int32 `(rows, T)`, each token as often as it may be.
    """
    size = scores.shape[-1]
    flat = ops.reshape(scores, (-1,))
    place = ops.reshape(token_ids + size * _row(token_ids), (-1,))
    found = ops.take(flat, place)
    found *= ops.where(found > 0, 1.0 / penalty, penalty)
    return ops.reshape(ops.scatter_update(flat, place[:, None], found), (-1, size))


def best(scores):
    """int32 `(rows,)`; Keras's own argmax takes bits apart, which ONNX can't."""
    return top(scores, 1)[1][:, 0]


def top(scores, k: int):
    """The k largest of each row, from the largest on, and their tokens, `(rows, k)`."""
    found, token = ops.top_k(scores, k)
    return found, ops.cast(token, "int32")


def pick(x, index):
    """Of each row of x, `(rows, n)`, the values at `index`: int32 `(rows, m)`."""
    return ops.take(ops.reshape(x, (-1,)), index + x.shape[1] * _row(index))


def largest(numbers):
    """The largest of int32 `(batch,)`, at least 0; also of none, as runtimes differ."""
    return ops.max(ops.concatenate([numbers, ops.zeros((1,), "int32")]))


def _row(x):
    """Its number, for each row: int32 `(rows, 1)`."""
    return ops.arange(ops.shape(x)[0])[:, None]
