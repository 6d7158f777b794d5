"""The block of Transformers (Vaswani et al., 2017), of decoders and encoders alike."""

import math

import keras
from keras import layers, ops

from kerasgen.errors import InputError, require, unknown
from kerasgen.networks.attention import MultiHeadAttention, linear
from kerasgen.networks.dropout import Dropout
from kerasgen.networks.fused import fused

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


def check_style(style, width, heads) -> None:
    """One line about what doesn't fit."""
    if style not in STYLES:
        raise unknown("style", style, STYLES)
    if width % heads:
        raise InputError(f"heads must be a divisor of width {width}, not {heads}")
    if STYLES[style]["positions"] == "rotary":
        even = f"such that {width} / heads is even, for rotary positions"
        require((width // heads) % 2 == 0, "heads", even, heads)
