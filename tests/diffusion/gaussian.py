"""Data of which everything is known: normal pixels, and their optimal denoiser."""

import numpy as np
from keras import ops

from kerasgen import random
from kerasgen.diffusion import schedules
from kerasgen.diffusion.restoration import Restores


class Gaussian(Restores):
    """x_0 ~ N(mean, covariance), as what restorers and samplers ask of a model."""

    image_shape = (1, 2, 1)

    def __init__(self, mean, covariance, schedule="linear", timesteps=1000):
        self.mean = np.array(mean, "float32")
        self.covariance = np.array(covariance, "float32")
        self.alpha_bar = schedules.schedule(schedule, timesteps)
        bar = self.alpha_bar[:, None, None]
        noisy = bar * self.covariance + (1.0 - bar) * np.eye(2)
        # E[x_0 | x_t] = mean + gain (x_t - alpha_t mean)
        gain = np.sqrt(bar) * self.covariance @ np.linalg.inv(noisy)
        self.gain = gain.astype("float32")
        self.alpha = np.sqrt(self.alpha_bar).astype("float32")
        self.restores(200, scale=1)

    def clean(self, x, t):
        off = ops.reshape(x, (-1, 2)) - ops.take(self.alpha, t)[:, None] * self.mean
        x_0 = self.mean + ops.einsum("bij,bj->bi", ops.take(self.gain, t, axis=0), off)
        return ops.reshape(x_0, (-1, 1, 2, 1))

    def inward(self, images):
        return images

    outward = inward


def draws(n, seed=0):
    """stream -> standard normal `(n, 1, 2, 1)`."""
    seeds = random.row_seeds(seed, n)
    return lambda stream: random.normal(seeds, Gaussian.image_shape, stream)
