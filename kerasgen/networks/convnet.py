"""Convolutional networks for images."""

import math

import keras
from keras import layers

from kerasgen.errors import InputError, require_positive
from kerasgen.networks.normalization import batch_normalization


def residual_encoder(
    input_shape, outputs: int, widths=(32, 64), blocks=1, hidden=128, activation="relu"
) -> keras.Model:
    """Residual convolutions; each of `widths` halves the resolution.

    Args:
        widths: channels at 1/2, 1/4, … of the input's resolution.
        blocks: residual blocks at each resolution.
        hidden: width of the dense layer before the output; 0 leaves it out.
    """
    require_positive(blocks=blocks)
    check_widths(widths)
    inputs = x = layers.Input(tuple(input_shape))
    for width in widths:
        x = layers.Conv2D(width, 4, strides=2, padding="same")(x)
        for _ in range(blocks):
            x = _residual(x, width, activation)
    x = layers.Flatten()(layers.Activation(activation)(x))
    if hidden:
        x = layers.Dense(hidden, activation=activation)(x)
    return keras.Model(
        inputs, layers.Dense(outputs, dtype="float32")(x), name="encoder"
    )


def residual_decoder(
    inputs: int, output_shape, widths=(64, 32), blocks=1, hidden=128, activation="relu"
) -> keras.Model:
    """The mirror of `residual_encoder`: each of `widths` is followed by a doubling."""
    require_positive(blocks=blocks)
    check_widths(widths)
    channels, (rows, columns) = output_shape[-1], start_size(output_shape, len(widths))
    latents = x = layers.Input((inputs,))
    if hidden:
        x = layers.Dense(hidden, activation=activation)(x)
    x = layers.Dense(rows * columns * widths[0])(x)
    x = layers.Reshape((rows, columns, widths[0]))(x)
    for after, width_now in zip((*widths[1:], None), widths, strict=True):
        for _ in range(blocks):
            x = _residual(x, width_now, activation)
        x = layers.Activation(activation)(x)
        last = after is None
        x = layers.Conv2DTranspose(
            channels if last else after,
            4,
            strides=2,
            padding="same",
            dtype="float32" if last else None,
        )(x)
    return keras.Model(latents, cropped(x, output_shape), name="decoder")


def start_size(output_shape, doublings: int) -> tuple[int, int]:
    """Rows and columns that reach at least `output_shape` when doubled so often."""
    scale = 2**doublings
    return math.ceil(output_shape[0] / scale), math.ceil(output_shape[1] / scale)


def cropped(x, output_shape):
    """The centre of x: sizes that no doubling gives (30) are made larger before."""
    over = [have - want for have, want in zip(x.shape[1:3], output_shape)]  # noqa: B905
    sides = [(size // 2, size - size // 2) for size in over]
    return layers.Cropping2D(sides, dtype="float32")(x) if any(over) else x


def check_widths(widths):
    """Raise `InputError` unless `widths` are whole numbers above 0, at least one."""
    if not widths:
        raise InputError("widths must name at least one layer")
    require_positive(**{f"widths[{i}]": width for i, width in enumerate(widths)})


def convolutional_classifier(
    input_shape, outputs: int, widths=(24, 48), momentum=0.9, activation="relu"
) -> keras.Model:
    """Convolutions with batch normalisation; each of `widths` halves the resolution.

    The output is the mean over places of a last convolution with `outputs` channels.

    Args:
        widths: channels at the input's resolution, at 1/2 of it, …
        momentum: of the statistics that batch normalisation keeps for inference.
    """
    check_widths(widths)

    def convolution(x, width, size, strides=1):
        x = layers.Conv2D(width, size, strides, padding="same", use_bias=False)(x)
        return layers.Activation(activation)(batch_normalization(x, momentum=momentum))

    inputs = x = layers.Input(tuple(input_shape))
    for width in widths:
        x = convolution(convolution(x, width, 3), width, 4, strides=2)
    x = convolution(x, outputs, 3)
    x = layers.GlobalAveragePooling2D(dtype="float32")(x)
    return keras.Model(inputs, x, name="classifier")


def _residual(x, width, activation):
    """x + conv(act(conv(act(x)))), the identity at the start of training."""
    h = layers.Activation(activation)(x)
    h = layers.Conv2D(width, 3, padding="same")(h)
    h = layers.Activation(activation)(h)
    h = layers.Conv2D(width, 3, padding="same", kernel_initializer="zeros")(h)
    return layers.Add()([x, h])
