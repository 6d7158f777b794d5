"""Embeddings: tokens and positions as vectors."""

import math

import keras
from keras import layers, ops

from kerasgen.errors import require


@keras.saving.register_keras_serializable("kerasgen")
class SinusoidalEmbedding(layers.Layer):
    """Sines and cosines of a position (Vaswani et al., 2017, section 3.5).

    Float32 `(batch,)` -> `(batch, size)`, of wavelengths from 2 pi to 20,000 pi.
    """

    def __init__(self, size: int, **kwargs):
        super().__init__(**{"dtype": "float32"} | kwargs)
        require(size >= 4 and size % 2 == 0, "size", "an even number from 4", size)
        self.size = size

    def call(self, position):
        half = self.size // 2
        frequency = ops.exp(
            ops.arange(half, dtype="float32") * (-9.210340371976184 / (half - 1))
        )  # 1 to 1 / 10,000
        angle = ops.cast(position, "float32")[:, None] * frequency
        return ops.concatenate([ops.sin(angle), ops.cos(angle)], axis=1)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.size)

    def get_config(self):
        return super().get_config() | {"size": self.size}


@keras.saving.register_keras_serializable("kerasgen")
class Embedding(layers.Layer):
    """Tokens as vectors, with their positions; and vectors as scores of tokens.

    Args:
        vocabulary: number of tokens.
        width: of the vectors.
        context: largest number of positions, for "learned" ones.
        positions: "learned" and "sinusoidal" ones are added here; "rotary" ones are
            not, but by attention.
        tied: use the same table to score tokens (Press & Wolf, 2017).
    """

    def __init__(
        self, vocabulary, width, context, positions="rotary", tied=True, **kwargs
    ):
        super().__init__(**kwargs)
        self.vocabulary, self.width = vocabulary, width
        self.context, self.tied, self.kind = context, tied, positions

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
