"""Decoding: from scores of the next token to sequences, inside the graph.

What is decoded has the methods of `Decoder`. Keys and values of the past are kept in
two caches: a long one, and one for the tokens of a block of `BLOCK`, which alone
changes from token to token. So a token costs a look at the past, not a copy of it.
Where XLA compiles, shapes are fixed and changes are in place: there one cache does.

Every row is decoded as if it were alone: its noise is a function of its seed and of how
many tokens it has got.
"""

from typing import Protocol

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
    steps, columns = ops.max(max_new_tokens), ops.shape(token_ids)[1]
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
    best = _argmax(logits)
    scaled = logits / ops.maximum(temperature, 1e-6)[:, None]
    some = ops.any(ops.logical_or(top_k > 0, top_p < 1.0))
    likely = ops.cond(some, lambda: limited(scaled, top_k, top_p), lambda: scaled)
    noise = random.gumbel(seed, (logits.shape[-1],), stream)
    drawn = _argmax(likely + noise)  # a sample of softmax(likely)
    return ops.where(temperature > 0, drawn, best)


def limited(logits, top_k, top_p):
    """Logits `(batch, vocabulary)` in which all but the likely ones are `LOWEST`."""
    vocabulary = logits.shape[-1]
    ranked = ops.flip(ops.sort(logits, axis=-1), axis=-1)
    count = ops.where(top_k > 0, ops.minimum(top_k, vocabulary), vocabulary)
    kept = ops.arange(vocabulary)[None] < count[:, None]
    share = ops.softmax(ops.where(kept, ranked, LOWEST))
    before = ops.cumsum(share, axis=-1) - share
    kept = ops.logical_and(kept, before < top_p[:, None])
    least = ops.min(ops.where(kept, ranked, -LOWEST), axis=-1, keepdims=True)
    return ops.where(logits >= least, logits, LOWEST)


def _argmax(x):
    """int32 `(batch,)`; Keras's own takes bits apart, which ONNX can't."""
    return ops.cast(ops.top_k(x, 1)[1][:, 0], "int32")
