"""Rows of token ids, whatever clients fill them up with."""

import numpy as np
import pytest

from kerasgen.ids import tidy

ROWS = {  # with token 1 as the beginning of texts, and without
    (1, 5, 6, 0, 0): ([1, 5, 6], [5, 6]),
    (1, 5, 6, 1, 1): ([1, 5, 6], [5, 6]),  # as TF Serving fills it up
    (0, 5, 6, 0, 0): ([5, 6], [5, 6]),
    (0, 0, 1, 5, 6): ([1, 5, 6], [5, 6]),  # on the left
    (1, 0, 5, 0, 6): ([1, 5, 6], [5, 6]),  # something unknown in between
    (1, 5, 1, 6, 1): ([1, 5, 1, 6], [5, 6]),  # two texts in a row
    (1, 1, 1, 1, 1): ([1], []),
    (0, 0, 0, 0, 0): ([], []),
}


@pytest.mark.parametrize("starts", [True, False])
@pytest.mark.parametrize("keep_last", [True, False])
@pytest.mark.parametrize("longest", [2, 3, 9])
def test_tokens_come_first(starts, keep_last, longest):
    found = np.asarray(tidy(np.int32([*ROWS]), longest, starts, keep_last))
    assert found.shape == (len(ROWS), min(5, longest))
    for row, expected in zip(found.tolist(), ROWS.values(), strict=True):
        expected = expected[not starts]
        expected = expected[-longest:] if keep_last else expected[:longest]
        assert row == expected + [0] * (len(row) - len(expected))


def test_no_columns_are_one_of_padding():
    found = np.asarray(tidy(np.zeros((2, 0), "int32"), 4, True))
    assert found.tolist() == [[0], [0]]
    assert np.asarray(tidy(np.zeros((0, 3), "int32"), 4, True)).shape == (0, 3)
