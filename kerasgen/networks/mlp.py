"""Dense networks."""

import math

import keras
from keras import layers

from kerasgen.errors import require_positive


def dense_encoder(
    input_shape, outputs: int, widths=(128,), activation="relu"
) -> keras.Model:
    """Flatten, then dense layers of `widths`, then `outputs` numbers."""
    inputs = layers.Input(tuple(input_shape))
    return keras.Model(
        inputs,
        _dense(layers.Flatten()(inputs), widths, activation, outputs),
        name="encoder",
    )


def dense_decoder(
    inputs: int, output_shape, widths=(128,), activation="relu"
) -> keras.Model:
    """Dense layers of `widths`, then one number for each of `output_shape`."""
    latents = layers.Input((inputs,))
    x = _dense(latents, widths, activation, math.prod(output_shape))
    return keras.Model(latents, layers.Reshape(tuple(output_shape))(x), name="decoder")


def _dense(x, widths, activation, outputs):
    require_positive(**{f"widths[{i}]": width for i, width in enumerate(widths)})
    for width in widths:
        x = layers.Dense(width, activation=activation)(x)
    return layers.Dense(outputs, dtype="float32")(x)
