"""The adapter of sequence models: a network with caches, as all decoding wants it."""

import functools

from keras import ops

from kerasgen.decoding.sampling import BLOCK
from kerasgen.networks.attention import folded, hiding, joined, updated, written

# Of longer contexts new tokens have several caches, of an eighth of the context. One
# that grew on would be copied as a whole for every block, and TensorFlow's allocator
# has no use for the holes that it leaves.
SHORT = 512


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

    @property
    def chapter(self):
        """See `sampling.Decoder`."""
        if self.context <= SHORT:
            return None
        return -(-self.context // 8 // BLOCK) * BLOCK

    def begin(self, token_ids, lengths):
        x, prompts = self.network.read(token_ids, **self.memory)
        last = ops.take_along_axis(x, (lengths - 1)[:, None, None], axis=1)[:, 0]
        chapters = 1  # that may be looked at, the one that is written last
        if self.chapter is not None:
            chapters = -(-self.context // self.chapter) + (not self.network.limited)
        new = [list(map(empty, prompts)) for _ in range(chapters)]
        first = 0 * ops.sum(lengths)  # of the last chapter's tokens
        return self.network.embedding.scores(last), (first, prompts, new)

    def empty(self, past):
        return [empty(cache, BLOCK) for cache in past[1]]

    def absorb(self, past, recent):
        """Rotary positions have no end, but the cache has: the last `context` ones."""
        first, prompts, (*old, new) = past
        new = [joined(a, b) for a, b in zip(new, recent, strict=True)]
        more = ops.maximum(_length(new) - self.context, 0)
        new = [tuple(part[:, :, more:] for part in cache) for cache in new]
        return first + more, prompts, [*old, new]

    def turn(self, past):
        first, prompts, new = past
        following = list(map(empty, new[-1]))
        return first + _length(new[-1]), prompts, [*new[1:], following]

    def advance(self, token_ids, lengths, t, columns, past, recent):
        first, prompts, new = past
        place, places = t % BLOCK, ops.arange(BLOCK)
        end = first + _length(new[-1])
        before = sum(map(_length, new))
        number = ops.concatenate([t - place + places, ops.arange(end - before, end)])
        number = ops.broadcast_to(number, (ops.shape(lengths)[0], ops.shape(number)[0]))
        prompt = ops.arange(ops.shape(prompts[0][0])[2])
        seen = [self._new(number, t), self._prompt(prompt, lengths, t)]
        seen = hiding(ops.concatenate(seen, axis=1))[:, None, None]
        here = ops.cast(places == place, recent[0][0].dtype)[:, None]
        options = {"recent": recent, "write": functools.partial(written, here=here)}
        options |= {"past": [*new, prompts], **self.memory}
        return self.network.step(token_ids, lengths + t, seen, **options)

    def spacious(self, past, room):
        pad = [[0, 0], [0, 0], [0, room], [0, 0]]
        return [tuple(folded(ops.pad(x, pad)) for x in cache) for cache in past[1]]

    def advance_in_place(self, token_ids, lengths, t, columns, cache):
        column = ops.arange(ops.shape(cache[0][0])[1])
        prompt = self._prompt(column, lengths, t)
        seen = ops.where(column < columns, prompt, self._new(column - columns, t))
        write = functools.partial(updated, place=columns + t)
        options = {"recent": cache, "write": write, **self.memory}
        seen = hiding(seen)[:, None, None]
        return self.network.step(token_ids, lengths + t, seen, **options)

    # What the t-th new token may look at: the last `context` positions.

    def _prompt(self, column, lengths, t):
        """Of prompts, `(batch, columns)`: no padding."""
        lengths = lengths[:, None]
        recent = column > lengths + t - self.context
        return ops.logical_and(column < lengths, recent)

    def _new(self, number, t):
        """Of new tokens."""
        return ops.logical_and(number <= t, number > t - self.context)

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

        def start(cache):
            cache = empty(cache, room)
            return tuple(ops.take(part, rows, axis=0) for part in cache)

        return step, list(map(start, like))


def empty(cache, places: int | None = None):
    """A cache, `(batch, heads, S, d)`, with so many places of zeros; or, for None, with
    none yet, and a size that may grow."""
    if places is None:
        return tuple(part[:, :, : 0 * ops.shape(part)[2]] for part in cache)
    return tuple(ops.repeat(ops.zeros_like(x[:, :, :1]), places, axis=2) for x in cache)


def _length(caches):
    """The number of places of caches, one a block."""
    return ops.shape(caches[0][0])[2]
