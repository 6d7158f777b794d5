"""Sampling: one token after the other.

What is decoded has the methods of `Decoder`. Keys and values of the past are kept in
two caches: a long one, and one for the tokens of a block of `BLOCK`, which alone
changes from token to token. So a token costs a look at the past, not a copy of it.
Where XLA compiles, shapes are fixed and changes are in place: there one cache does.
"""

from typing import Protocol

from keras import ops

from kerasgen.decoding.drawing import next_tokens
from kerasgen.decoding.scores import largest, penalized, without

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

    chapter: int | None
    """After so many new tokens, a multiple of BLOCK, the long cache turns to a part of
    its own; None: it has one."""

    def turn(self, past):
        """The long cache, after a chapter."""

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
        forbidden: tokens that are never chosen, 0 among them.
        limit: a row is done at this length.
        repetition_penalty: see `scores.penalized`.
        room: at least every max_new_tokens, where shapes must be known, for XLA.
    Returns:
        int32 `(batch, T + room or largest max_new_tokens)`: each row, what follows it,
        and 0.
    """
    lengths = ops.sum(ops.cast(token_ids != 0, "int32"), axis=1)
    steps, columns = largest(max_new_tokens), ops.shape(token_ids)[1]
    logits, past = decoder.begin(token_ids, lengths)
    output = ops.pad(token_ids, [[0, 0], [0, steps if room is None else room]])

    def token_after(logits, output, t):
        if repetition_penalty != 1.0:
            logits = penalized(logits, output, repetition_penalty)
        scores = without(logits, forbidden)
        return next_tokens(scores, seed, t, temperature, top_k, top_p)

    def unfinished(t, output, done, *_):
        return ops.logical_and(t < steps, ops.logical_not(ops.all(done)))

    def tokens(state, end, advance):
        """Tokens until one is number `end`; `advance` takes a token, t and a cache."""

        def body(t, output, done, logits, cache):
            token = ops.where(done, 0, token_after(logits, output, t))
            place = ops.arange(ops.shape(output)[1])[None] == (lengths + t)[:, None]
            output = ops.where(place, token[:, None], output)
            finished = t + 1 >= max_new_tokens
            if stop is not None:
                finished = ops.logical_or(finished, token == stop)
            if limit is not None:
                finished = ops.logical_or(finished, lengths + t + 1 >= limit)
            done = ops.logical_or(done, finished)
            logits, cache = advance(token, lengths, t, columns, cache)
            return t + 1, output, done, logits, cache

        def within(t, *state):
            return ops.logical_and(t < end, unfinished(t, *state))

        return ops.while_loop(within, body, state)

    def block(t, output, done, logits, past):
        def advance(*arguments):
            *arguments, recent = arguments
            return decoder.advance(*arguments, past, recent)

        state = (t, output, done, logits, decoder.empty(past))
        *state, recent = tokens(state, t + BLOCK, advance)
        return (*state, decoder.absorb(past, recent))

    def chapter(t, output, done, logits, past):
        end = t + decoder.chapter

        def within(t, *state):
            return ops.logical_and(t < end, unfinished(t, *state))

        *state, past = ops.while_loop(within, block, (t, output, done, logits, past))
        return (*state, decoder.turn(past))

    state = (ops.zeros_like(steps), output, max_new_tokens < 1, logits)
    if room is not None:
        state = (*state, decoder.spacious(past, room))
        return tokens(state, steps, decoder.advance_in_place)[1]
    part = block if decoder.chapter is None else chapter
    return ops.while_loop(unfinished, part, (*state, past))[1]
