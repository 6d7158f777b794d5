"""Dropout without hidden state."""

import contextlib
import math
import threading
from collections.abc import Iterator

import keras
from keras import layers, ops

from kerasgen import random
from kerasgen.errors import require

_scope = threading.local()  # replicas are traced in threads of their own


@contextlib.contextmanager
def masks(seed) -> Iterator[None]:
    """Dropout layers called inside draw their masks from `seed`.

    Each call of a layer takes the next stream, so masks are a pure function of the
    seed and of the order in which a model calls its layers.

    Args:
        seed: integer scalar. A training step folds the run's seed, the step, the phase
            and the replica into it: replicas differ, and a resumed run is exact.
    """
    before = getattr(_scope, "seeds", None)
    _scope.seeds = _Seeds(seed)
    try:
        yield
    finally:
        _scope.seeds = before


@keras.saving.register_keras_serializable("kerasgen")
class Dropout(layers.Layer):
    """Zeros a share `rate` of the numbers in training (Srivastava et al., 2014).

    Keras's own keeps a counter as state, which resuming loses and which is the same
    on every replica. Outside `masks` it draws from Keras's global generator.

    Drawing is most of the work, so each number gets a byte of its own, not a word: what
    is dropped is `rate`, rounded to 1/256.

    Args:
        rate: in [0, 1).
    """

    def __init__(self, rate: float, **kwargs):
        super().__init__(**kwargs)
        require(0.0 <= rate < 1.0, "dropout", "in [0, 1)", rate)
        self.rate = rate

    def call(self, x, training=False):
        if not training or self.rate == 0.0:
            return x
        dropped = min(max(1, round(256 * self.rate)), 255)  # of 256
        kept = ops.cast(_bytes(ops.shape(x)) >= dropped, x.dtype)
        return x * (kept * (256 / (256 - dropped)))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"rate": self.rate}


def _bytes(shape):
    """Random uint8, from the seeds of the scope."""
    n = math.prod(shape)
    seeds = getattr(_scope, "seeds", None)
    words = keras.random.randint(((n + 3) // 4, 1), -(2**31), 2**31 - 1, seed=seeds)
    return ops.reshape(ops.reshape(ops.view(words, "uint8"), (-1,))[:n], shape)


class _Seeds(keras.random.SeedGenerator):
    """Hands Keras's stateless generators one key after the other, without a variable.

    The counter-based generator of `kerasgen.random` would do, but is too slow for
    whole activations, and no runtime needs these numbers again.
    """

    def __init__(self, seed):
        self.seed, self.drawn = seed, 0

    def next(self, ordered=True):
        self.drawn += 1
        halves = [random.fold(self.seed, self.drawn, half) for half in (0, 1)]
        return ops.stack(halves)
