"""Beam search; the beams of all rows are in one matrix."""

from collections.abc import Callable

import keras
from keras import ops

from kerasgen.decoding.scores import LOWEST, largest, pick, top, without


def beam_search(
    step: Callable,
    cache,
    limits,
    beams: int,
    start: int,
    stop: int,
    forbidden=(0,),
    length_penalty: float = 1.0,
    room: int | None = None,
):
    """The best sequence of each row that a search among `beams` finds.

    At each step the best `beams` continuations go on, of all beams of a row; those of
    them that end are finished. A row is done at its limit, or when it has `beams`
    finished ones, and none that goes on is better than the worst of them as it stands.
    With one beam this takes the best token each time.

    Args:
        step: (int32 `(batch * beams,)` last tokens, t, cache) -> logits `(batch *
            beams, vocabulary)`, the new cache.
        cache: any nested tensors, whose first axis is that of all beams.
        limits: int32 `(batch,)`, at least 1: the largest number of tokens.
        beams: of a row, at most half as many as there are tokens to choose.
        start, stop: the token before the first, and the last one.
        forbidden: tokens that are never chosen.
        length_penalty: alpha of Wu et al. (2016, eq. 14): log-probabilities are divided
            by ((5 + length) / 6)^alpha.
        room: at least every limit, where shapes must be known.
    Returns:
        int32 `(batch, room or largest limit)`: tokens without the first, `stop`, and 0.
    """
    many = 2 * beams  # candidates, of which half may end
    row = ops.arange(ops.shape(limits)[0])[:, None]
    places = ops.arange(largest(limits) if room is None else room)

    def extended(output, source, token, t):
        """Rows of `output`, each with one more token."""
        return ops.where(places == t, token[:, None], ops.take(output, source, axis=0))

    def body(t, output, last, score, best, finished, done, cache):
        logits, cache = step(last, t, cache)
        logits = without(logits, forbidden)
        # log-softmax, of those that may be candidates only
        found, token = top(logits, many)
        found -= ops.logsumexp(logits, axis=-1, keepdims=True)
        total = ops.reshape(score, (-1, 1)) + found
        shape = (-1, beams * many)
        total, place = ops.top_k(ops.reshape(total, shape), many)
        token = pick(ops.reshape(token, shape), place)
        source = row * beams + place // many  # the row of `output` that it continues

        last_step = t + 1 >= limits
        ends = ops.logical_or(token == stop, last_step[:, None])
        penalty = ((6.0 + ops.cast(t, "float32")) / 6.0) ** length_penalty
        ended = ops.logical_and(ends[:, :beams], ops.logical_not(done)[:, None])
        ended = ops.where(ended, total[:, :beams] / penalty, LOWEST)
        first, which = ops.top_k(ended, 1)
        better = first[:, 0] > finished[:, 0]
        ending = [pick(x, which)[:, 0] for x in (source, token)]
        best = ops.where(better[:, None], extended(output, *ending, t), best)
        finished = ops.top_k(ops.concatenate([finished, ended], axis=1), beams)[0]

        score, going = ops.top_k(ops.where(ends, LOWEST, total), beams)
        source, last = (ops.reshape(pick(x, going), (-1,)) for x in (source, token))
        output = extended(output, source, last, t)
        cache = keras.tree.map_structure(lambda x: ops.take(x, source, axis=0), cache)
        beaten = finished[:, -1] >= score[:, 0] / penalty
        done = ops.logical_or(done, ops.logical_or(last_step, beaten))
        return t + 1, output, last, score, best, finished, done, cache

    none = 0 * row
    only_first = [0.0] + [LOWEST] * (beams - 1)  # all beams begin as the same
    score = ops.cast(none, "float32") + ops.convert_to_tensor(only_first, "float32")
    best = none + 0 * places[None]
    state = (
        ops.zeros((), "int32"),
        ops.repeat(best, beams, axis=0),
        ops.repeat(none[:, 0] + start, beams),
        score,
        best,
        0.0 * score + LOWEST,
        none[:, 0] > 0,
        cache,
    )

    def unfinished(t, output, last, score, best, finished, done, cache):
        return ops.logical_not(ops.all(done))

    return ops.while_loop(unfinished, body, state)[4]
