"""Learning rates at single steps, against what they are said to be."""

import keras
import numpy as np
import pytest

from kerasgen.models.learning_rates import Cooldown, InverseSquareRoot
from kerasgen.models.phase import Phase
from kerasgen.recipe import Train
from kerasgen.training import loop


def test_the_learning_rate_rises_and_falls():
    rate = InverseSquareRoot(peak=0.1, warmup_steps=100)
    found = [float(rate(step)) for step in (0, 49, 99, 399)]
    np.testing.assert_allclose(found, [0.001, 0.05, 0.1, 0.05], rtol=1e-6)
    saved = keras.saving.serialize_keras_object(rate)
    again = keras.saving.deserialize_keras_object(saved)
    assert float(again(399)) == pytest.approx(0.05)


@pytest.mark.parametrize("before", [InverseSquareRoot(0.1, 100), 0.1])
def test_it_cools_down_in_a_line(before):
    rate = Cooldown(before, steps=400, cooldown_steps=100)
    for step, share in ((0, 1.0), (300, 1.0), (375, 0.25), (400, 0.0), (500, 0.0)):
        value = before(step) if callable(before) else before
        assert float(rate(step)) == pytest.approx(share * float(value))
    saved = keras.saving.serialize_keras_object(rate)
    again = keras.saving.deserialize_keras_object(saved)
    assert float(again(375)) == pytest.approx(float(rate(375)))


def test_a_phase_that_repeats_cools_down_as_long():
    values = Train(learning_rate=0.1, cooldown_steps=10)
    phases = [Phase("once", [], None, []), Phase("thrice", [], None, [], repeats=3)]
    found = loop._optimizers(values, phases, steps=100)
    for name, repeats in (("once", 1), ("thrice", 3)):
        for step, rate in ((0, 0.1), (90, 0.1), (95, 0.05), (100, 0.0)):
            found[name].iterations.assign(step * repeats)
            assert float(found[name].learning_rate) == pytest.approx(rate)
