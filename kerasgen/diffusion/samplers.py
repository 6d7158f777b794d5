"""Samplers: from noise to images in a few steps.

A sampler is a *plan*, a table of numbers that are computed once. At each of its rows
the network estimates x_0 from x at a time step, and x moves on linearly:

    x <- row.x * x + row.clean * x_0 + row.noise * z + row.memory * memory
    memory <- row.kept_x * x + row.kept_clean * x_0

with z fresh noise. So one loop runs all samplers, and a new one is a function here and
its entry in `SAMPLERS`. Below, t is where a step begins and s where it ends.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from keras import ops

from kerasgen.choices import choose
from kerasgen.diffusion.schedules import spaced
from kerasgen.errors import require


class Levels(NamedTuple):
    """The levels of noise that a sampler visits, N and then the clean image."""

    timesteps: np.ndarray  # int32 (N,)
    alpha: np.ndarray  # (N + 1,), the last is 1
    sigma: np.ndarray  # (N + 1,), the last is 0

    @classmethod
    def of(cls, alpha_bar: np.ndarray, steps: int, spacing: str = "even") -> "Levels":
        """`steps` of the levels of a schedule."""
        timesteps = spaced(spacing, alpha_bar, steps)
        chosen = np.append(alpha_bar[timesteps], 1.0)
        return cls(timesteps, np.sqrt(chosen), np.sqrt(1.0 - chosen))

    @property
    def steps(self) -> tuple:
        """alpha and sigma at t, then at s, of every step: each `(N,)`."""
        return self.alpha[:-1], self.sigma[:-1], self.alpha[1:], self.sigma[1:]


class Plan(NamedTuple):
    """A sampler's time steps, and the columns of its table, each `(rows,)`."""

    timesteps: np.ndarray
    x: np.ndarray
    clean: np.ndarray
    noise: np.ndarray
    memory: np.ndarray
    kept_x: np.ndarray
    kept_clean: np.ndarray


def _plan(timesteps, x, clean, noise=0.0, memory=0.0, kept_x=0.0, kept_clean=0.0):
    columns = (x, clean, noise, memory, kept_x, kept_clean)
    return Plan(timesteps, *(np.broadcast_to(c, timesteps.shape) for c in columns))


def ddpm(alpha_bar: np.ndarray, steps: int, spacing: str = "even") -> Plan:
    """Ancestral sampling: x_s from q(x_s | x_t, x_0) (Ho et al., 2020, eq. 7)."""
    levels = Levels.of(alpha_bar, steps, spacing)
    alpha_t, sigma_t, alpha_s, sigma_s = levels.steps
    alpha = alpha_t / alpha_s  # the square root of the paper's alpha_t
    beta = 1.0 - alpha**2
    return _plan(
        levels.timesteps,
        x=alpha * sigma_s**2 / sigma_t**2,
        clean=alpha_s * beta / sigma_t**2,
        noise=np.sqrt(beta) * sigma_s / sigma_t,
    )


def ddim(
    alpha_bar: np.ndarray, steps: int, spacing: str = "even", eta: float = 0.0
) -> Plan:
    """Song et al. (2021), eq. 12 and 16: eta 0 has no noise, 1 is `ddpm`."""
    require(0 <= eta <= 1, "eta", "in [0, 1]", eta)
    levels = Levels.of(alpha_bar, steps, spacing)
    alpha_t, sigma_t, alpha_s, sigma_s = levels.steps
    noise = eta * sigma_s / sigma_t * np.sqrt(1.0 - (alpha_t / alpha_s) ** 2)
    # "Direction pointing to x_t": the factor of eps = (x - alpha_t x_0) / sigma_t.
    direction = np.sqrt(sigma_s**2 - noise**2)
    x = direction / sigma_t
    return _plan(levels.timesteps, x=x, clean=alpha_s - alpha_t * x, noise=noise)


def heun(alpha_bar: np.ndarray, steps: int, spacing: str = "karras") -> Plan:
    """Karras et al. (2022), algorithm 1 without churn, of x / alpha at sigma / alpha.

    There dx/dsigma = eps. Rows alternate: an Euler step (line 5), which keeps eps, and
    the correction of the 2nd order (lines 7-8), but for the last step. N steps call
    the network 2 N - 1 times.
    """
    levels = Levels.of(alpha_bar, steps, spacing)
    alpha_t, sigma_t, _, _ = levels.steps
    euler = ddim(alpha_bar, steps, spacing)
    euler = euler._replace(kept_x=1.0 / sigma_t, kept_clean=-alpha_t / sigma_t)
    # x + alpha_s h / 2 (eps' - eps), where eps' = (x - alpha_s x_0) / sigma_s
    alpha_t, sigma_t, alpha_s, sigma_s = (values[:-1] for values in levels.steps)
    half = 0.5 * alpha_s * (sigma_s / alpha_s - sigma_t / alpha_t)
    correction = _plan(
        levels.timesteps[1:],
        x=1.0 + half / sigma_s,
        clean=-half * alpha_s / sigma_s,
        memory=-half,
    )
    rows = zip(euler, correction, strict=True)
    return Plan(*(np.insert(a, np.arange(1, len(a)), b) for a, b in rows))


def dpm_solver(
    alpha_bar: np.ndarray, steps: int, spacing: str = "karras", eta: float = 0.0
) -> Plan:
    """DPM-Solver++ (2M) (Lu et al., 2022b): of the ODE (algorithm 2) at eta 0, of the
    SDE (section 6) at 1, where every step of the first order would be `ddpm`'s.

    The first step has no x_0 before it, and the last, to sigma 0, is of infinite
    length h in lambda: both are of the first order.
    """
    require(0 <= eta <= 1, "eta", "in [0, 1]", eta)
    levels = Levels.of(alpha_bar, steps, spacing)
    alpha_t, sigma_t, alpha_s, sigma_s = levels.steps
    decay = alpha_t / sigma_t * sigma_s / alpha_s  # exp(-h)
    clean = alpha_s * (1.0 - decay ** (1.0 + eta))
    h = -np.log(decay[:-1])
    extrapolation = np.zeros_like(decay)  # 1 / (2 r), r = h of the step before / h
    extrapolation[1:-1] = h[1:] / (2.0 * h[:-1])
    return _plan(
        levels.timesteps,
        x=sigma_s / sigma_t * decay**eta,
        clean=clean * (1.0 + extrapolation),
        noise=sigma_s * np.sqrt(1.0 - decay ** (2.0 * eta)),
        memory=-clean * extrapolation,
        kept_clean=1.0,
    )


SAMPLERS = {"ddpm": ddpm, "ddim": ddim, "heun": heun, "dpm-solver++": dpm_solver}


def plan(spec, alpha_bar: np.ndarray, steps: int) -> Plan:
    """The plan of the sampler that `spec` names, over `steps` levels of a schedule.

    Raises:
        InputError: for an unknown name or value, or more steps than the schedule has.
    """
    return choose("sampler", spec, SAMPLERS, alpha_bar, steps)


def run(
    plan: Plan,
    clean: Callable,
    draw: Callable,
    x=None,
    first=0,
    revise: Callable = None,
):
    """Sample by a plan; the whole loop is one graph operation.

    Args:
        plan: the sampler.
        clean: (x `(batch, …)`, time step int32 `(batch,)`) -> estimate of x_0.
        draw: stream -> standard normal noise `(batch, …)`. Stream 0 is the start, row
            i of the plan takes i + 1.
        x: where to start; default noise.
        first: the row to start at.
        revise: (row, x, x before the step) -> x, after each step.
    Returns:
        The last x.
    """
    table = np.stack(plan[1:], axis=1).astype("float32")

    def body(i, x, memory):
        # Constants are made in here: one from outside would be a state of ONNX's Loop.
        row = Plan(
            None, *ops.unstack(ops.take(ops.convert_to_tensor(table), i, axis=0))
        )
        t = ops.take(ops.convert_to_tensor(plan.timesteps), i)
        x_0 = clean(x, ops.zeros_like(x[:, 0, 0, 0], "int32") + t)
        after = row.x * x + row.clean * x_0
        if plan.noise.any():
            after += row.noise * draw(i + 1)
        if plan.memory.any():
            after += row.memory * memory
            memory = row.kept_x * x + row.kept_clean * x_0
        if revise is not None:
            after = revise(i, after, x)
        return i + 1, after, memory

    x = draw(0) if x is None else x
    start = (first, x, ops.zeros_like(x))
    return ops.while_loop(lambda i, *_: i < len(table), body, start)[1]
