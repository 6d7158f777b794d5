"""What models of images share: raw images and labels -> a batch."""

import keras
import numpy as np
from keras import ops

from kerasgen import inputs
from kerasgen.errors import InputError
from kerasgen.labels import check_labels, label_numbers

SLACK = 1e-3  # beyond [0, 1], of rounding
# What a signature takes: images, and labels where there are classes.
LABELLED = {"images": inputs.images, "label": inputs.label}


def image_shape_of(value) -> tuple[int, int, int]:
    """(height, width, channels), checked."""
    try:
        shape = tuple(int(size) for size in value)
    except (TypeError, ValueError):
        shape = ()
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(f"image_shape must be [height, width, channels], not {value}")
    return shape


class TakesImages:
    """Mixin of models that learn from images, and perhaps labels.

    A model has `image_shape`, and `classes` where it knows labels.
    """

    classes = 0
    no_label = -1  # the least label: one that says "none"

    @property
    def row_shape(self):
        """Of an image."""
        return self.image_shape

    def preprocess(self, x, y=None):
        """Raw images and labels -> {"images"[, "label"]}; see `image_batch`."""
        return image_batch(x, self.image_shape, y, self.classes)

    def check(self, x, y=None, labelled=True):
        """See `kerasgen.models.base.Model`."""
        check_images(x, self.image_shape)
        name = type(self).__name__
        if not labelled:
            return
        if self.classes and y is None:
            none = "; -1 is no label" if self.no_label < 0 else ""
            raise InputError(
                f"this {name} learns from labels: give (images, labels), labels from 0 "
                f"to {self.classes - 1}{none}"
            )
        if self.classes:
            check_labels(y, self.classes, self.no_label)
        elif y is not None and not np.array_equal(x, y):  # fit(x, x) reconstructs
            known = hasattr(self, "_arguments") and "classes" in self._arguments
            other = ", or build it with classes=" if known else ""
            raise InputError(
                f"this {name} has no labels to learn from: give it images alone{other}"
            )


def check_images(x, image_shape) -> None:
    """Raise `InputError` unless an array holds images as `image_batch` takes them."""
    if isinstance(x, dict):
        raise InputError(
            "images come as an array, or as (images, labels), not as a dict: map your "
            'Dataset by lambda row: (row["image"], row["label"])'
        )
    _check_shape(x.shape, image_shape)
    if x.dtype.kind not in "biuf":
        x = x.astype("float32")  # bfloat16
    if x.dtype.kind == "b" or not x.size:
        return
    low, high = x.min(), x.max()
    found = f"images have values from {low:g} to {high:g}"
    if x.dtype.kind == "f":
        if np.isnan(low):
            raise InputError("images have values that are no numbers (NaN)")
        if low < -SLACK or high > 1.0 + SLACK:
            symmetric = -1.0 - SLACK <= low < 0 and high <= 1.0 + SLACK
            scaled = "(images + 1) / 2" if symmetric else "images / 255"
            scaled = scaled if symmetric or low >= 0 else "scaled ones"
            raise InputError(f"{found}, where floats are in [0, 1]: give {scaled}")
    elif low < 0 or high > 255:
        raise InputError(f"{found}, where whole numbers are 0 to 255: scale them")
    elif high == 1:
        raise InputError(
            f"{found}, and of whole numbers 255 is white: give floats, "
            'images.astype("float32")'
        )


def _check_shape(shape, image_shape) -> None:
    """Raise `InputError` unless `shape`, None where unknown, is that of images."""
    rows = tuple(shape)[1:]
    rows += (1,) if len(rows) == 2 and image_shape[-1] == 1 else ()
    both = zip(rows, image_shape, strict=False)
    if len(rows) == len(image_shape) and all(a in (None, b) for a, b in both):
        return
    wanted = ", ".join(map(str, image_shape))
    line = f"images must have shape (batch, {wanted}), not {tuple(shape)}"
    alone = tuple(shape) in (tuple(image_shape), tuple(image_shape)[:2])
    raise InputError(line + (": a Dataset wants .batch(64)" if alone else ""))


def image_batch(images, image_shape, labels=None, classes: int = 0) -> dict:
    """Raw images and labels -> {"images": float32 in [0, 1], "label": int32}.

    Args:
        images: `(batch, height, width[, channels])`; whole numbers of any type count to
            255, floats are in [0, 1].
        image_shape: (height, width, channels) that the model is for.
        labels: integers `(batch,)`, or one-hot rows `(batch, classes)`; -1, or no
            labels at all, means unconditional.
        classes: 0 for a model without labels, which then aren't in the batch.
    Raises:
        InputError: if images have another shape.
    """
    images = ops.convert_to_tensor(images)
    _check_shape(images.shape, image_shape)
    images = ops.reshape(images, (-1, *image_shape))
    dtype = keras.backend.standardize_dtype(images.dtype)
    scale = 1.0 / 255.0 if "int" in dtype else 1.0
    batch = {"images": ops.cast(images, "float32") * scale}
    if classes:
        if labels is None:
            labels = -ops.ones((ops.shape(images)[0],), "int32")
        batch["label"] = label_numbers(labels)
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
