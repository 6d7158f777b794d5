"""Normalisation that adversarial networks need: of weights, and under a condition."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("kerasgen")
class SpectralNormalization(layers.Wrapper):
    """A dense or convolutional layer with W / sigma(W) for its kernel W.

    Miyato et al. (2018), algorithm 1: sigma, the largest singular value, is estimated
    by power iteration, one a training call, and its gradient flows (eq. 12). Keras's
    own layer of this name overwrites W instead, and has no such gradient.

    Args:
        layer: the layer; shapes are its own.
    """

    def __init__(self, layer, **kwargs):
        # The norm is computed in float32, whatever the layer computes in.
        super().__init__(layer, **{"dtype": "float32"} | kwargs)

    def build(self, input_shape):
        super().build(input_shape)
        self.u = self.add_weight(
            name="u",
            shape=(1, self.layer.kernel.shape[-1]),
            initializer="random_normal",
            trainable=False,
            aggregation="only_first_replica",  # every replica computes the same
        )

    def call(self, inputs, training=False):
        kernel = ops.reshape(self.layer.kernel, (-1, self.u.shape[-1]))
        fixed = ops.stop_gradient(kernel)
        v = _unit(ops.matmul(self.u, ops.transpose(fixed)))
        u = _unit(ops.matmul(v, fixed))
        if training:
            self.u.assign(u)
        sigma = ops.sum(ops.matmul(v, kernel) * u)
        # The layer is linear, so its input may be divided in place of its kernel.
        return self.layer(inputs / sigma)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)


def spectral(layer, on: bool = True):
    """The layer, spectrally normalised if `on`."""
    return SpectralNormalization(layer) if on else layer


def batch_normalization(x, condition=None, momentum=0.99):
    """Batch normalisation of x over all replicas.

    Args:
        x: Keras tensor `(batch, …, channels)`.
        condition: Keras tensor `(batch, size)` that gain and bias depend on, beginning
            with 1 and 0; None for gain and bias of their own. On a vector of latents
            this is self-modulation (Chen et al., 2019), on labels the conditional
            batch normalisation of Miyato & Koyama (2018).
        momentum: of the statistics that are kept for inference.
    """
    own = condition is None
    # JAX sees the whole batch, TensorFlow must be told to.
    everywhere = {"synchronized": keras.backend.backend() == "tensorflow"}
    x = layers.BatchNormalization(-1, momentum, center=own, scale=own, **everywhere)(x)
    if own:
        return x
    shape = (1,) * (len(x.shape) - 2) + (x.shape[-1],)

    def linear():
        dense = layers.Dense(shape[-1], kernel_initializer="zeros", use_bias=False)
        return layers.Reshape(shape)(dense(condition))

    return x * (1.0 + linear()) + linear()


def _unit(x):
    return x / (ops.norm(x) + 1e-12)
