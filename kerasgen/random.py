"""Random numbers that are equal in every runtime.

A counter-based generator made of plain uint32 operations (xor, shift, wrapping
multiplication), so that TensorFlow, JAX, ONNX Runtime and LiteRT compute the same bits.
Every draw is a pure function of (seed of the row, stream, index of the element): a row
never depends on the other rows of its batch, and nothing has hidden state.

A *seed* is a vector of int32 or uint32, one a row. A *stream* is a Python int or an
integer scalar (the step of a loop, say) that separates draws made with one seed.
"""

import math

import numpy as np
from keras import ops

from kerasgen.errors import require

_STEP = 0x9E3779B9  # 2^32 / golden ratio: spreads consecutive streams


def row_seeds(seed: int, n: int) -> np.ndarray:
    """Seeds of the rows of `generate(n, seed)`.

    Row i has (seed * 2654435761 + i) mod 2^32, as int32, so the first four of sixteen
    rows are the four of four. Shape `(n,)`.
    """
    try:
        whole = int(seed) == seed
    except (TypeError, ValueError, OverflowError):
        whole = False
    require(whole, "seed", "a whole number", seed)
    first = int(seed) * 2654435761 % 2**32
    rows = (first + np.arange(n, dtype="uint64")) % 2**32
    return rows.astype("uint32").view("int32")


def fold(seed, *data):
    """A new seed (uint32) for each of `data` folded in; all broadcast together."""
    # Seed 0 must not hash to 0, which every further hash would keep.
    key = _mix(ops.bitwise_xor(ops.cast(seed, "uint32"), _constant(_STEP)))
    for value in data:
        key = _mix(key + _multiply(ops.cast(value, "uint32"), _STEP))
    return key


def uniform(seed, shape=(), stream=0):
    """Uniform float32 in [0, 1), 24 bits each, of shape `(rows, *shape)`."""
    return ops.cast(_shift(_bits(seed, shape, stream), 8), "float32") * 2.0**-24


def normal(seed, shape=(), stream=0):
    """Standard normal float32 of shape `(rows, *shape)`, by Box and Muller (1958)."""
    size = math.prod(shape)
    half = (size + 1) // 2
    u = uniform(seed, (2, half), stream)
    radius = ops.sqrt(-2.0 * ops.log(1.0 - u[:, 0]))
    angle = (2.0 * math.pi) * u[:, 1]
    both = ops.concatenate([radius * ops.cos(angle), radius * ops.sin(angle)], axis=1)
    return ops.reshape(both[:, :size], (-1, *shape))


def gumbel(seed, shape=(), stream=0):
    """Standard Gumbel float32 of shape `(rows, *shape)`; `argmax(logits + g)` samples.

    Uses 23 bits at the middle of their intervals, so that both logarithms are finite.
    """
    return _gumbel(_bits(seed, shape, stream))


def gumbel_at(seed, index, stream=0):
    """Of `gumbel(seed, (n,), stream)` the numbers at `index`, int32 `(rows, m)`, in
    [0, n): float32 of that shape. Only they are computed."""
    key = ops.expand_dims(fold(seed, stream), 1)
    return _gumbel(_mix(ops.bitwise_xor(key, _mix(ops.cast(index, "uint32")))))


def integers(seed, high, shape=(), stream=0):
    """Uniform int32 in [0, high), `high` at most 2^16, of shape `(rows, *shape)`."""
    return ops.cast(ops.floor(uniform(seed, shape, stream) * float(high)), "int32")


def hashed(high, *data):
    """int32 in [0, high), `high` at most 2^23: a fixed function of whole numbers that
    broadcast together."""
    bits = ops.cast(_shift(fold(*data), 8), "float32")
    return ops.cast(ops.floor(bits * (2.0**-24 * high)), "int32")


class Noise:
    """Independent draws for the rows of a batch: each call opens a new stream.

    Args:
        seed: int32 or uint32 of shape `(rows,)`.
    """

    def __init__(self, seed):
        self.seed = seed
        self._streams = 0

    def _next(self) -> int:
        self._streams += 1
        return self._streams - 1

    def uniform(self, shape=()):
        """See `kerasgen.random.uniform`."""
        return uniform(self.seed, shape, self._next())

    def normal(self, shape=()):
        """See `kerasgen.random.normal`."""
        return normal(self.seed, shape, self._next())

    def gumbel(self, shape=()):
        """See `kerasgen.random.gumbel`."""
        return gumbel(self.seed, shape, self._next())

    def integers(self, high, shape=()):
        """See `kerasgen.random.integers`."""
        return integers(self.seed, high, shape, self._next())


def _bits(seed, shape, stream):
    """Random uint32 of shape `(rows, *shape)`."""
    key = ops.expand_dims(fold(seed, stream), 1)
    # Hashed at trace time: half of the work at run time is saved.
    index = _mix_numpy(np.arange(math.prod(shape), dtype="uint32"))
    bits = _mix(ops.bitwise_xor(key, ops.convert_to_tensor(index[None])))
    return ops.reshape(bits, (-1, *shape))


def _gumbel(bits):
    middle = ops.cast(_shift(bits, 9), "float32") + 0.5
    return -ops.log(-ops.log(middle * 2.0**-23))


def _mix(x):
    """The lowbias32 integer hash of C. Wellons (bias 0.17), a bijection of uint32."""
    x = _multiply(ops.bitwise_xor(x, _shift(x, 16)), 0x7FEB352D)
    x = _multiply(ops.bitwise_xor(x, _shift(x, 15)), 0x846CA68B)
    return ops.bitwise_xor(x, _shift(x, 16))


def _mix_numpy(x):
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


# Constants become tensors here, inside the function that is traced: an eager tensor
# captured from outside would be a missing input of an ONNX Loop.
def _constant(value: int):
    return ops.convert_to_tensor(np.uint32(value))


def _shift(x, bits: int):
    return ops.right_shift(x, _constant(bits))


def _multiply(x, factor: int):
    return ops.multiply(x, _constant(factor))
