"""The variational bound, where it is known in closed form."""

import numpy as np

from kerasgen.diffusion.schedules import schedule
from kerasgen.metrics import bound
from kerasgen.random import row_seeds


def test_the_bound_of_a_gaussian():
    """x_0 ~ N(0, s²): E[x_0 | x_t] errs by s² sigma² / (alpha² s² + sigma²)."""
    n, variance, bar = 20_000, 0.09, schedule("cosine", 100)
    x_0 = np.random.default_rng(0).normal(size=(n, 2)).astype("float32")
    x_0 *= np.float32(np.sqrt(variance))

    def estimate(x, t, alpha, sigma):
        return alpha * variance / (alpha**2 * variance + sigma**2) * x

    found = bound.terms(bar, estimate, x_0, row_seeds(0, n), draws=4)
    snr = bar / (1 - bar)
    error = variance * (1 - bar) / (bar * variance + 1 - bar)
    between = 2 * np.sum(0.5 * (snr[:-1] - snr[1:]) * error[1:])
    prior = bar[-1] * (variance - 1) - np.log(1 - bar[-1])
    for name, expected in (("between", between), ("prior", prior)):
        standard_error = found[name].std() / np.sqrt(n)
        assert standard_error < 0.02 * abs(expected)
        assert abs(found[name].mean() - expected) < 4 * standard_error


def test_a_pixel_has_one_of_its_levels():
    levels = 17
    x = np.linspace(-1, 1, levels)
    for mean in (-1.5, 0.03, 0.98):
        for scale in (0.01, 0.3):
            log_p = bound.discretized(x, np.full(levels, mean), scale, levels)
            assert np.isfinite(log_p).all()
            np.testing.assert_allclose(np.exp(log_p).sum(), 1.0, rtol=1e-9)
