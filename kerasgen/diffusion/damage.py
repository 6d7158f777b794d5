"""Damage: what restorers are judged by, done to images of which the whole is known.

Each function takes a model and float32 images `(n, …)` in [0, 1], and gives the inputs,
but the seed, of the signature that undoes it; the damaged images first.
"""

import numpy as np
from scipy import ndimage

from kerasgen import random


def lower_half_lost(model, images):
    mask = np.zeros((*images.shape[:3], 1), "float32")
    mask[:, images.shape[1] // 2 :] = 1.0
    return {"images": images * (1.0 - mask), "mask": mask}


def noise_added(model, images, noise_level: float = 0.2):
    z = random.normal(random.row_seeds(0, len(images)), images.shape[1:])
    level = np.full(len(images), noise_level, "float32")
    return {"images": images + noise_level * np.asarray(z), "noise_level": level}


def made_small(model, images):
    height, width, channels = model.image_shape
    k = model.scale
    cells = images.reshape(-1, height // k, k, width // k, k, channels)
    return {"small_images": cells.mean(axis=(2, 4))}


def blurred(model, images):
    sigma = (0, model.blur, model.blur, 0)
    return {"images": ndimage.gaussian_filter(images, sigma, mode="reflect")}


DAMAGES = {
    "inpaint": lower_half_lost,
    "denoise": noise_added,
    "super_resolve": made_small,
    "deblur": blurred,
}
