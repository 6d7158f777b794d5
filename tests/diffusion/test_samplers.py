"""Samplers, on data whose optimal denoiser and exact solution are known."""

import numpy as np
import pytest
import tensorflow as tf
from gaussian import Gaussian, draws

from kerasgen.diffusion import samplers
from kerasgen.errors import InputError

MEAN, COVARIANCE = [0.3, -0.5], [[0.6, 0.35], [0.35, 0.4]]


def sampled(spec, steps, data, n=20_000):
    plan = samplers.plan(spec, data.alpha_bar, steps)
    run = tf.function(lambda: samplers.run(plan, data.clean, draws(n)))
    return run().numpy().reshape(n, 2)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "edm"])
@pytest.mark.parametrize(
    ("spec", "steps"),
    [
        ("ddpm", 300),
        ("ddim", 150),
        ({"name": "ddim", "eta": 0.5}, 300),
        ("heun", 40),
        ("dpm-solver++", 40),
        ({"name": "dpm-solver++", "eta": 1.0}, 60),
    ],
)
def test_a_gaussian_is_sampled(spec, steps, schedule):
    found = sampled(spec, steps, Gaussian(MEAN, COVARIANCE, schedule))
    np.testing.assert_allclose(found.mean(axis=0), MEAN, atol=0.02)
    np.testing.assert_allclose(np.cov(found.T), COVARIANCE, atol=0.03)


def test_ddim_of_eta_1_is_ancestral():
    bar = Gaussian(MEAN, COVARIANCE).alpha_bar
    ancestral, ddim = samplers.ddpm(bar, 37), samplers.ddim(bar, 37, eta=1.0)
    for ours, theirs in zip(ancestral, ddim, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_dpm_solver_of_eta_1_extrapolates_ancestral_steps():
    bar = Gaussian(MEAN, COVARIANCE).alpha_bar
    ancestral = samplers.ddpm(bar, 37, "karras")
    solver = samplers.dpm_solver(bar, 37, eta=1.0)
    for ours, theirs in zip(
        (solver.x, solver.clean + solver.memory, solver.noise),
        (ancestral.x, ancestral.clean, ancestral.noise),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_ancestral_steps_are_the_posterior():
    """Ho et al. (2020), eq. 7, as it is written, over all steps."""
    bar = Gaussian(MEAN, COVARIANCE).alpha_bar
    plan = samplers.plan("ddpm", bar, len(bar))
    before = np.append(1.0, bar[:-1])
    alpha = bar / before
    beta = 1.0 - alpha
    expected = {
        "clean": np.sqrt(before) * beta / (1.0 - bar),
        "x": np.sqrt(alpha) * (1.0 - before) / (1.0 - bar),
        "noise": np.sqrt((1.0 - before) / (1.0 - bar) * beta),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(plan, name), values[::-1], atol=1e-9)


def errors(spec, steps):
    """Of the ODE's solution that ends in N(0, s²), x_T s / spread of x_T."""
    data = Gaussian([0.0, 0.0], np.diag([0.25, 0.25]))
    end = data.alpha_bar[-1]
    start = draws(500)(0).numpy().reshape(500, 2)
    exact = start * 0.5 / np.sqrt(0.25 * end + 1.0 - end)
    return np.abs(sampled(spec, steps, data, 500) - exact).mean()


def test_higher_orders_are_nearer_to_the_exact_solution():
    euler, multistep, heun = (errors(k, 20) for k in ("ddim", "dpm-solver++", "heun"))
    assert max(multistep, heun) < euler / 2
    # Half the step halves the error of the first order, and quarters the second's.
    assert errors("ddim", 40) == pytest.approx(euler / 2, rel=0.1)
    assert errors("dpm-solver++", 40) < multistep / 3.5
    assert errors("heun", 40) < heun / 3.5


def test_rows_of_plans():
    bar = Gaussian(MEAN, COVARIANCE).alpha_bar
    heun = samplers.plan({"name": "heun", "spacing": "even"}, bar, 3)
    assert heun.timesteps.tolist() == [999, 500, 500, 0, 0]
    assert samplers.plan("ddpm", bar, 1).timesteps.tolist() == [999]
    for spec in samplers.SAMPLERS:
        for column in samplers.plan(spec, bar, 1)[1:]:
            assert np.isfinite(column).all()


@pytest.mark.parametrize(
    ("spec", "steps", "message"),
    [
        ("dimm", 5, "did you mean ddim"),
        ({"name": "ddim", "eta": 2.0}, 5, r"eta must be in \[0, 1\]"),
        ({"name": "dpm-solver++", "eta": -1}, 5, r"eta must be in \[0, 1\]"),
        ({"name": "ddpm", "eta": 1.0}, 5, "unknown value of the ddpm sampler"),
        ({"name": "ddim", "spacing": "evn"}, 5, "did you mean even"),
        (["ddim"], 5, "a sampler is a name"),
        ("ddim", 0, "sampling_steps must be from 1 to the 1000"),
        ("ddim", 1001, "sampling_steps must be from 1 to the 1000"),
    ],
)
def test_bad_samplers_get_one_line(spec, steps, message):
    with pytest.raises(InputError, match=message):
        samplers.plan(spec, Gaussian(MEAN, COVARIANCE).alpha_bar, steps)
