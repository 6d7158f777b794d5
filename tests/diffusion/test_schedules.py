"""Schedules, predictions and weightings, against their papers."""

import numpy as np
import pytest

from kerasgen.diffusion.predictions import PREDICTIONS
from kerasgen.diffusion.schedules import SCHEDULES, schedule, spaced
from kerasgen.diffusion.weightings import weights
from kerasgen.errors import InputError


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [100, 1000])
def test_schedules_fall_from_almost_one_to_almost_nothing(name, steps):
    bar = schedule(name, steps)
    assert bar.shape == (steps,) and (np.diff(bar) < 0).all()
    assert bar[0] > 0.99 and 0 < bar[-1] < 2e-3


def test_schedules_of_the_papers():
    linear = schedule("linear", 1000)
    assert linear[0] == pytest.approx(1 - 1e-4)
    assert 1 - linear[-1] / linear[-2] == pytest.approx(0.02)
    # Nichol & Dhariwal: alpha_bar is f(t) / f(0), f a squared cosine
    f = np.cos((0.5 + 0.008) / 1.008 * np.pi / 2) ** 2
    f_0 = np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    assert schedule("cosine", 1000)[499] == pytest.approx(f / f_0)
    bar = schedule("edm", 18)
    sigma = np.sqrt((1 - bar) / bar)
    assert sigma[[0, -1]] == pytest.approx([0.002, 80.0])
    assert sigma[9] == pytest.approx(
        (0.002 ** (1 / 7) * 8 / 17 + 80 ** (1 / 7) * 9 / 17) ** 7
    )


def test_spacing_keeps_both_ends():
    linear = schedule("linear", 1000)
    assert spaced("even", linear, 5).tolist() == [999, 749, 500, 250, 0]
    for name in SCHEDULES:
        bar = schedule(name, 100)
        for spacing, steps in (("even", 30), ("karras", 30), ("karras", 100)):
            t = spaced(spacing, bar, steps)
            assert len(t) == steps and (np.diff(t) < 0).all() and t[-1] == 0
        assert t.tolist() == list(range(99, -1, -1))


def test_karras_spacing_is_that_of_the_paper():
    bar = schedule({"name": "edm"}, 1000)
    ratio = np.sqrt((1 - bar) / bar)[spaced("karras", bar, 18)]
    expected = np.linspace(80.0 ** (1 / 7), 0.002 ** (1 / 7), 18) ** 7
    np.testing.assert_allclose(ratio, expected, rtol=0.01)


@pytest.mark.parametrize("name", PREDICTIONS)
def test_predictions_give_back_what_they_are_made_of(name):
    rng = np.random.default_rng(0)
    x_0, eps = rng.normal(size=(2, 50))
    prediction = PREDICTIONS[name]
    for alpha in (0.05, 0.6, 0.99):
        sigma = np.sqrt(1 - alpha**2)
        x = alpha * x_0 + sigma * eps
        output = prediction.target(x_0, eps, alpha, sigma)
        at = (output, x, alpha, sigma)
        np.testing.assert_allclose(prediction.clean(*at), x_0, atol=1e-9)
        np.testing.assert_allclose(prediction.noise(*at), eps, atol=1e-9)
        # An error of x_0 by 1 is one of the output by the root of the gain.
        moved = prediction.clean(output + 1e-3, x, alpha, sigma) - x_0
        gain = prediction.gain(alpha**2 / sigma**2)
        np.testing.assert_allclose(moved**2 * gain, 1e-6, rtol=1e-6)


def test_min_snr_is_one_weighting_for_all_predictions():
    bar = schedule("cosine", 100)
    snr = bar / (1 - bar)
    for prediction in PREDICTIONS.values():
        weight = weights({"name": "min_snr", "gamma": 3.0}, bar, prediction)
        in_x_0 = weight * prediction.gain(snr)
        np.testing.assert_allclose(in_x_0, np.minimum(snr, 3.0))
        assert (weights("simple", bar, prediction) == 1).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cosin", "did you mean cosine"),
        ({"name": "linear", "first": 0.5}, "0 < first <= last"),
        ({"name": "edm", "sigma": 0.5}, "unknown value of the edm schedule"),
    ],
)
def test_bad_schedules_get_one_line(spec, message):
    with pytest.raises(InputError, match=message):
        schedule(spec, 10)
