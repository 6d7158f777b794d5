"""The adapter of sequence models: a network with caches, as all decoding wants it."""

import functools

from keras import ops

from kerasgen.decoding.sampling import BLOCK
from kerasgen.networks.attention import folded, hiding, joined, updated, written


class Cached:
    """A `kerasgen.decoding.sampling.Decoder`, and what `beam_search` takes.

    Args:
        network: a `kerasgen.networks.transformer.Transformer`, or what has its `read`,
            `step`, `limited` and `embedding.scores`.
        context: a token sees at most so many positions.
        **memory: what else it sees: options of `read` and `step`, as
            `kerasgen.networks.encoder_decoder.EncoderDecoder.encode` gives them.
    """

    def __init__(self, network, context: int, **memory):
        self.network, self.context, self.memory = network, context, memory

    def prefill(self, token_ids):
        """`(batch, T)` -> logits `(batch, T, vocabulary)`, and a cache a block."""
        x, caches = self.network.read(token_ids, **self.memory)
        return self.network.embedding.scores(x), caches

    def step(self, token_ids, positions, caches, mask=None):
        """One more token a row, `(batch,)`: logits, and longer caches; `mask`, `(batch,
        1, 1, S + 1)`, says what of them it sees."""
        options = {"recent": caches, "write": joined, **self.memory}
        return self.network.step(token_ids, positions, mask, **options)

    # Sampling.

    def begin(self, token_ids, lengths):
        x, caches = self.network.read(token_ids, **self.memory)
        last = ops.take_along_axis(x, (lengths - 1)[:, None, None], axis=1)[:, 0]
        return self.network.embedding.scores(last), (0 * ops.sum(lengths), caches)

    def empty(self, past):
        return [tuple(empty(part, BLOCK) for part in cache) for cache in past[1]]

    def absorb(self, past, recent):
        """Rotary positions have no end, but the cache has: the last `context` ones."""
        forgotten, caches = past
        caches = [joined(a, b) for a, b in zip(caches, recent, strict=True)]
        more = ops.maximum(ops.shape(caches[0][0])[2] - self.context, 0)
        caches = [tuple(part[:, :, more:] for part in cache) for cache in caches]
        return forgotten + more, caches

    def advance(self, token_ids, lengths, t, columns, past, recent):
        forgotten, caches = past
        place, places = t % BLOCK, ops.arange(BLOCK)
        before = forgotten + ops.arange(ops.shape(caches[0][0])[2])
        recently = places <= place
        if self.context < BLOCK:
            recently = ops.logical_and(recently, places > place - self.context)
        seen = [
            ops.logical_and(recently, lengths[:, None] > 0),  # of every row
            self._seen(before, lengths, t, columns),
        ]
        seen = hiding(ops.concatenate(seen, axis=1))[:, None, None]
        here = ops.cast(places == place, recent[0][0].dtype)[:, None]
        options = {"recent": recent, "write": functools.partial(written, here=here)}
        options |= {"past": caches, **self.memory}
        return self.network.step(token_ids, lengths + t, seen, **options)

    def spacious(self, past, room):
        pad = [[0, 0], [0, 0], [0, room], [0, 0]]
        return [tuple(folded(ops.pad(x, pad)) for x in cache) for cache in past[1]]

    def advance_in_place(self, token_ids, lengths, t, columns, cache):
        column = ops.arange(ops.shape(cache[0][0])[1])
        seen = self._seen(column, lengths, t, columns)
        seen = hiding(ops.logical_and(seen, column <= columns + t))[:, None, None]
        write = functools.partial(updated, place=columns + t)
        options = {"recent": cache, "write": write, **self.memory}
        return self.network.step(token_ids, lengths + t, seen, **options)

    def _seen(self, column, lengths, t, columns):
        """What of a long cache the t-th new token may look at: no padding, and of what
        it has the last `context` positions.

        A row's prompt is in the first columns, with padding after it; what is new is in
        those from `columns` on.
        """
        lengths = lengths[:, None]
        seen = ops.logical_or(column < lengths, column >= columns)
        if self.network.limited:  # rows are done at the context
            return seen
        position = ops.where(column < columns, column, lengths + column - columns)
        return ops.logical_and(seen, position > lengths + t - self.context)

    # Beam search, of a network with a memory.

    def beams(self, beams: int, room: int | None = None) -> tuple:
        """What `beam_search` takes: a step, and the caches before it.

        Args:
            beams: rows for each of the memory.
            room: the largest number of tokens, where shapes must be known.
        """
        like = self.memory["memory"]
        rows = ops.repeat(ops.arange(ops.shape(like[0][0])[0]), beams)

        def step(token_ids, t, caches):
            options = {"recent": caches, "beams": beams, **self.memory}
            mask = None
            if room is None:
                options["write"] = joined
            else:
                options["write"] = functools.partial(updated, place=t)
                mask = ops.arange(room)[None, None, None] <= t
            return self.network.step(token_ids, ops.reshape(t, (1,)), mask, **options)

        def start(part):
            return ops.take(empty(part, room), rows, axis=0)

        return step, [tuple(map(start, cache)) for cache in like]


def empty(like, places: int | None = None):
    """As a part of a cache, `(batch, heads, S, d)`, with so many zeros; or, for None,
    with nothing yet, of a size that may grow."""
    if places is None:
        return like[:, :, : 0 * ops.shape(like)[2]]
    return ops.repeat(ops.zeros_like(like[:, :, :1]), places, axis=2)
