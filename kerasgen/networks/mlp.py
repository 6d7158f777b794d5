"""Dense networks."""

import math

import keras
from keras import layers

from kerasgen.errors import require_positive
from kerasgen.networks.dropout import Dropout


def dense_encoder(
    input_shape, outputs: int, widths=(128,), activation="relu", dropout=0.0
) -> keras.Model:
    """Flatten, then dense layers of `widths`, then `outputs` numbers."""
    inputs = layers.Input(tuple(input_shape))
    x = _dense(layers.Flatten()(inputs), widths, activation, dropout, outputs)
    return keras.Model(inputs, x, name="encoder")


def dense_decoder(
    inputs: int, output_shape, widths=(128,), activation="relu", dropout=0.0
) -> keras.Model:
    """Dense layers of `widths`, then one number for each of `output_shape`."""
    latents = layers.Input((inputs,))
    x = _dense(latents, widths, activation, dropout, math.prod(output_shape))
    return keras.Model(
        latents, layers.Reshape(tuple(output_shape), dtype="float32")(x), name="decoder"
    )


def _dense(x, widths, activation, dropout, outputs):
    require_positive(**{f"widths[{i}]": width for i, width in enumerate(widths)})
    for width in widths:
        x = Dropout(dropout)(layers.Dense(width, activation=activation)(x))
    return layers.Dense(outputs, dtype="float32")(x)
