"""Residual networks of SNGAN (Miyato et al., 2018, appendix B.4)."""

import keras
from keras import layers, ops

from kerasgen.networks.convnet import check_widths, cropped, start_size
from kerasgen.networks.normalization import batch_normalization, spectral


def sngan_generator(
    inputs: int, output_shape, widths=(256, 256, 256), conditional=False
) -> keras.Model:
    """A dense layer, then residual blocks of which each doubles the image.

    The default is the paper's for 32 pixels (table 4); 64 pixels take one block more.

    Args:
        widths: channels of the blocks.
        conditional: gain and bias of the batch normalisation depend on the inputs.
    """
    check_widths(widths)
    rows, columns = start_size(output_shape, len(widths))
    latents = layers.Input((inputs,))
    condition = latents if conditional else None

    def activated(x):
        return layers.ReLU()(batch_normalization(x, condition))

    x = layers.Dense(rows * columns * widths[0])(latents)
    x = layers.Reshape((rows, columns, widths[0]))(x)
    for width in widths:
        h = layers.UpSampling2D()(activated(x))
        h = layers.Conv2D(width, 3, padding="same")(h)
        h = layers.Conv2D(width, 3, padding="same")(activated(h))
        x = layers.Add()([h, layers.UpSampling2D()(layers.Conv2D(width, 1)(x))])
    x = layers.Conv2D(output_shape[-1], 3, padding="same", dtype="float32")(
        activated(x)
    )
    return keras.Model(latents, cropped(x, output_shape), name="generator")


def sngan_discriminator(
    input_shape,
    outputs: int,
    widths=(128, 128, 128, 128),
    halvings=2,
    spectral_norm=True,
) -> keras.Model:
    """Residual blocks, the sum over all places, a dense layer.

    The default is the paper's for 32 pixels (table 4); for 64 pixels (table 5) every
    block but the last halves the image.

    Args:
        widths: channels of the blocks.
        halvings: how many of them, from the first, halve the image.
        spectral_norm: normalise every kernel by its largest singular value.
    """
    check_widths(widths)

    def convolution(width, kernel=3):
        return spectral(layers.Conv2D(width, kernel, padding="same"), spectral_norm)

    images = x = layers.Input(tuple(input_shape))
    for i, width in enumerate(widths):
        # An image is no activation: the first block takes it as it is.
        h = convolution(width)(layers.ReLU()(x) if i else x)
        h = convolution(width)(layers.ReLU()(h))
        if i < halvings:
            h, x = layers.AveragePooling2D(2)(h), layers.AveragePooling2D(2)(x)
        if i < halvings or x.shape[-1] != width:
            x = convolution(width, 1)(x)
        x = layers.Add()([h, x])
    x = ops.sum(layers.ReLU()(x), axis=(1, 2))
    scores = spectral(layers.Dense(outputs, dtype="float32"), spectral_norm)
    return keras.Model(images, scores(x), name="discriminator")
