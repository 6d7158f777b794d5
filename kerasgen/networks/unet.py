"""Denoisers: a noisy image and its time -> an image-shaped estimate.

They take one nested input, (images, time) or (images, time, label), where time is
float32 `(batch,)` in [0, 1000) and label is one-hot, zeros for none.
"""

import keras
from keras import layers, ops

from kerasgen.errors import InputError, require, require_positive
from kerasgen.networks.dropout import Dropout
from kerasgen.networks.embeddings import SinusoidalEmbedding
from kerasgen.networks.group_norm import GroupNorm, GroupNormSiLU


def unet_denoiser(
    image_shape,
    classes: int = 0,
    widths=(64, 128),
    blocks: int = 2,
    attention=(),
    heads: int = 1,
    dropout: float = 0.0,
    patch: int = 1,
) -> keras.Model:
    """The U-Net of Ho et al. (2020), appendix B.

    Args:
        widths: channels at each resolution; each is half of the one before.
        blocks: residual blocks at each resolution, and one more on the way up.
        attention: heights at which each block is followed by self-attention, as in
            (16,); the middle always has it, unless `heads` is 0.
        heads: of self-attention.
        dropout: in residual blocks.
        patch: side of the squares that are one place of the first resolution: 2 makes
            the network four times cheaper.
    """
    height, width, channels = image_shape
    require_positive(blocks=blocks, patch=patch)
    if not widths:
        raise InputError("widths must name at least one resolution")
    require_positive(**{f"widths[{i}]": size for i, size in enumerate(widths)})
    factor = patch * 2 ** (len(widths) - 1)
    if height % factor or width % factor:
        raise InputError(
            f"a U-Net of {len(widths)} widths and patch {patch} needs sides that "
            f"{factor} divides, not {height}×{width}"
        )
    inputs, time = _inputs(image_shape, classes, 4 * widths[0])
    time = layers.Activation("silu")(time)  # each block would compute it

    def block(x, width):
        x = _residual(x, time, width, dropout)
        return _attention(x, heads) if x.shape[1] in attention else x

    # A convolution of patches: space to depth and 3×3 in one.
    x = layers.Conv2D(widths[0], 3 * patch, strides=patch, padding="same")(inputs[0])
    skips = [x]
    for level, size in enumerate(widths):
        if level:
            x = layers.Conv2D(x.shape[-1], 3, strides=2, padding="same")(x)
            skips.append(x)
        for _ in range(blocks):
            x = block(x, size)
            skips.append(x)
    x = _residual(x, time, widths[-1], dropout)
    x = _attention(x, heads) if heads else x
    x = _residual(x, time, widths[-1], dropout)
    for level, size in reversed(list(enumerate(widths))):
        for _ in range(blocks + 1):
            x = block(layers.Concatenate()([x, skips.pop()]), size)
        if level:
            x = layers.Conv2D(size, 3, padding="same")(layers.UpSampling2D()(x))
    # And back: 3×3 and depth to space.
    last = layers.Conv2DTranspose if patch > 1 else layers.Conv2D
    x = last(
        channels,
        3 * patch,
        strides=patch,
        padding="same",
        kernel_initializer="zeros",
        dtype="float32",
    )(GroupNormSiLU()(x))
    return keras.Model(inputs, x, name="denoiser")


def convolutional_denoiser(
    image_shape, classes: int = 0, widths=(64, 64)
) -> keras.Model:
    """Three 3×3 convolutions (two of `widths`, the last to the image), no more."""
    require_positive(**{f"widths[{i}]": width for i, width in enumerate(widths)})
    inputs, time = _inputs(image_shape, classes, 128)
    x = inputs[0]
    for width in widths:
        x = layers.Conv2D(width, 3, padding="same")(x)
        x = layers.Activation("relu")(x + _per_channel(time, width))
    x = layers.Conv2D(image_shape[-1], 3, padding="same", dtype="float32")(x)
    return keras.Model(inputs, x, name="denoiser")


def _inputs(image_shape, classes, width):
    """-> the inputs, and the embedding `(batch, width)` of time and label."""
    inputs = [layers.Input(tuple(image_shape)), layers.Input(())]
    x = SinusoidalEmbedding(width // 4)(inputs[1])
    x = layers.Dense(width, activation="silu")(x)
    if classes:
        # Beside the time, not in a dense layer of its own: LiteRT would make that a
        # look-up by label, which fails for -1.
        inputs.append(layers.Input((classes,)))
        x = layers.Concatenate()([x, inputs[2]])
    return tuple(inputs), layers.Dense(width)(x)


def _residual(x, time, width, dropout):
    """conv(act(conv(act(x)) + time)) + x; at the start of training, x."""
    h = layers.Conv2D(width, 3, padding="same")(GroupNormSiLU()(x))
    h = GroupNormSiLU()(h + _per_channel(time, width))
    h = Dropout(dropout)(h) if dropout else h
    h = layers.Conv2D(width, 3, padding="same", kernel_initializer="zeros")(h)
    return h + (x if x.shape[-1] == width else layers.Conv2D(width, 1)(x))


def _per_channel(time, width):
    return layers.Reshape((1, 1, width))(layers.Dense(width)(time))


def _attention(x, heads):
    """Self-attention over places (Vaswani et al., 2017, eq. 1), added to x."""
    height, width, channels = x.shape[1:]
    require(
        heads > 0 and channels % heads == 0, "heads", f"a divisor of {channels}", heads
    )
    split = (-1, height * width, heads, channels // heads)
    # A bias of the keys would change nothing: softmax takes no notice.
    projected = layers.Conv2D(3 * channels, 1, use_bias=False)(GroupNorm()(x))
    q, k, v = (
        ops.transpose(ops.reshape(part, split), (0, 2, 1, 3))
        for part in ops.split(projected, 3, axis=-1)
    )
    scores = ops.matmul(q * split[-1] ** -0.5, ops.transpose(k, (0, 1, 3, 2)))
    h = ops.transpose(ops.matmul(ops.softmax(scores), v), (0, 2, 1, 3))
    h = ops.reshape(h, (-1, height, width, channels))
    return x + layers.Conv2D(channels, 1, kernel_initializer="zeros")(h)
