"""The Transformer of Vaswani et al. (2017), whole: an encoder and a decoder."""

import functools

import keras
from keras import ops

from kerasgen.errors import require_positive
from kerasgen.networks.attention import causal_mask, hiding, joined, updated
from kerasgen.networks.dropout import Dropout
from kerasgen.networks.transformer import (
    STYLES,
    Block,
    Embedding,
    check_style,
    normalization,
)


@keras.saving.register_keras_serializable("kerasgen")
class EncoderDecoder(keras.Model):
    """Reads a text, and predicts each token of another from it and those before.

    Call: [source int32 `(batch, S)`, target int32 `(batch, T)`], right-padded with 0 ->
    logits of the next target token `(batch, T, vocabulary)`.

    Args:
        vocabulary: number of tokens, of both sides; one table embeds and scores them
            (Press & Wolf, 2017).
        context: largest number of positions, for "learned" ones.
        width, heads: of the blocks.
        depth: number of blocks of each side.
        style: "modern", "gpt2" or "classic" (`transformer.STYLES`).
        hidden: see `transformer.Block`.
        dropout: in blocks and of embeddings.
        attention_dropout: see `transformer.Block`.
    """

    def __init__(
        self,
        vocabulary,
        context,
        width=128,
        depth=4,
        heads=4,
        style="modern",
        hidden=None,
        dropout=0.0,
        attention_dropout=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        require_positive(vocabulary=vocabulary, context=context, depth=depth)
        require_positive(width=width, heads=heads)
        check_style(style, width, heads)
        self.values = {
            "vocabulary": vocabulary,
            "context": context,
            "width": width,
            "depth": depth,
            "heads": heads,
            "style": style,
            "hidden": hidden,
            "dropout": dropout,
            "attention_dropout": attention_dropout,
        }
        self.width, self.depth, self.heads = width, depth, heads
        options = {"style": style, "dtype": self.dtype_policy}
        self.embedding = Embedding(vocabulary, width, context, **options)
        self.dropout = Dropout(dropout, dtype=self.dtype_policy)
        options |= {"dropout": dropout, "attention_dropout": attention_dropout}
        options |= {"hidden": hidden, "depth": depth}

        def blocks(cross):
            return [Block(width, heads, cross=cross, **options) for _ in range(depth)]

        self.encoder, self.decoder = blocks(False), blocks(True)
        last = STYLES[style]["pre_norm"]  # post-norm blocks end in one
        self.norms = [normalization(self, STYLES[style]) for _ in range(2 * last)]
        self.build((None, None))

    def build(self, input_shape):
        shape = (None, None, self.width)
        self.embedding.build((None, None))
        for layer in [*self.encoder, *self.decoder, *self.norms]:
            layer.build(shape)
        self.built = True

    def call(self, inputs):
        source, target = inputs
        return self.embedding.scores(self.read(target, *self.encode(source)))

    def encode(self, source):
        """`(batch, S)` -> the memory of each block of the decoder, a cache; and what
        may be seen of it, `(batch, 1, 1, S)`, to be taken off scores."""
        seen = hiding(source != 0)[:, None, None]
        positions = ops.arange(ops.shape(source)[1])[None]
        x = self.dropout(self.embedding(source, positions))
        for block in self.encoder:
            x, _ = block(x, attention_mask=seen, positions=positions)
        x = self._norm(0, x)
        return [block.cross.keys_values(x) for block in self.decoder], seen

    def read(self, target, memories, seen, watch=None):
        """Target tokens -> the last layer at each, `(batch, T, width)`.

        `watch` is a function that gets, from every block, what each token sees of the
        memory, `(batch, heads, T, S)`.
        """
        length = ops.shape(target)[1]
        positions, mask = ops.arange(length)[None], causal_mask(length)
        x = self.dropout(self.embedding(target, positions))
        for block, memory in zip(self.decoder, memories, strict=True):
            x, _ = block(
                x,
                attention_mask=mask,
                positions=positions,
                memory=memory,
                memory_attention_mask=seen,
                watch=watch,
            )
        return self._norm(1, x)

    def step(self, token_ids, t, past, memories, seen, beams=1, room=None):
        """One more target token a row: logits `(rows, vocabulary)`, the longer past.

        Args:
            token_ids: int32 `(rows,)`, `beams` rows for each of the memory.
            t: int32 scalar, the place of all of them.
            past: a cache of t places a block, or of `room`.
            memories, seen: see `encode`.
            beams: of a row of the memory.
            room: the number of places, where shapes must be known.
        """
        positions = ops.reshape(t, (1, 1))
        x, longer = self.embedding(token_ids, positions), []
        if room is None:
            growing = {"write": joined}
        else:
            growing = {"write": functools.partial(updated, place=t)}
            growing["attention_mask"] = ops.arange(room)[None, None, None] <= t
        for block, recent, memory in zip(self.decoder, past, memories, strict=True):
            x, cache = block(
                x,
                positions=positions,
                recent=recent,
                memory=memory,
                memory_attention_mask=seen,
                beams=beams,
                **growing,
            )
            longer.append(cache)
        return self.embedding.scores(self._norm(1, x)), longer

    def empty(self, memories, beams=1, room=None):
        """A past of no places, or of `room` empty ones."""
        batch, _, places, _ = ops.shape(memories[0][0])
        rows = ops.repeat(ops.arange(batch), beams)

        def start(part):
            if room is None:  # a size that may grow
                return ops.take(part[:, :, : 0 * places], rows, axis=0)
            part = ops.repeat(ops.zeros_like(part[:, :, :1]), room, axis=2)
            return ops.take(part, rows, axis=0)

        return [tuple(map(start, memory)) for memory in memories]

    def _norm(self, side, x):
        return self.norms[side](x) if self.norms else x

    def get_config(self):
        return super().get_config() | self.values


transformer_translator = EncoderDecoder  # as `networks.build` finds it
