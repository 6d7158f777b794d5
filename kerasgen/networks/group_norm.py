"""Group normalisation (Wu & He, 2018), as one scale and one shift a channel."""

import keras
from keras import layers, ops

from kerasgen.networks.fused import fused, is_fusing


@keras.saving.register_keras_serializable("kerasgen")
class GroupNorm(layers.Layer):
    """Of images `(batch, height, width, channels)`, in at most 32 groups, of at least 4
    channels.

    Keras's own spreads mean and variance over all places before it applies them, which
    costs a U-Net a fifth of its time.
    """

    def build(self, input_shape):
        channels = input_shape[-1]
        most = max(1, min(32, channels // 4))
        self.groups = max(g for g in range(1, most + 1) if channels % g == 0)
        self.size = channels // self.groups
        self.gain = self.add_weight(name="gain", shape=(channels,), initializer="ones")
        self.bias = self.add_weight(name="bias", shape=(channels,), initializer="zeros")

    def call(self, x):
        gain, bias = self._weights()
        mean, inverse = self._statistics(x)
        scale, shift = self._line(mean, inverse, gain, bias)
        return x * ops.cast(scale, x.dtype) + ops.cast(shift, x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def _weights(self):
        return [ops.cast(weight, "float32") for weight in (self.gain, self.bias)]

    def _statistics(self, x):
        """Mean and 1 / standard deviation, each `(batch, groups, 1)`.

        The variance is the mean of (x - mean)². Where the mean is large, the
        difference E[x²] - E[x]² has no correct digits in float32.
        """
        mean = self._mean_of_groups(ops.cast(x, "float32"))
        ones = ops.ones((1, self.groups, self.size))
        variance = self._mean_of_groups(
            _squared_difference(x, self._spread(mean * ones))
        )
        return mean, ops.rsqrt(variance + 1e-5)

    def _mean_of_groups(self, x):
        """Over places and the channels of a group: `(batch, groups, 1)`."""
        by_channel = self._grouped(ops.mean(x, axis=(1, 2)))
        return ops.mean(by_channel, axis=2, keepdims=True)

    def _line(self, mean, inverse, gain, bias):
        """Scale and shift of each image's channels."""
        scale = self._grouped(gain) * inverse
        return self._spread(scale), self._spread(self._grouped(bias) - mean * scale)

    def _grouped(self, x):
        """Channels -> groups, and channels in each; the batch axis, if any, is open."""
        return ops.reshape(x, (*[-1] * (len(x.shape) - 1), self.groups, self.size))

    def _spread(self, x):
        """Back, to be broadcast over places."""
        return ops.reshape(x, (-1, 1, 1, self.groups * self.size))


@keras.saving.register_keras_serializable("kerasgen")
class GroupNormSiLU(GroupNorm):
    """`GroupNorm`, then SiLU; in training in few passes, forwards and backwards."""

    def call(self, x):
        if not is_fusing():
            return ops.silu(super().call(x))
        return ops.custom_gradient(self._with_gradient)(x, *self._weights())

    def _with_gradient(self, x, gain, bias):
        mean, inverse = self._statistics(x)
        scale, shift = self._line(mean, inverse, gain, bias)

        def gradient(dy):
            dz, product = _silu_gradient(dy, x, scale, shift)
            # Sums over places, of dL/dz and dL/dz times the normalised x.
            sums = [self._grouped(ops.sum(v, axis=(1, 2))) for v in (dz, product)]
            sums[1] = (sums[1] - mean * sums[0]) * inverse
            n = x.shape[1] * x.shape[2] * self.size
            weighted = (self._grouped(gain) * v for v in sums)
            one, x_hat = (ops.sum(v, axis=2, keepdims=True) / n for v in weighted)
            # dx = (dz gain - one - x_hat (x - mean) inverse) inverse
            slope = -x_hat * ops.square(inverse)
            level = -one * inverse - slope * mean
            each = ops.ones((1, self.groups, self.size))
            slope, level = (self._spread(v * each) for v in (slope, level))
            dbias, dgain = (ops.reshape(ops.sum(v, axis=0), (-1,)) for v in sums)
            return _line_gradient(dz, x, scale, slope, level), dgain, dbias

        return _silu_of_line(x, scale, shift), gradient


@fused
def _squared_difference(x, mean):
    return ops.square(ops.cast(x, "float32") - mean)


@fused
def _silu_of_line(x, scale, shift):
    z = ops.cast(x, "float32") * scale + shift
    return ops.cast(z * ops.sigmoid(z), x.dtype)


@fused
def _silu_gradient(dy, x, scale, shift):
    """dL/dz, z = x scale + shift, and that times x."""
    x = ops.cast(x, "float32")
    z = x * scale + shift
    s = ops.sigmoid(z)
    dz = ops.cast(dy, "float32") * s * (1.0 + z * (1.0 - s))
    return dz, dz * x


@fused
def _line_gradient(dz, x, scale, slope, level):
    return ops.cast(dz * scale + ops.cast(x, "float32") * slope + level, x.dtype)
