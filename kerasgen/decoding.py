"""Decoding: from scores of the next token to sequences, inside the graph.

What is decoded gives two functions:

- `start(token_ids, lengths, places)` -> logits `(batch, vocabulary)` of what follows
  each row, and a state with room for `places` positions;
- `step(token_ids, positions, state)` -> logits after one more token a row, and state.

Every row is decoded as if it were alone: its noise is a function of its seed and of how
many tokens it has got.
"""

from collections.abc import Callable

from keras import ops

from kerasgen import random

LOWEST = -1e9  # the logit of what can't be chosen


def sample(
    start: Callable,
    step: Callable,
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
):
    """Continue every row, token by token, until all rows are done.

    Args:
        start, step: see above.
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
    Returns:
        int32 `(batch, T + largest max_new_tokens)`: each row, what follows it, and 0.
    """
    lengths = ops.sum(ops.cast(token_ids != 0, "int32"), axis=1)
    steps = ops.max(max_new_tokens)
    width = ops.shape(token_ids)[1] + steps
    logits, state = start(token_ids, lengths, width)
    output = ops.pad(token_ids, [[0, 0], [0, steps]])
    vocabulary = logits.shape[-1]
    banned = [LOWEST * (i in forbidden) for i in range(vocabulary)]
    penalize = repetition_penalty != 1.0
    had = ops.max(ops.one_hot(token_ids, vocabulary), axis=1) if penalize else ()
    done = lengths + max_new_tokens <= lengths

    def body(t, output, done, logits, had, state):
        scores = logits + ops.convert_to_tensor(banned, "float32")
        if penalize:
            factor = ops.where(scores > 0, 1.0 / repetition_penalty, repetition_penalty)
            scores = ops.where(had > 0, scores * factor, scores)
        token = choose(scores, seed, t, temperature, top_k, top_p)
        token = ops.where(done, 0, token)
        place = ops.arange(width)[None] == (lengths + t)[:, None]
        output = ops.where(place, token[:, None], output)
        finished = t + 1 >= max_new_tokens
        if stop is not None:
            finished = ops.logical_or(finished, token == stop)
        if limit is not None:
            finished = ops.logical_or(finished, lengths + t + 1 >= limit)
        if penalize:
            had = ops.maximum(had, ops.one_hot(token, vocabulary))
        done = ops.logical_or(done, finished)
        logits, state = step(token, lengths + t, state)
        return t + 1, output, done, logits, had, state

    def unfinished(t, output, done, *_):
        return ops.logical_and(t < steps, ops.logical_not(ops.all(done)))

    first = (ops.zeros_like(steps), output, done, logits, had, state)
    return ops.while_loop(unfinished, body, first)[1]


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
