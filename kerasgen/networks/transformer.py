"""Transformers (Vaswani et al., 2017): one block for decoders and encoders."""

import math

import keras
from keras import layers, ops

from kerasgen.errors import InputError, require, require_positive, unknown
from kerasgen.networks.attention import MultiHeadAttention, causal_mask, linear
from kerasgen.networks.dropout import Dropout
from kerasgen.networks.fused import fused
from kerasgen.networks.unet import SinusoidalEmbedding

# What a block is made of. "modern" is what small models are best with today (as LLaMA,
# Touvron et al., 2023); "gpt2" is Radford et al. (2019); "classic" is Vaswani et al.
STYLES = {
    "modern": {
        "pre_norm": True,
        "norm": "rms",
        "activation": "swiglu",
        "bias": False,
        "positions": "rotary",
    },
    "gpt2": {
        "pre_norm": True,
        "norm": "layer",
        "activation": "gelu",
        "bias": True,
        "positions": "learned",
    },
    "classic": {
        "pre_norm": False,
        "norm": "layer",
        "activation": "relu",
        "bias": True,
        "positions": "sinusoidal",
    },
}


@fused
def gelu(x):
    """As GPT-2 has it."""
    return ops.gelu(x, approximate=True)


@fused
def swiglu(x):
    """Of gates, and as many numbers (Shazeer, 2020)."""
    gate, x = ops.split(x, 2, axis=-1)
    return ops.silu(gate) * x


ACTIVATIONS = {"relu": ops.relu, "gelu": gelu, "swiglu": swiglu}


@keras.saving.register_keras_serializable("kerasgen")
class Block(layers.Layer):
    """Self-attention, attention to a memory where there is one, and a small MLP.

    Args:
        width: of the residual stream.
        heads: of attention.
        style: a key of `STYLES`.
        hidden: width of the MLP; default 4 × width, or 8/3 × width, rounded up to a
            multiple of 16, with SwiGLU, which has three matrices (Shazeer, 2020).
        dropout: after each part.
        attention_dropout: of attention weights; None: as `dropout`. They are many, so
            that training is faster without it.
        cross: also attend to a memory.
        depth: number of blocks, for the initial scale of what each adds.
    """

    def __init__(
        self,
        width,
        heads,
        style="modern",
        hidden=None,
        dropout=0.0,
        attention_dropout=None,
        cross=False,
        depth=1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.style = STYLES[style]
        gated = self.style["activation"] == "swiglu"
        hidden = hidden or (math.ceil(width / 6) * 16 if gated else 4 * width)
        scale = 0.02 / math.sqrt(2 * depth)  # GPT-2: the sum of all keeps its size
        bias, dtype = self.style["bias"], self.dtype_policy
        if attention_dropout is None:
            attention_dropout = dropout
        attention = {"bias": bias, "scale": scale, "dropout": attention_dropout}
        attention["dtype"] = dtype
        rotary = self.style["positions"] == "rotary"
        self.attention = MultiHeadAttention(heads, rotary=rotary, **attention)
        self.cross = MultiHeadAttention(heads, **attention) if cross else None
        self.norms = [normalization(self) for _ in range(3 if cross else 2)]
        self.up = linear(self, 2 * hidden if gated else hidden, bias, name="up")
        self.down = linear(self, width, bias, scale, name="down")
        self.dropout = Dropout(dropout, dtype=dtype)
        self.hidden = hidden

    def build(self, input_shape):
        batch, length, _ = input_shape
        for layer in (self.attention, self.cross, *self.norms, self.up):
            if layer is not None:
                layer.build(input_shape)
        self.down.build((batch, length, self.hidden))

    def call(
        self,
        x,
        attention_mask=None,
        positions=None,
        past=(),
        recent=None,
        write=None,
        memory=None,
        memory_attention_mask=None,
        beams=1,
        watch=None,
    ):
        """-> x, and its keys and values.

        Args:
            x: `(batch, T, width)`, or `(batch, width)`, of one place.
            attention_mask: what x may see of all up to here.
            positions: int32 `(batch or 1, T)`; default 0 … T - 1.
            past: caches of earlier positions. In masks they come after x.
            recent: a cache that x, of one place, is written in, and that then stands,
                and is returned, for that of x alone.
            write: how: (cache, keys and values of x) -> cache.
            memory: cache of the memory (`self.cross.keys_values`).
            memory_attention_mask: what x may see of it.
            beams: rows of x, of one place, for each of the memory.
            watch: a function that gets the weights of what is seen of the memory.
        """
        if positions is None:
            positions = ops.arange(ops.shape(x)[1])[None]
        cache = None

        def attended(h):
            nonlocal cache
            cache = self.attention.keys_values(h, positions)
            if recent is not None:
                cache = write(recent, cache)
            caches = [cache, *past]  # first what has a size that is known
            return self.attention.look(h, caches, attention_mask, positions)[0]

        x = self._add(x, self.norms[0], attended)
        if self.cross is not None:

            def looked(h):
                if beams > 1:  # as so many places of one row
                    h = ops.reshape(h, (-1, beams, h.shape[-1]))
                h, weights = self.cross.look(h, [memory], memory_attention_mask)
                if watch is not None:
                    watch(weights)
                return h if beams == 1 else ops.reshape(h, (-1, h.shape[-1]))

            x = self._add(x, self.norms[-1], looked)
        return self._add(x, self.norms[1], self._mlp), cache

    def _add(self, x, norm, part):
        if self.style["pre_norm"]:
            return x + self.dropout(part(norm(x)))
        return norm(x + self.dropout(part(x)))

    def _mlp(self, x):
        return self.down(ACTIVATIONS[self.style["activation"]](self.up(x)))


def normalization(owner, style=None):
    """The normalisation layer of a style."""
    kind = {"rms": layers.RMSNormalization, "layer": layers.LayerNormalization}
    style = style or owner.style
    return kind[style["norm"]](epsilon=1e-5, dtype=owner.dtype_policy)


@keras.saving.register_keras_serializable("kerasgen")
class Embedding(layers.Layer):
    """Tokens as vectors, with positions where the style has them here; and back.

    Args:
        vocabulary: number of tokens.
        width: of the vectors.
        context: largest number of positions, for "learned" ones.
        style: a key of `STYLES`.
        tied: use the same table to score tokens (Press & Wolf, 2017).
    """

    def __init__(self, vocabulary, width, context, style="modern", tied=True, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary, self.width = vocabulary, width
        self.context, self.tied = context, tied
        self.kind = STYLES[style]["positions"]

    def build(self, input_shape=None):
        small = {"initializer": keras.initializers.RandomNormal(stddev=0.02)}
        tokens = (self.vocabulary, self.width)
        self.table = self.add_weight(name="table", shape=tokens, **small)
        if self.kind == "learned":
            places = (self.context, self.width)
            self.places = self.add_weight(name="places", shape=places, **small)
        elif self.kind == "sinusoidal":
            self.sinusoids = SinusoidalEmbedding(self.width)
        if not self.tied:
            self.scorer = self.add_weight(name="scorer", shape=tokens, **small)

    def call(self, token_ids, positions):
        """int32 `(batch, T)`, or `(batch,)`, and positions `(batch or 1, T)` ->
        `(batch, T, width)`, or `(batch, width)`."""
        x = ops.take(self.table, token_ids, axis=0)
        if len(token_ids.shape) == 1:
            positions = positions[:, 0]
        if self.kind == "learned":
            x += ops.take(self.places, positions, axis=0)
        elif self.kind == "sinusoidal":
            flat = self.sinusoids(ops.reshape(positions, (-1,)))
            shape = (*ops.shape(positions), self.width)
            x = x * math.sqrt(self.width) + ops.cast(ops.reshape(flat, shape), x.dtype)
        return x

    def scores(self, x):
        """`(…, width)` -> logits `(…, vocabulary)`, float32."""
        table = self.table if self.tied else self.scorer
        logits = ops.matmul(x, ops.transpose(ops.cast(table, x.dtype)))
        return ops.cast(logits, "float32")


@keras.saving.register_keras_serializable("kerasgen")
class CausalTransformer(keras.Model):
    """A decoder-only Transformer: each position sees itself and those before.

    Call: int32 `(batch, T)` -> logits of the next token `(batch, T, vocabulary)`.

    Args:
        vocabulary: number of tokens.
        context: largest number of positions that one sees.
        width, depth, heads: of the blocks.
        style: "modern", "gpt2" or "classic" (`STYLES`).
        hidden: see `Block`.
        dropout: in blocks and of embeddings.
        attention_dropout: see `Block`.
        tied: the table of tokens also scores them.
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
        tied=True,
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
            "tied": tied,
        }
        self.context, self.heads, self.width = context, heads, width
        self.depth = depth
        options = {"style": style, "dtype": self.dtype_policy}
        self.embedding = Embedding(vocabulary, width, context, tied=tied, **options)
        self.dropout = Dropout(dropout, dtype=self.dtype_policy)
        options |= {"dropout": dropout, "attention_dropout": attention_dropout}
        options |= {"hidden": hidden, "depth": depth}
        self.blocks = [Block(width, heads, **options) for _ in range(depth)]
        # Post-norm blocks end in one.
        last = STYLES[style]["pre_norm"]
        self.norm = normalization(self, STYLES[style]) if last else None
        self.build((None, None))

    def build(self, input_shape):
        shape = (*input_shape, self.width)
        self.embedding.build(input_shape)
        for layer in [*self.blocks, self.norm]:
            if layer is not None:
                layer.build(shape)
        self.built = True

    @property
    def limited(self) -> bool:
        """Whether there are no positions from `context` on."""
        return STYLES[self.values["style"]]["positions"] == "learned"

    def call(self, token_ids):
        return self.embedding.scores(self.read(token_ids)[0])

    def read(self, token_ids):
        """Tokens `(batch, T)` -> the last layer at each `(batch, T, width)`, caches."""
        length = ops.shape(token_ids)[1]
        positions = ops.arange(length)[None]
        return self._run(token_ids, positions, causal_mask(length))

    def step(self, token_ids, positions, mask, past=None, **options):
        """One more token a row: logits `(batch, vocabulary)`, and a cache a block.

        Args:
            token_ids, positions: int32 `(batch,)`.
            mask: `(batch, 1, 1, S)`, what the token may see: of `recent` or itself,
                then of `past`.
            past: a cache a block; None for none.
            **options: recent, a cache a block; write: see `Block.call`.
        """
        if self.limited:  # rows that are done stay at the last one
            positions = ops.minimum(positions, self.context - 1)
        x, caches = self._run(token_ids, positions[:, None], mask, past, **options)
        return self.embedding.scores(x), caches

    def _run(self, token_ids, positions, mask, past=None, recent=None, **options):
        x = self.dropout(self.embedding(token_ids, positions))
        caches = []
        for i, block in enumerate(self.blocks):
            own = {"past": [past[i]]} if past else {}
            own |= {"recent": recent[i]} if recent else {}
            x, cache = block(
                x, attention_mask=mask, positions=positions, **own, **options
            )
            caches.append(cache)
        return (x if self.norm is None else self.norm(x)), caches

    def empty(self, like, places: int):
        """A cache of so many zeros a block, for as many rows as the cache `like`."""
        zeros = ops.zeros_like(like[:, :, :1]) + ops.zeros((places, 1), like.dtype)
        return [(zeros, zeros) for _ in self.blocks]

    def get_config(self):
        return super().get_config() | self.values


transformer_language_model = CausalTransformer  # as `networks.build` finds it


def check_style(style, width, heads) -> None:
    """One line about what doesn't fit."""
    if style not in STYLES:
        raise unknown("style", style, STYLES)
    if width % heads:
        raise InputError(f"heads must be a divisor of width {width}, not {heads}")
    if STYLES[style]["positions"] == "rotary":
        even = f"such that {width} / heads is even, for rotary positions"
        require((width // heads) % 2 == 0, "heads", even, heads)
