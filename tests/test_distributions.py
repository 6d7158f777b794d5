"""Distributions against closed forms."""

import itertools

import numpy as np
import pytest
from scipy import stats

from kerasgen import distributions
from kerasgen.errors import InputError


def test_bernoulli_sums_to_one_over_all_images():
    images = np.array(list(itertools.product([0.0, 1.0], repeat=4)), "float32")
    logits = np.array([0.3, -2.0, 100.0, 1.0], "float32").reshape(1, 2, 2, 1)
    log_prob = distributions.Bernoulli().log_prob(images.reshape(-1, 2, 2, 1), logits)
    np.testing.assert_allclose(np.exp(log_prob).sum(), 1.0, rtol=1e-5)


def test_gaussian_is_scipys():
    x, mean = np.random.default_rng(0).normal(size=(2, 3, 2, 2, 1)).astype("float32")
    log_prob = distributions.Gaussian(0.3).log_prob(x, mean)
    expected = stats.norm.logpdf(x, mean, 0.3).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5)


@pytest.mark.parametrize("log_scale", [-9.0, -2.0, 0.0, 3.0])
def test_discretized_logistic_sums_to_one_over_levels(log_scale):
    levels = np.linspace(0, 1, 17, dtype="float32").reshape(-1, 1, 1, 1)
    parameters = np.array([0.4, log_scale], "float32").reshape(1, 1, 1, 2)
    log_prob = distributions.DiscretizedLogistic(17).log_prob(levels, parameters)
    assert np.all(np.isfinite(log_prob))
    np.testing.assert_allclose(np.exp(log_prob).sum(), 1.0, rtol=1e-4)


def test_means_are_images():
    parameters = np.random.default_rng(0).normal(size=(2, 3, 3, 2), scale=5)
    for kind in distributions.LIKELIHOODS.values():
        channels = 2 // kind.parameters_per_channel
        mean = np.asarray(kind().mean(parameters.astype("float32")))
        assert mean.shape == (2, 3, 3, channels)
        assert mean.min() >= 0 and mean.max() <= 1


def test_normal_kl_is_the_monte_carlo_mean():
    mean, log_variance = np.float32([0.5, -1.0]), np.float32([-1.0, 0.3])
    z = np.random.default_rng(0).normal(size=(400_000, 2)).astype("float32")
    z = mean + np.exp(0.5 * log_variance) * z
    q = distributions.normal_log_prob(z, mean, log_variance)
    sampled = np.mean(np.asarray(q) - np.asarray(distributions.normal_log_prob(z)))
    closed = np.sum(distributions.normal_kl(mean, log_variance))
    np.testing.assert_allclose(sampled, closed, atol=0.01)


def test_unknown_names_and_values_are_refused():
    with pytest.raises(InputError, match="did you mean bernoulli"):
        distributions.likelihood("bernouli")
    with pytest.raises(InputError, match="did you mean scale"):
        distributions.likelihood({"name": "gaussian", "scal": 1.0})
    with pytest.raises(InputError, match="scale must be above 0"):
        distributions.likelihood({"name": "gaussian", "scale": 0.0})
