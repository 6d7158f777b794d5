"""What a network predicts of x_t = alpha x_0 + sigma eps: eps, x_0 or v.

v = alpha eps - sigma x_0 (Salimans & Ho, 2022, appendix D).
"""

from collections.abc import Callable
from typing import NamedTuple


class Prediction(NamedTuple):
    """One kind of output, and how it converts."""

    target: Callable  # (x_0, eps, alpha, sigma) -> what the output should be
    clean: Callable  # (output, x_t, alpha, sigma) -> x_0
    noise: Callable  # (output, x_t, alpha, sigma) -> eps
    gain: (
        Callable  # SNR = alpha² / sigma² -> squared error of the output, x_0's being 1
    )


PREDICTIONS = {
    "eps": Prediction(  # Ho et al. (2020), eq. 14 and 15
        target=lambda clean, eps, alpha, sigma: eps,
        clean=lambda output, x, alpha, sigma: (x - sigma * output) / alpha,
        noise=lambda output, x, alpha, sigma: output,
        gain=lambda snr: snr,
    ),
    "x0": Prediction(
        target=lambda clean, eps, alpha, sigma: clean,
        clean=lambda output, x, alpha, sigma: output,
        noise=lambda output, x, alpha, sigma: (x - alpha * output) / sigma,
        gain=lambda snr: 1.0,
    ),
    "v": Prediction(
        target=lambda clean, eps, alpha, sigma: alpha * eps - sigma * clean,
        clean=lambda output, x, alpha, sigma: alpha * x - sigma * output,
        noise=lambda output, x, alpha, sigma: sigma * x + alpha * output,
        gain=lambda snr: snr + 1.0,
    ),
}
