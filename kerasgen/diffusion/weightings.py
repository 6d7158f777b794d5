"""Weights of time steps in the training loss, for the squared error of the output."""

import numpy as np

from kerasgen.choices import choose
from kerasgen.errors import require


class Simple:
    """1 everywhere (Ho et al., 2020, eq. 14)."""

    def __call__(self, snr, gain):
        return np.ones_like(snr)


class MinSNR:
    """min(SNR, gamma) for the error of x_0 (Hang et al., 2023, section 3.4)."""

    def __init__(self, gamma: float = 5.0):
        require(gamma > 0, "gamma", "above 0", gamma)
        self.gamma = gamma

    def __call__(self, snr, gain):
        return np.minimum(snr, self.gamma) / gain


WEIGHTINGS = {"simple": Simple, "min_snr": MinSNR}


def weights(spec, alpha_bar: np.ndarray, prediction) -> np.ndarray:
    """The weight of each time step, float64, of the weighting that `spec` names.

    Raises:
        InputError: for an unknown name or value.
    """
    snr = alpha_bar / (1.0 - alpha_bar)
    return choose("weighting", spec, WEIGHTINGS)(snr, prediction.gain(snr))
