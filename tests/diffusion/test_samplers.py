"""Samplers, on data whose optimal denoiser and exact solution are known."""

import numpy as np
import pytest
import tensorflow as tf
from gaussian import Gaussian, draws

from kerasgen.diffusion import samplers
from kerasgen.diffusion.samplers import Plan
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


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_ddim_of_any_eta_is_the_papers(eta):
    """Song et al. (2021), eq. 12 and 16, as they are written."""
    data = Gaussian(MEAN, COVARIANCE)
    plan = samplers.ddim(data.alpha_bar, 10, eta=eta)
    bar = data.alpha_bar[plan.timesteps]
    before = np.append(bar[1:], 1.0)
    sigma = eta * np.sqrt((1 - before) / (1 - bar)) * np.sqrt(1 - bar / before)
    x, x_0 = 0.7, -0.4
    eps = (x - np.sqrt(bar) * x_0) / np.sqrt(1 - bar)
    expected = np.sqrt(before) * x_0 + np.sqrt(1 - before - sigma**2) * eps
    np.testing.assert_allclose(plan.x * x + plan.clean * x_0, expected, atol=1e-9)
    np.testing.assert_allclose(plan.noise, sigma, atol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_the_first_step_of_dpm_solver_is_that_of_the_sde(eta):
    """Exact, of x_t and a constant x_0: with h = the growth of log(alpha / sigma),
    sigma_s / sigma_t exp(-eta h) x + alpha_s (1 - exp(-(1 + eta) h)) x_0, and noise
    that makes up the rest of the variance."""
    bar = Gaussian(MEAN, COVARIANCE).alpha_bar
    plan = samplers.dpm_solver(bar, 10, eta=eta)
    alpha, sigma = (np.sqrt(v)[plan.timesteps[:2]] for v in (bar, 1 - bar))
    h = np.diff(np.log(alpha / sigma))[0]
    shrunk = sigma[1] / sigma[0] * np.exp(-eta * h)
    clean = alpha[1] * (1 - np.exp(-(1 + eta) * h))
    noise = sigma[1] * np.sqrt(1 - np.exp(-2 * eta * h))
    found = plan.x[0], plan.clean[0], plan.noise[0], plan.memory[0]
    np.testing.assert_allclose(found, [shrunk, clean, noise, 0.0], atol=1e-9)
    # x_0 is kept exactly: alpha_t x_0 + sigma_t eps becomes alpha_s x_0 + …
    assert shrunk * alpha[0] + clean == pytest.approx(alpha[1])
    assert (shrunk * sigma[0]) ** 2 + noise**2 == pytest.approx(sigma[1] ** 2)


@pytest.mark.parametrize("spec", ["ddpm", "heun", {"name": "dpm-solver++", "eta": 0.5}])
def test_a_run_takes_the_rows_of_its_plan_with_noise_of_their_own(spec):
    """The loop, written out: stream 0 is where it starts, row i takes stream i + 1."""
    data, n = Gaussian(MEAN, COVARIANCE), 6
    plan = samplers.plan(spec, data.alpha_bar, 5)
    x, memory, draw = draws(n)(0).numpy(), np.zeros((n, 1, 2, 1)), draws(n)
    for i, t in enumerate(plan.timesteps):
        row = Plan(t, *(column[i] for column in plan[1:]))
        x_0 = np.asarray(data.clean(tf.constant(x, tf.float32), np.full(n, t, "int32")))
        after = row.x * x + row.clean * x_0 + row.memory * memory
        after += row.noise * draw(i + 1).numpy()
        memory = row.kept_x * x + row.kept_clean * x_0
        x = after
    found = samplers.run(plan, data.clean, draw)
    np.testing.assert_allclose(found, x, atol=1e-4)


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
