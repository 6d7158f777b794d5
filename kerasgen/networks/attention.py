"""Attention (Vaswani et al., 2017, section 3.2), written to be read.

Masks broadcast to `(…, T, S)`: T queries, S keys. They are boolean, True where a query
may look, or what is taken off scores (`hiding`). A *cache* is a pair of tensors, keys
and values `(batch, heads, S, d)`, that are computed once and looked at again. Attention
reads several as one, so that a long one need not be copied for what comes after it.
"""

import keras
from keras import layers, ops

from kerasgen.errors import require
from kerasgen.networks.dropout import Dropout
from kerasgen.networks.fused import fused


def attend(q, caches, mask=None, dropout=None):
    """softmax(q k^T / sqrt(d)) v (eq. 1).

    Args:
        q: `(…, T, d)`.
        caches: pairs of k and v, each `(…, S, d)`; looked at as if concatenated. Or
            `folded`.
        mask: see above; None: all queries look at all keys.
        dropout: a layer, applied to the weights.
    Returns:
        The output `(…, T, d)`, and the weights `(…, T, S)`, S that of all.
    """
    q = q * q.shape[-1] ** -0.5
    scores = [_product(q, ops.swapaxes(k, -1, -2)) for k, _ in caches]
    scores = scores[0] if len(scores) == 1 else ops.concatenate(scores, axis=-1)
    if mask is not None:
        if keras.backend.standardize_dtype(mask.dtype) == "bool":
            mask = hiding(mask)
        scores -= ops.cast(mask, scores.dtype)
    weights = ops.softmax(scores)
    rest = weights if dropout is None else dropout(weights)
    outputs = []
    for k, v in caches[:-1]:
        size = ops.shape(k)[-2]
        part, rest = rest[..., :size], rest[..., size:]
        outputs.append(_product(part, v))
    last = _product(rest, caches[-1][1])
    return sum(outputs, last), weights


def folded(x):
    """`(batch, heads, S, d)` -> `(batch × heads, S, d)`. XLA takes an axis of 1,
    as a batch may be, away from what it multiplies, and so copies what it changes."""
    return ops.reshape(x, (-1, *ops.shape(x)[2:]))


def _product(a, b):
    """Of matrices `(batch, heads, …)`; b may be folded."""
    if len(a.shape) == len(b.shape):
        return ops.matmul(a, b)
    shape = (-1, *a.shape[1:-1], b.shape[-1])
    return ops.reshape(ops.matmul(folded(a), b), shape)


def hiding(mask):
    """A mask, of booleans or 1 and 0, as float32 to take off scores: 0 and 10,000.

    What is added instead, TensorFlow fuses with the product before it; in a loop that
    gives wrong results (2.21, the remapper).
    """
    return 1e4 * (1.0 - ops.cast(mask, "float32"))


def causal_mask(length):
    """`(T, T)`: position t sees 0 … t."""
    t = ops.arange(length)
    return t[:, None] >= t[None]


@fused
def rotate(x, positions, base: float = 10_000.0):
    """Rotary position embedding (Su et al., 2021, eq. 34, on halves).

    Args:
        x: queries or keys `(batch, heads, T, d)`, d even.
        positions: int32 `(batch or 1, T)`.
    """
    half = x.shape[-1] // 2
    wavelength = ops.convert_to_tensor(
        [base ** (i / half) for i in range(half)], dtype="float32"
    )
    angle = ops.cast(positions, "float32")[:, None, :, None] / wavelength
    cos, sin = (ops.cast(f(angle), x.dtype) for f in (ops.cos, ops.sin))
    a, b = ops.split(x, 2, axis=-1)
    return ops.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def written(cache, new, here):
    """Keys and values `(batch, heads, 1, d)` in an empty place, of zeros, of a small
    cache: whole arithmetic, that every runtime has. `here` is `(S, 1)`, 1 there."""
    return tuple(a + here * b for a, b in zip(cache, new, strict=True))


def updated(cache, new, place):
    """The same for a large cache, or a `folded` one: XLA and JAX do it in place, others
    copy."""
    if len(cache[0].shape) == 3:
        new = map(folded, new)
    start = [0] * (len(cache[0].shape) - 2) + [place, 0]
    return tuple(ops.slice_update(a, start, b) for a, b in zip(cache, new, strict=True))


def joined(cache, other):
    """One cache after the other, in one."""
    return tuple(
        ops.concatenate([a, b], axis=2) for a, b in zip(cache, other, strict=True)
    )


@keras.saving.register_keras_serializable("kerasgen")
class SingleHeadAttention(layers.Layer):
    """Attention with one head: learned queries, keys and values of size `units`.

    Call: `(x (batch, T, …), memory (batch, S, …) or None for x, attention_mask)` ->
    `(batch, T, units)`, and with `return_weights` also the weights `(batch, T, S)`.
    """

    def __init__(self, units: int, bias: bool = True, **kwargs):
        super().__init__(**kwargs)
        options = {"use_bias": bias, "dtype": self.dtype_policy}
        self.query = layers.Dense(units, name="query", **options)
        # A bias of the keys changes nothing: softmax takes no notice.
        self.key = layers.Dense(units, name="key", **options | {"use_bias": False})
        self.value = layers.Dense(units, name="value", **options)

    def build(self, input_shape):
        for layer in (self.query, self.key, self.value):
            layer.build(input_shape)

    def call(self, x, memory=None, attention_mask=None, return_weights=False):
        memory = x if memory is None else memory
        cache = self.key(memory), self.value(memory)
        output, weights = attend(self.query(x), [cache], attention_mask)
        return (output, weights) if return_weights else output


@keras.saving.register_keras_serializable("kerasgen")
class MultiHeadAttention(layers.Layer):
    """Attention with several heads, each on its own projection (section 3.2.2).

    Args:
        heads: their number; divides the width of the input.
        bias: add one to each projection.
        rotary: queries and keys turn with their position.
        dropout: of the weights.
        scale: standard deviation of the last projection's initial weights.
    Raises:
        InputError: if `heads` doesn't divide the width.
    """

    def __init__(
        self, heads, bias=False, rotary=False, dropout=0.0, scale=0.02, **kwargs
    ):
        super().__init__(**kwargs)
        self.heads, self.bias, self.rotary = heads, bias, rotary
        self.scale = scale
        self.dropout = Dropout(dropout) if dropout else None

    def build(self, input_shape):
        width = input_shape[-1]
        require(
            self.heads > 0 and width % self.heads == 0,
            "heads",
            f"a divisor of {width}",
            self.heads,
        )
        self.size = width // self.heads
        self.query = linear(self, width, bias=self.bias, name="query")
        self.key_value = linear(self, 2 * width, bias=self.bias, name="key_value")
        self.output_layer = linear(
            self, width, bias=self.bias, scale=self.scale, name="output"
        )
        for layer in (self.query, self.key_value, self.output_layer):
            layer.build(input_shape)

    def queries(self, x, positions=None):
        """`(batch, T, width)`, or `(batch, width)` of one -> `(batch, heads, T, d)`."""
        q = self._split(self.query(x))
        return rotate(q, positions) if self.rotary else q

    def keys_values(self, x, positions=None):
        """As `queries`: the cache of x."""
        k, v = ops.split(self._split(self.key_value(x)), 2, axis=1)
        return (rotate(k, positions) if self.rotary else k), v

    def look(self, x, caches, mask=None, positions=None):
        """What x sees in the caches: the output, shaped as x, and the weights."""
        q = self.queries(x, positions)
        h, weights = attend(q, caches, mask, self.dropout)
        width = self.heads * q.shape[-1]
        if len(x.shape) == 2:  # of one place, heads are in order as they are
            return self.output_layer(ops.reshape(h, (-1, width))), weights
        h = ops.transpose(h, (0, 2, 1, 3))
        h = ops.reshape(h, (-1, ops.shape(x)[1], width))
        return self.output_layer(h), weights

    def call(
        self,
        x,
        memory=None,
        attention_mask=None,
        positions=None,
        return_weights=False,
    ):
        """Look at `memory`, or at x itself."""
        if positions is None:
            positions = ops.arange(ops.shape(x)[1])[None]
        cache = self.keys_values(x if memory is None else memory, positions)
        output, weights = self.look(x, [cache], attention_mask, positions)
        return (output, weights) if return_weights else output

    def _split(self, x):
        heads = x.shape[-1] // self.size
        if len(x.shape) == 2:
            return ops.reshape(x, (-1, heads, 1, self.size))
        x = ops.reshape(x, (-1, ops.shape(x)[1], heads, self.size))
        return ops.transpose(x, (0, 2, 1, 3))


def linear(owner, units: int, bias=False, scale=0.02, name=None):
    """A dense layer with initial weights of a standard deviation (as GPT-2's)."""
    return layers.Dense(
        units,
        use_bias=bias,
        kernel_initializer=keras.initializers.RandomNormal(stddev=scale),
        dtype=owner.dtype_policy,
        name=name,
    )
