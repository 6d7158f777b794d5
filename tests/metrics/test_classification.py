"""Calibration on cases that are counted by hand."""

import numpy as np
import pytest

from kerasgen.metrics.classification import calibration_gaps


def test_the_gap_of_each_bin_counts_by_its_share():
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.7, 1.0])
    right = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 1.0])
    # 4 of 6 and the sure one share the last bin: mean confidence .96, accuracy .8
    expected = 5 / 6 * 0.16 + 1 / 6 * 0.7
    assert calibration_gaps(confidence, right).sum() == pytest.approx(expected)


def test_a_calibrated_classifier_has_none():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.1, 1.0, 200_000)
    right = (rng.uniform(size=200_000) < confidence).astype(float)
    assert calibration_gaps(confidence, right).sum() < 0.01
