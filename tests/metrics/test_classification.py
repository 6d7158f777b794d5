"""Calibration on cases that are counted by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from kerasgen import recipe
from kerasgen.codec import Codec
from kerasgen.data import Split
from kerasgen.data.text import texts
from kerasgen.errors import InputError
from kerasgen.metrics.classification import calibration_gaps, figures
from kerasgen.tokenizers import Characters


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


def test_texts_are_judged_by_their_tokens():
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    model = SimpleNamespace(
        codec=Codec(Characters("abcd"), False, 2),
        writes=None,
        preprocess=lambda x, y: {"token_ids": x, "label": y},
    )
    asked = []

    def serve(name, token_ids):
        asked.append(name)
        return {"probabilities": p[token_ids[:, 0] - 2]}

    split = Split(texts(["a", "b", "c", "d"]), np.array([0, 1, 0, 1], "int32"))
    values = recipe.read("classifier_cldr", {"evaluate.batch_size": 3})
    found = figures(model, serve, split, None, values, lambda steps, *_: steps)
    assert asked == ["classify_ids"] * 2
    assert found["accuracy"][0] == 0.5
    assert found["f1"][0] == pytest.approx(0.5)  # 1 of 2 found, 1 of 2 right
    with pytest.raises(InputError, match="judged by labelled examples"):
        figures(model, serve, Split(split.x), None, values, None)
