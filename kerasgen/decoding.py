"""Decoding: from scores of the next token to sequences, inside the graph.

What is decoded has the methods of `Decoder`. Keys and values of the past are kept in
two caches: a long one, and one for the tokens of a block of `BLOCK`, which alone
changes from token to token. So a token costs a look at the past, not a copy of it.
Where XLA compiles, shapes are fixed and changes are in place: there one cache does.

Every row is decoded as if it were alone: its noise is a function of its seed and of how
many tokens it has got. Beam search keeps the beams of all rows in one matrix.
"""

from collections.abc import Callable
from typing import Protocol

import keras
from keras import ops

from kerasgen import random

LOWEST = -1e9  # the logit of what can't be chosen
BLOCK = 16


class Decoder(Protocol):
    """What `sample` needs of a model; caches are any nested tensors."""

    def begin(self, token_ids, lengths):
        """Prompts `(batch, T)` -> logits `(batch, vocabulary)` of what follows each,
        and the long cache."""

    def empty(self, past):
        """The cache of a block, before its first token."""

    def advance(self, token_ids, lengths, t, columns, past, recent):
        """One more token a row, `(batch,)`, the t-th new one: logits, and `recent` with
        it at place t % BLOCK. `columns` is T, of the prompts."""

    def absorb(self, past, recent):
        """The long cache, with a full block."""

    def spacious(self, past, room: int):
        """The long cache, with room for so many more tokens."""

    def advance_in_place(self, token_ids, lengths, t, columns, cache):
        """As `advance`, with one spacious cache."""


def sample(
    decoder: Decoder,
    token_ids,
    seed,
    temperature,
    top_k,
    top_p,
    max_new_tokens,
    stop: int | None = None,
    forbidden=(0,),
    limit: int | None = None,
    repetition_penalty: float = 1.0,
    room: int | None = None,
):
    """Continue every row, token by token, until all rows are done.

    Args:
        decoder: what is decoded.
        token_ids: int32 `(batch, T)`, T > 0, right-padded with 0; no row is empty.
        seed: int32 `(batch,)`.
        temperature: float32 `(batch,)`, logits are divided by it; 0 takes the best.
        top_k: int32 `(batch,)`, choose among the k best; 0 among all.
        top_p: float32 `(batch,)`, choose among the fewest with that probability
            (Holtzman et al., 2020).
        max_new_tokens: int32 `(batch,)`.
        stop: a row is done after this token.
        forbidden: tokens that are never chosen.
        limit: a row is done at this length.
        repetition_penalty: divides positive logits, and multiplies negative ones, of
            tokens that the row has (Keskar et al., 2019, section 4.1).
        room: at least every max_new_tokens, where shapes must be known, for XLA.
    Returns:
        int32 `(batch, T + room or largest max_new_tokens)`: each row, what follows it,
        and 0.
    """
    lengths = ops.sum(ops.cast(token_ids != 0, "int32"), axis=1)
    steps, columns = largest(max_new_tokens), ops.shape(token_ids)[1]
    logits, past = decoder.begin(token_ids, lengths)
    output = ops.pad(token_ids, [[0, 0], [0, steps if room is None else room]])
    vocabulary = logits.shape[-1]
    banned = [LOWEST * (i in forbidden) for i in range(vocabulary)]
    penalize = repetition_penalty != 1.0
    had = ops.max(ops.one_hot(token_ids, vocabulary), axis=1) if penalize else ()
    done = max_new_tokens < 1

    def token_after(logits, had, t):
        scores = logits + ops.convert_to_tensor(banned, "float32")
        if penalize:
            factor = ops.where(scores > 0, 1.0 / repetition_penalty, repetition_penalty)
            scores = ops.where(had > 0, scores * factor, scores)
        return choose(scores, seed, t, temperature, top_k, top_p)

    def unfinished(t, output, done, *_):
        return ops.logical_and(t < steps, ops.logical_not(ops.all(done)))

    def tokens(state, end, advance):
        """Tokens until one is number `end`; `advance` takes a token, t and a cache."""

        def body(t, output, done, logits, had, cache):
            token = ops.where(done, 0, token_after(logits, had, t))
            place = ops.arange(ops.shape(output)[1])[None] == (lengths + t)[:, None]
            output = ops.where(place, token[:, None], output)
            finished = t + 1 >= max_new_tokens
            if stop is not None:
                finished = ops.logical_or(finished, token == stop)
            if limit is not None:
                finished = ops.logical_or(finished, lengths + t + 1 >= limit)
            if penalize:
                had = ops.maximum(had, ops.one_hot(token, vocabulary))
            done = ops.logical_or(done, finished)
            logits, cache = advance(token, lengths, t, columns, cache)
            return t + 1, output, done, logits, had, cache

        def within(t, *state):
            return ops.logical_and(t < end, unfinished(t, *state))

        return ops.while_loop(within, body, state)

    def block(t, output, done, logits, had, past):
        def advance(*arguments):
            *arguments, recent = arguments
            return decoder.advance(*arguments, past, recent)

        state = (t, output, done, logits, had, decoder.empty(past))
        *state, recent = tokens(state, t + BLOCK, advance)
        return (*state, decoder.absorb(past, recent))

    state = (ops.zeros_like(steps), output, done, logits, had)
    if room is not None:
        state = (*state, decoder.spacious(past, room))
        return tokens(state, steps, decoder.advance_in_place)[1]
    return ops.while_loop(unfinished, block, (*state, past))[1]


def choose(logits, seed, stream, temperature, top_k, top_p):
    """A token a row, int32 `(batch,)`; see `sample`."""
    draws = temperature > 0
    some = ops.logical_and(draws, ops.logical_or(top_k > 0, top_p < 1.0))
    scaled = logits / ops.maximum(temperature, 1e-6)[:, None]
    likely = ops.cond(
        ops.any(some), lambda: limited(scaled, top_k, top_p), lambda: scaled
    )

    # What one branch alone needs, TensorFlow moves into it; tf2onnx fails on that.
    noise = ops.cond(
        ops.any(draws),
        lambda: random.gumbel(seed, (logits.shape[-1],), stream),
        lambda: ops.zeros_like(logits),
    )
    # The largest of likely + noise is a sample of softmax(likely).
    return _argmax(ops.where(draws[:, None], likely + noise, logits))


def limited(logits, top_k, top_p):
    """Logits `(batch, vocabulary)` in which all but the likely ones are `LOWEST`."""
    vocabulary = logits.shape[-1]
    ranked = ops.flip(ops.sort(logits, axis=-1), axis=-1)
    count = ops.where(top_k > 0, ops.minimum(top_k, vocabulary), vocabulary)
    kept = ops.arange(vocabulary)[None] < count[:, None]
    share = ops.softmax(ops.where(kept, ranked, LOWEST))
    before = ops.cumsum(share, axis=-1) - share
    # Rounded, `before` may be 1 although something follows.
    enough = ops.logical_or(before < top_p[:, None], top_p[:, None] >= 1.0)
    kept = ops.logical_and(kept, enough)
    least = ops.min(ops.where(kept, ranked, -LOWEST), axis=-1, keepdims=True)
    return ops.where(logits >= least, logits, LOWEST)


def largest(numbers):
    """The largest of int32 `(batch,)`, at least 0; also of none, as runtimes differ."""
    return ops.max(ops.concatenate([numbers, ops.zeros((1,), "int32")]))


def _argmax(x):
    """int32 `(batch,)`; Keras's own takes bits apart, which ONNX can't."""
    return ops.cast(ops.top_k(x, 1)[1][:, 0], "int32")


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

    def pick(x, index):
        """Numbers of each row `(batch, n)`, by `(batch, m)`."""
        return ops.take(ops.reshape(x, (-1,)), index + row * x.shape[1])

    def extended(output, source, token, t):
        """Rows of `output`, each with one more token."""
        return ops.where(places == t, token[:, None], ops.take(output, source, axis=0))

    def body(t, output, last, score, best, finished, done, cache):
        logits, cache = step(last, t, cache)
        banned = [LOWEST * (i in forbidden) for i in range(logits.shape[-1])]
        logits += ops.convert_to_tensor(banned, "float32")
        # log-softmax, of those that may be candidates only
        found, token = ops.top_k(logits, many)
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
