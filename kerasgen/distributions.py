"""Distributions: likelihoods of images given a decoder's output, and normals.

A likelihood turns the decoder's output (*parameters*, `(…, height, width,
parameters_per_channel * channels)`) into a distribution over images in [0, 1].
"""

import math

from keras import ops

from kerasgen.choices import choose
from kerasgen.errors import require


class Bernoulli:
    """Each pixel is 1 with probability sigmoid(logit).

    Grey pixels count as the probability of a white one (cross-entropy).
    """

    parameters_per_channel = 1

    def log_prob(self, images, logits):
        """Sum over height, width and channels: nats, shape `(…,)`."""
        return _sum_pixels(images * logits - _softplus(logits))

    def mean(self, logits):
        """The expected image, in [0, 1]."""
        return ops.sigmoid(logits)


class Gaussian:
    """Each pixel is normal around the decoder's output, with one fixed deviation.

    Args:
        scale: standard deviation, in units of the pixel range [0, 1].
    """

    parameters_per_channel = 1

    def __init__(self, scale: float = 0.1):
        require(scale > 0, "scale", "above 0", scale)
        self.scale = scale

    def log_prob(self, images, means):
        """Log-density, summed over pixels: nats, shape `(…,)`."""
        log_scale = math.log(self.scale)
        return _sum_pixels(_normal_log_prob(images, means, log_scale))

    def mean(self, means):
        """The expected image, clipped to [0, 1]."""
        return ops.clip(means, 0.0, 1.0)


class DiscretizedLogistic:
    """Each pixel is one of `levels` greys; a logistic density is summed over its bin.

    Salimans et al. (2017), eq. 2, with one component. Half of the decoder's channels
    are means, half log-scales; outermost bins reach to infinity.

    Args:
        levels: number of grey levels: 256 for 8-bit images, 17 for the 8×8 digits.
    """

    parameters_per_channel = 2

    def __init__(self, levels: int = 256):
        require(levels >= 2, "levels", "at least 2", levels)
        self.levels = levels

    def log_prob(self, images, parameters):
        """Log-probability, summed over pixels: nats, shape `(…,)`."""
        means, log_scales = self._split(parameters)
        half_bin = 0.5 / (self.levels - 1)
        x = ops.round(images * (self.levels - 1)) / (self.levels - 1)
        inverse = ops.exp(-log_scales)
        above = (x - means + half_bin) * inverse
        below = (x - means - half_bin) * inverse
        # log(sigmoid(a) - sigmoid(b)), without cancellation
        inside = -_softplus(-above) - _softplus(below)
        inside += ops.log(1.0 - ops.exp(-2.0 * half_bin * inverse))
        dark = ops.where(x < half_bin, -_softplus(-above), inside)
        return _sum_pixels(ops.where(x > 1.0 - half_bin, -_softplus(below), dark))

    def mean(self, parameters):
        """The location of the density, clipped to [0, 1]."""
        return ops.clip(self._split(parameters)[0], 0.0, 1.0)

    def _split(self, parameters):
        means, log_scales = ops.split(parameters, 2, axis=-1)
        # Output 0 is mid-grey with the scale of a broad guess. A scale above 1 would be
        # flat over the pixel range, and 1 - exp(-bin) would lose its digits.
        return ops.sigmoid(means), ops.clip(log_scales - 2.0, -7.0, 0.0)


LIKELIHOODS = {
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "discretized_logistic": DiscretizedLogistic,
}


def likelihood(spec):
    """The likelihood that `spec` names: "gaussian", {"name": "gaussian", "scale": 1}.

    Raises:
        InputError: for an unknown name or value.
    """
    return choose("likelihood", spec, LIKELIHOODS)


def normal_log_prob(x, mean=0.0, log_variance=0.0):
    """Log-density of a diagonal normal, summed over the last axis, in nats."""
    return ops.sum(_normal_log_prob(x, mean, 0.5 * log_variance), axis=-1)


def normal_kl(mean, log_variance):
    """KL(N(mean, variance) || N(0, 1)) of each coordinate, in nats.

    Kingma & Welling (2014), appendix B.
    """
    return 0.5 * (ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance)


def log_mean_exp(x):
    """log(mean(exp(x))) over the last axis."""
    return ops.logsumexp(x, axis=-1) - math.log(x.shape[-1])


def _normal_log_prob(x, mean, log_scale):
    z = (x - mean) * ops.exp(-ops.cast(log_scale, "float32"))
    return -0.5 * ops.square(z) - log_scale - 0.5 * math.log(2 * math.pi)


def _softplus(x):
    """log(1 + exp(x)) of operations that every runtime computes well.

    LiteRT's own overflows above 88; ONNX has no log1p.
    """
    return ops.relu(x) + ops.log(1.0 + ops.exp(-ops.abs(x)))


def _sum_pixels(values):
    return ops.sum(values, axis=(-3, -2, -1))
