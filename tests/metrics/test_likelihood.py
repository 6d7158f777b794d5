"""Likelihood figures against a model whose likelihood is known in closed form."""

import keras
import numpy as np
from scipy import stats
from toy import LinearGaussian

from kerasgen import recipe
from kerasgen.data import Split
from kerasgen.metrics.likelihood import elbo, log_likelihood


def model_and_truth():
    rng = np.random.default_rng(0)
    model = LinearGaussian((4, 4, 1), 3, scale=0.5)
    weights = rng.normal(size=(3, 16)).astype("float32") * 0.5
    bias = rng.normal(size=16).astype("float32")
    model.decoder.set_weights([weights, bias])
    covariance = weights.T @ weights + 0.25 * np.eye(16)
    # The exact posterior's mean, and a variance that covers it
    gain = np.linalg.solve(covariance, weights.T)
    model.encoder.set_weights([gain, -bias @ gain])
    model.log_variance.assign(np.log(np.diag(np.eye(3) - weights @ gain)) + 0.3)
    x = rng.multivariate_normal(bias, covariance, size=40).astype("float32")
    truth = stats.multivariate_normal(bias, covariance).logpdf(x)
    return model, x.reshape(-1, 4, 4, 1), truth


def test_estimate_approaches_the_closed_form():
    model, x, truth = model_and_truth()
    batches = [{"images": x[:15]}, {"images": x[15:]}]
    rough = log_likelihood(model.serve, batches, 1)
    fine = log_likelihood(model.serve, batches, 40)
    assert np.abs(fine - truth).max() < 0.1
    assert abs((fine - truth).mean()) < 0.01
    assert np.abs(fine - truth).mean() < np.abs(rough - truth).mean()


def test_the_lower_bound_leaves_the_callers_model_as_it_was():
    """-log p(x) plus the divergence of the posterior, which is known here."""
    model, x, truth = model_and_truth()
    model.compile(keras.optimizers.Adam(0.123), seed=9)
    optimizer, step = model.optimizer, model.train_on_batch
    values = recipe.read("vae_digits")
    split = Split(np.tile(x, (50, 1, 1, 1)))
    value, unit, n, _ = elbo(model, split, values, "")
    # log N(x) - E[log p - log q] = 0.5 (e^0.3 - 1 - 0.3) a coordinate, in its own axes,
    # and what a diagonal posterior lacks besides.
    assert truth.mean() - 5.0 < value < truth.mean() - 3 * 0.5 * (np.exp(0.3) - 1.3)
    assert (unit, n) == ("nats", 2000)
    assert model.optimizer is optimizer and model.train_on_batch == step
    assert float(model.optimizer.learning_rate) == np.float32(0.123) and model.seed == 9


def test_calls_average_weights_not_logarithms():
    scores = iter([np.log([1.0, 2.0]), np.log([3.0, 2.0])])
    serve = lambda name, **rows: {"log_likelihood": next(scores)}  # noqa: E731
    found = log_likelihood(serve, [{"images": np.zeros((2, 1))}], 2)
    np.testing.assert_allclose(found, np.log([2.0, 2.0]))


def test_every_example_and_call_has_its_own_seeds():
    seen = []

    def serve(name, seed, **rows):
        seen.extend(seed.tolist())
        return {"log_likelihood": np.zeros(len(seed))}

    log_likelihood(serve, [{"images": np.zeros((5, 1))}] * 3, 4)
    assert len(set(seen)) == len(seen) == 60
