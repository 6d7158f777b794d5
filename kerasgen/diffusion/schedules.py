"""Noise schedules: alpha_bar of each time step, float64 numbers that fall towards 0."""

import numpy as np

from kerasgen.choices import choose
from kerasgen.errors import require, require_positive


def linear(steps: int, first: float = 1e-4, last: float = 0.02) -> np.ndarray:
    """beta grows linearly (Ho et al., 2020, section 4).

    Args:
        first, last: beta of the first and last of 1,000 steps; fewer are larger ones.
    """
    require(
        0 < first <= last < 1, "first and last", "0 < first <= last < 1", (first, last)
    )
    beta = np.linspace(first, last, steps) * (1000 / steps)
    return np.cumprod(1.0 - np.minimum(beta, 0.999))


def cosine(steps: int, offset: float = 0.008) -> np.ndarray:
    """alpha_bar is a squared cosine (Nichol & Dhariwal, 2021, eq. 17)."""
    require(0 <= offset < 1, "offset", "in [0, 1)", offset)
    t = np.arange(steps + 1) / steps
    f = np.cos((t + offset) / (1 + offset) * np.pi / 2) ** 2
    beta = np.minimum(1.0 - f[1:] / f[:-1], 0.999)
    return np.cumprod(1.0 - beta)


def edm(
    steps: int, smallest: float = 0.002, largest: float = 80.0, rho: float = 7.0
) -> np.ndarray:
    """sigma / alpha from `smallest` to `largest` (Karras et al., 2022, eq. 5)."""
    order = "0 < smallest < largest"
    require(0 < smallest < largest, "smallest and largest", order, (smallest, largest))
    require(rho > 0, "rho", "above 0", rho)
    ratio = np.linspace(smallest ** (1 / rho), largest ** (1 / rho), steps) ** rho
    return 1.0 / (1.0 + ratio**2)


SCHEDULES = {"linear": linear, "cosine": cosine, "edm": edm}


def schedule(spec, steps: int) -> np.ndarray:
    """alpha_bar `(steps,)` of the schedule that `spec` names.

    Raises:
        InputError: for an unknown name or value.
    """
    require_positive(timesteps=steps)
    return choose("schedule", spec, SCHEDULES, steps)


def even(alpha_bar: np.ndarray, steps: int) -> np.ndarray:
    """Time steps at equal distances, from the last to the first."""
    return np.linspace(len(alpha_bar) - 1, 0, steps)


def karras(alpha_bar: np.ndarray, steps: int) -> np.ndarray:
    """sigma / alpha from at most 80 down, as in `edm`, with rho 7."""
    ratio = np.sqrt((1.0 - alpha_bar) / alpha_bar)
    wanted = (
        np.linspace(min(ratio[-1], 80.0) ** (1 / 7), ratio[0] ** (1 / 7), steps) ** 7
    )
    return np.interp(np.log(wanted), np.log(ratio), np.arange(len(ratio)))


SPACINGS = {"even": even, "karras": karras}


def spaced(spacing: str, alpha_bar: np.ndarray, steps: int) -> np.ndarray:
    """`steps` different time steps, int32, falling, as the spacing of that name says.

    Raises:
        InputError: for an unknown name, or more steps than the schedule has.
    """
    within = f"from 1 to the {len(alpha_bar)} timesteps"
    require(1 <= steps <= len(alpha_bar), "sampling_steps", within, steps)
    rising = np.round(choose("spacing", spacing, SPACINGS, alpha_bar, steps)[::-1])
    number = np.arange(steps)
    different = np.maximum.accumulate(rising - number) + number
    possible = np.minimum(different, len(alpha_bar) - steps + number)
    return possible[::-1].astype("int32")
