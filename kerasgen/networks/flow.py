"""Normalising flows: invertible networks with a known density."""

import keras
from keras import layers, ops

from kerasgen.distributions import normal_log_prob
from kerasgen.errors import require, require_positive


@keras.saving.register_keras_serializable("kerasgen")
class CouplingFlow(keras.Model):
    """RealNVP on vectors (Dinh et al., 2017): a learned density on R^size.

    Each layer keeps one half of the coordinates, a, and maps the other to
    b * exp(s(a)) + t(a) (eq. 7-8), halves swapping from layer to layer. s is bounded
    by a scaled tanh. At the start of training the flow is the identity, so the
    density is the standard normal one.

    Args:
        size: number of coordinates, at least 2.
        depth: number of coupling layers.
        width: width of the two hidden layers of each.
    """

    def __init__(self, size: int, depth: int = 4, width: int = 128, **kwargs):
        super().__init__(**kwargs)
        require_positive(depth=depth, width=width)
        require(size >= 2, "size", "at least 2", size)
        self.size, self.depth, self.width = size, depth, width
        self.kept = size // 2
        # Alternately the first and the last coordinates are kept.
        self.sizes = [self.kept if i % 2 else size - self.kept for i in range(depth)]
        self.couplings = [_coupling(size - moved, moved, width) for moved in self.sizes]
        self.built = True

    def call(self, noise):
        """Standard normal `(batch, size)` -> a sample of the learned density."""
        z = noise
        for i in reversed(range(self.depth)):
            a, b = self._halves(z, i)
            shift, log_scale = self._parameters(a, i)
            z = self._join(a, b * ops.exp(log_scale) + shift, i)
        return z

    def inverse(self, z):
        """A sample `(batch, size)` -> the noise that `call` makes it from, and
        log |det| of that map, `(batch,)`."""
        log_det = 0.0
        for i in range(self.depth):
            a, b = self._halves(z, i)
            shift, log_scale = self._parameters(a, i)
            z = self._join(a, (b - shift) * ops.exp(-log_scale), i)
            log_det -= ops.sum(log_scale, axis=1)
        return z, log_det

    def log_prob(self, z):
        """Log-density of each row of `(batch, size)`, in nats: `(batch,)` (eq. 2)."""
        noise, log_det = self.inverse(z)
        return normal_log_prob(noise) + log_det

    def _halves(self, z, i):
        """-> the kept half, the half that moves."""
        cut = self.size - self.sizes[i]
        if i % 2:
            return z[:, self.sizes[i] :], z[:, : self.sizes[i]]
        return z[:, :cut], z[:, cut:]

    def _join(self, a, b, i):
        return ops.concatenate([b, a] if i % 2 else [a, b], axis=1)

    def _parameters(self, a, i):
        shift, log_scale = ops.split(self.couplings[i](a), 2, axis=1)
        return shift, 2.0 * ops.tanh(log_scale / 2.0)

    def get_config(self):
        config = {"size": self.size, "depth": self.depth, "width": self.width}
        return config | {"name": self.name}


def _coupling(inputs, outputs, width):
    network = [
        layers.Input((inputs,)),
        layers.Dense(width, activation="relu"),
        layers.Dense(width, activation="relu"),
        layers.Dense(2 * outputs, kernel_initializer="zeros", dtype="float32"),
    ]
    return keras.Sequential(network)
