"""What models of images share: raw images and labels -> a batch."""

import keras
import numpy as np
from keras import ops

from kerasgen.errors import InputError


def image_shape_of(value) -> tuple[int, int, int]:
    """(height, width, channels), checked."""
    try:
        shape = tuple(int(size) for size in value)
    except (TypeError, ValueError):
        shape = ()
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(f"image_shape must be [height, width, channels], not {value}")
    return shape


def image_batch(images, image_shape, labels=None, classes: int = 0) -> dict:
    """Raw images and labels -> {"images": float32 in [0, 1], "label": int32}.

    Args:
        images: `(batch, height, width[, channels])`; uint8 counts to 255, float is in
            [0, 1].
        image_shape: (height, width, channels) that the model is for.
        labels: integers `(batch,)`; -1, or no labels at all, means unconditional.
        classes: 0 for a model without labels, which then aren't in the batch.
    Raises:
        InputError: if images have another shape.
    """
    images = ops.convert_to_tensor(images)
    if len(images.shape) == 3:
        images = images[..., None]
    if tuple(images.shape[1:]) != tuple(image_shape):
        got = tuple(images.shape)
        raise InputError(f"images must have shape (batch, *{image_shape}), not {got}")
    dtype = keras.backend.standardize_dtype(images.dtype)
    scale = 1.0 / 255.0 if dtype == "uint8" else 1.0
    batch = {"images": ops.cast(images, "float32") * scale}
    if classes:
        if labels is None:
            labels = -ops.ones((ops.shape(images)[0],), "int32")
        batch["label"] = ops.cast(ops.reshape(labels, (-1,)), "int32")
    return batch


def one_hot(label, classes: int):
    """float32 `(batch, classes)`; all zeros for label -1."""
    return ops.cast(
        ops.equal(ops.expand_dims(label, 1), np.arange(classes, dtype="int32")),
        "float32",
    )


def shifted_and_flipped(images, noise, shift: int = 0, flip: bool = False):
    """Images moved at random by up to `shift` pixels each way; what moves in is 0.

    Args:
        images: float32 `(batch, height, width, channels)`.
        noise: `kerasgen.random.Noise` of the rows.
        shift: largest number of pixels, in each direction.
        flip: mirror every other image, at random, from left to right.
    """
    height, width = images.shape[1:3]
    offsets = noise.integers(2 * shift + 1, (2, 1)) - shift
    rows = np.arange(height, dtype="int32") + offsets[:, 0]
    columns = np.arange(width, dtype="int32") + offsets[:, 1]
    if flip:
        heads = noise.uniform((1,)) < 0.5
        columns = ops.where(heads, width - 1 - columns, columns)
    # A one-hot row picks a pixel; a place outside the image is a row of zeros.
    picked = ops.one_hot(rows, height), ops.one_hot(columns, width)
    return ops.einsum("bhi,bwj,bijc->bhwc", *picked, images)
