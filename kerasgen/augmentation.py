"""Differentiable augmentation of images (DiffAugment, Zhao et al., 2020).

An augmentation is a function `(images, u, strength)` of float images `(batch, height,
width, channels)` to the same shape, differentiable in the images. Each row has two
uniform numbers of its own, u `(batch, 2)`. Strength 0 changes nothing.
"""

import numpy as np
from keras import ops

from kerasgen.errors import require, require_at_least, unknown
from kerasgen.random import Noise


def brightness(images, u, strength):
    """Add one number to an image, uniform in ±strength / 2 (the paper's: 1)."""
    return images + strength * (_by_image(u) - 0.5)


def saturation(images, u, strength):
    """Scale the distance to grey by 1 ± strength (the paper's: 1)."""
    grey = ops.mean(images, axis=-1, keepdims=True)
    return grey + (1.0 + strength * (2.0 * _by_image(u) - 1.0)) * (images - grey)


def contrast(images, u, strength):
    """Scale the distance to the image's mean by 1 ± strength / 2 (the paper's: 1)."""
    mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
    return mean + (1.0 + strength * (_by_image(u) - 0.5)) * (images - mean)


def translation(images, u, strength):
    """Shift by up to strength of the size, filled with 0 (the paper's: 0.125)."""
    for axis, letters in ((1, "bij,bjwc->biwc"), (2, "bij,bhjc->bhic")):
        size = images.shape[axis]
        most = round(strength * size)
        shift = ops.floor(u[:, axis - 1, None] * (2 * most + 1)) - most
        # Row i of the matrix takes line i + shift; outside the image it is zero.
        lines = np.arange(size, dtype="float32")
        source = ops.expand_dims(lines + shift, 2)
        images = ops.einsum(
            letters, ops.cast(ops.equal(source, lines), images.dtype), images
        )
    return images


def cutout(images, u, strength):
    """Set a window of strength of the size to 0, anywhere (the paper's: 0.5)."""
    inside = 1.0
    for axis in (1, 2):
        size = images.shape[axis]
        window = round(strength * size)
        start = ops.floor(u[:, axis - 1, None] * (size + 1 - window % 2)) - window // 2
        lines = np.arange(size, dtype="float32")
        hit = ops.logical_and(lines >= start, lines < start + window)
        inside *= ops.expand_dims(ops.cast(hit, images.dtype), (3 - axis, 3))
    return images * (1.0 - inside)


# In the order in which they are applied.
AUGMENTATIONS = {
    function.__name__: function
    for function in (brightness, saturation, contrast, translation, cutout)
}


def checked(strengths: dict[str, float]) -> dict[str, float]:
    """A copy.

    Raises:
        InputError: if it is no dict, has an unknown augmentation or a negative
            strength.
    """
    require(isinstance(strengths, dict), "augment", "a dict", strengths)
    for name, strength in strengths.items():
        if name not in AUGMENTATIONS:
            raise unknown("augmentation", name, AUGMENTATIONS)
        require_at_least(0, **{f"augment.{name}": strength})
    return dict(strengths)


def augment(images, noise: Noise, strengths: dict[str, float]):
    """Images after every augmentation that `strengths` names."""
    names = [name for name in AUGMENTATIONS if name in strengths]
    if names:
        u = noise.uniform((len(names), 2))
    for i, name in enumerate(names):
        images = AUGMENTATIONS[name](images, u[:, i], strengths[name])
    return images


def _by_image(u):
    """The first number of each row, to be combined with images."""
    return u[:, 0, None, None, None]
