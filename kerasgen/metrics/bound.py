"""The variational bound of diffusion models (Ho et al., 2020, eq. 5)."""

import math

import numpy as np
from scipy.special import log_ndtr

from kerasgen.data.stream import arrays
from kerasgen.random import Noise, row_seeds

SIGNATURE = "predict_noise"
FIGURES = ("bits_per_dim",)
VALUES = ("seed", "batch_size", "bound_draws")
# Those of samplers and restorers.
IGNORED = (
    "sampler",
    "sampling_steps",
    "guidance",
    "restoration_steps",
    "resampling",
    "scale",
    "blur",
)


def terms(alpha_bar, estimate, x_0, seeds, draws: int, levels: int = 256) -> dict:
    """L_T, the sum of L_{t-1}, and L_0, each `(n,)` nats, of images x_0 in [-1, 1].

    With the variance of q(x_{t-1} | x_t, x_0), each L_{t-1} is half the difference of
    the signal-to-noise ratios, times the squared error of x_0 (Kingma et al., 2021, eq.
    13-14). Their sum is estimated from `draws` time steps, one from each of as many
    equal parts of the time.

    Args:
        alpha_bar: float64 `(T,)`.
        estimate: (x_t, t int32 `(n,)`, noise levels alpha and sigma) -> x_0.
        x_0: float32 `(n, …)`.
        seeds: int32 `(n,)`.
        draws: at least 1.
        levels: grey levels, for L_0.
    """
    noise, axes = Noise(seeds), tuple(range(1, x_0.ndim))
    shape = (-1, *(1 for _ in axes))

    def guess(t):
        alpha, sigma = (
            np.sqrt(v)[t].reshape(shape).astype("float32")
            for v in (alpha_bar, 1.0 - alpha_bar)
        )
        eps = np.asarray(noise.normal(x_0.shape[1:]))
        return estimate(alpha * x_0 + sigma * eps, t, alpha, sigma)

    steps, snr = len(alpha_bar) - 1, alpha_bar / (1.0 - alpha_bar)
    between = np.zeros(len(x_0))
    for part in range(draws):
        u = np.asarray(noise.uniform(), "float64")
        t = 1 + (steps * (part + u) / draws).astype("int32")
        error = np.sum((x_0 - guess(t)) ** 2, axis=axes, dtype="float64")
        between += 0.5 * (snr[t - 1] - snr[t]) * error * steps / draws
    last, first = alpha_bar[-1], math.sqrt(1.0 - alpha_bar[0])
    spread = last * x_0.astype("float64") ** 2 - last - math.log(1.0 - last)
    mean = guess(np.zeros(len(x_0), "int32"))
    return {
        "prior": 0.5 * np.sum(spread, axis=axes),
        "between": between,
        "decoder": -np.sum(discretized(x_0, mean, first, levels), axis=axes),
    }


def discretized(x, mean, scale: float, levels: int) -> np.ndarray:
    """log-probability of the bin of each x in [-1, 1] under a normal (eq. 13)."""
    half = 1.0 / (levels - 1)
    x, mean = x.astype("float64"), np.asarray(mean, "float64")
    above = np.where(x > 1.0 - half, np.inf, (x - mean + half) / scale)
    below = np.where(x < half - 1.0, -np.inf, (x - mean - half) / scale)
    # The lighter tail of the two, where differences keep their digits.
    flip = below > 0
    high, low = np.where(flip, -below, above), np.where(flip, -above, below)
    top = log_ndtr(high)
    return top + np.log1p(-np.exp(log_ndtr(low) - top))


def figures(model, serve, split, training, recipe, progress) -> dict:
    """`bits_per_dim`, an upper bound."""
    values, first, found = recipe.evaluate, 0, []
    batches = arrays(
        split,
        values.batch_size,
        values.seed,
        recipe.input.binarize,
        model.preprocess,
    )
    total = math.ceil(len(split) / values.batch_size)
    for batch in progress(batches, "bits_per_dim", total):
        x_0 = 2.0 * batch.pop("images") - 1.0

        def estimate(x, t, alpha, sigma, labels=batch):
            inputs = {"noisy_images": x, "timestep": t} | labels
            x_0 = (x - sigma * serve(SIGNATURE, **inputs)["noise"]) / alpha
            return np.clip(x_0, -1.0, 1.0) if model.clip else x_0

        seeds = row_seeds(values.seed, first + len(x_0))[first:]
        parts = terms(
            model.alpha_bar, estimate, x_0, seeds, values.bound_draws, model.levels
        )
        found.append(sum(parts.values()))
        first += len(x_0)
    bits = np.concatenate(found) / (math.prod(split.x.shape[1:]) * math.log(2))
    given = ", given labels" if model.classes else ""
    protocol = (
        f"variational bound{given}, {values.bound_draws} of {model.timesteps} time "
        f"steps an example, s.e. {bits.std() / math.sqrt(len(bits)):.2g}"
    )
    return {"bits_per_dim": (bits.mean(), "bits", len(bits), protocol)}
