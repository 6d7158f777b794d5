"""Dropout: a stateless function of (seed, step, layer, replica)."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasgen import VAE, InputError
from kerasgen.networks.dropout import Dropout, masks

ONES = np.ones((64, 50), "float32")


def mask(layer, seed):
    with masks(seed):
        return np.asarray(layer(ONES, training=True))


def test_masks_are_a_function_of_their_seed():
    layer = Dropout(0.25)
    np.testing.assert_array_equal(mask(layer, 1), mask(layer, 1))
    assert (mask(layer, 1) != mask(layer, 2)).mean() > 0.2
    assert set(np.unique(mask(layer, 1))) == {0.0, np.float32(1 / 0.75)}
    assert mask(layer, 1).mean() == pytest.approx(1.0, abs=0.05)
    assert not layer.variables


def test_layers_of_a_model_draw_masks_of_their_own():
    layer = Dropout(0.5)
    with masks(1):
        a, b = (np.asarray(layer(ONES, training=True)) for _ in range(2))
    assert (a == b).mean() == pytest.approx(0.5, abs=0.05)


def test_no_dropout_outside_training_and_at_rate_0():
    for layer, training in ((Dropout(0.5), False), (Dropout(0.0), True)):
        np.testing.assert_array_equal(layer(ONES, training=training), ONES)
    outside = np.asarray(Dropout(0.5)(ONES, training=True))  # Keras's own generator
    assert 0.4 < (outside == 0).mean() < 0.6
    with pytest.raises(InputError, match="dropout must be"):
        Dropout(1.0)


def test_replicas_draw_masks_of_their_own(two_replicas):
    """One row, seen by both replicas, is masked in two ways, and so in every run."""
    seen = []

    class Spy(Dropout):
        def call(self, x, training=False):
            x = super().call(x, training)
            if training:
                tf.py_function(lambda v: seen.append(v.numpy()), [x], [])
            return x

    def run():
        seen.clear()
        keras.utils.set_random_seed(0)
        with two_replicas.scope():
            layers = [keras.Input((2, 2, 1)), keras.layers.Flatten(), Spy(0.5)]
            encoder = keras.Sequential([*layers, keras.layers.Dense(4)])
            model = VAE((2, 2, 1), 2, encoder=encoder)
            model.compile(seed=3)
        images = np.ones((64, 2, 2, 1), "float32")
        model.fit(images, batch_size=64, verbose=0, epochs=2, shuffle=False)
        return {value.tobytes() for value in seen}

    first = run()
    assert len(first) == 4  # two steps, two replicas
    assert run() == first
