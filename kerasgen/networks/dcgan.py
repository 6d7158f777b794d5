"""DCGAN networks (Radford et al., 2016): strided convolutions, no pooling."""

import keras
from keras import layers

from kerasgen.networks.convnet import check_widths, cropped, start_size
from kerasgen.networks.normalization import batch_normalization, spectral


def dcgan_generator(
    inputs: int, output_shape, widths=(256, 128, 64), kernel=5, conditional=False
) -> keras.Model:
    """A dense layer to a small image, then transposed convolutions.

    The first of them keeps the size, each further one doubles it: `widths` (256, 128,
    64) are 7·7·256, 7·7·128, 14·14·64 and the image of 28·28; images of 64 pixels
    take one more. Every layer but the last is followed by batch normalisation and
    LeakyReLU.

    Args:
        widths: channels of the dense layer and of the convolutions before the last.
        kernel: size of the convolutions' kernels.
        conditional: gain and bias of the normalisation depend on the inputs.
    """
    check_widths(widths)
    rows, columns = start_size(output_shape, len(widths) - 1)
    latents = layers.Input((inputs,))
    condition = latents if conditional else None

    def activated(x):
        return layers.LeakyReLU(0.2)(batch_normalization(x, condition))

    x = layers.Dense(rows * columns * widths[0], use_bias=False)(latents)
    x = activated(layers.Reshape((rows, columns, widths[0]))(x))
    for i, width in enumerate((*widths[1:], output_shape[-1])):
        last = i == len(widths) - 1
        x = layers.Conv2DTranspose(
            width,
            kernel,
            strides=2 if i else 1,
            padding="same",
            use_bias=last,
            dtype="float32" if last else None,
        )(x)
        x = x if last else activated(x)
    return keras.Model(latents, cropped(x, output_shape), name="generator")


def dcgan_discriminator(
    input_shape, outputs: int, widths=(64, 128), kernel=5, spectral_norm=False
) -> keras.Model:
    """Convolutions with LeakyReLU, each of which halves the image; a dense layer.

    Args:
        widths: channels at 1/2, 1/4, … of the size.
        kernel: size of the convolutions' kernels.
        spectral_norm: normalise every kernel by its largest singular value.
    """
    check_widths(widths)
    images = x = layers.Input(tuple(input_shape))
    for width in widths:
        convolution = layers.Conv2D(width, kernel, strides=2, padding="same")
        x = layers.LeakyReLU(0.2)(spectral(convolution, spectral_norm)(x))
    scores = spectral(layers.Dense(outputs, dtype="float32"), spectral_norm)
    return keras.Model(images, scores(layers.Flatten()(x)), name="discriminator")
