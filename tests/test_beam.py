"""Beam search finds what a plain one in Python does, on a Markov chain."""

import math

import numpy as np
import plain
import pytest
import tensorflow as tf
from keras import ops

from kerasgen import decoding

VOCABULARY, STOP = 12, 1
TABLES = np.random.default_rng(0).normal(0, 1.5, (9, VOCABULARY, VOCABULARY))
TABLES[:, :, STOP] += 0.7
TABLES = TABLES.astype("float32")


def search(which, limits, beams, alpha=1.0):
    """Rows of tokens: row i of chain `which[i]`; the cache counts its tokens."""
    tables = ops.convert_to_tensor(TABLES)
    chain = np.repeat(np.asarray(which, "int32"), beams)

    def step(last, t, cache):
        place = ops.convert_to_tensor(chain) * VOCABULARY + last
        rows = ops.take(ops.reshape(tables, (-1, VOCABULARY)), place, axis=0)
        # What the cache has says how often each token came before.
        rows -= cache
        return rows, cache + ops.one_hot(last, VOCABULARY)

    def run(limits):
        cache = ops.zeros((len(chain), VOCABULARY))
        options = {"start": STOP, "stop": STOP, "length_penalty": alpha}
        return decoding.beam_search(step, cache, limits, beams, **options)

    return np.asarray(tf.function(run)(tf.constant(limits, tf.int32)))


def logits_after(table):
    """Those of a chain, in which a token is the less likely, the more often it came."""

    def compute(rows):
        counts = [np.bincount(row[:-1], minlength=VOCABULARY) for row in rows]
        return table[[row[-1] for row in rows]] - np.array(counts)

    return compute


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("beams", [1, 2, 5])
def test_it_finds_what_a_plain_search_does(beams, alpha):
    which, limits = np.arange(9), np.array([1, 2, 3, 5, 8, 9, 11, 12, 12])
    found = search(which, limits, beams, alpha)
    assert found.shape == (9, 12) and found.dtype == "int32"
    for row, table, limit in zip(found, TABLES, limits, strict=True):
        tokens = row[row != 0].tolist()
        expected, _ = plain.beam_search(logits_after(table), limit, beams, alpha)
        assert tokens == expected
        assert len(tokens) <= limit and STOP not in tokens[:-1]


def test_one_beam_takes_the_best_token_each_time():
    for row, table in zip(search(np.arange(9), [12] * 9, 1), TABLES, strict=True):
        tokens, count = [STOP], np.zeros(VOCABULARY)
        while len(tokens) < 13 and (len(tokens) == 1 or tokens[-1] != STOP):
            scores = table[tokens[-1]] - count
            scores[0] = -math.inf
            count[tokens[-1]] += 1
            tokens.append(int(scores.argmax()))
        assert row[row != 0].tolist() == tokens[1:]


def test_rows_are_alone():
    limits = np.array([3, 12, 12, 7])
    together = search([0, 1, 2, 3], limits, 4)
    for i in range(4):
        (alone,) = search([i], limits[i : i + 1], 4)
        assert alone.tolist() == together[i][: limits[i]].tolist()
        assert not together[i][limits[i] :].any()


def test_a_long_sequence_may_still_beat_two_that_are_finished():
    """Scores are divided by the length penalty before they say when to stop.

    Two sequences are finished after two tokens, at -1.0 and -2.1 * 6 / 7 = -1.8. One
    that has -2.0 so far goes on, as -2.0 * 6 / 7 is more than -1.8; in the end, after
    twelve tokens, it has -2.0 * 6 / 17 = -0.7. Without a penalty they are the best.
    """
    chances = np.full((VOCABULARY, VOCABULARY), 1e-9)
    chances[STOP, [STOP, 3, 4]] = np.exp([-1.0, -1.1, -3.0])
    chances[3, [STOP, 5]] = np.exp([-1.0, -0.9])
    chances[4, 4] = chances[5, 5] = 1.0
    for table in chances:  # what is left, no token that can win
        table[6:] += (1.0 - table.sum()) / 6.0 if table.sum() < 1.0 else 0.0
    table = np.log(chances / chances.sum(axis=1, keepdims=True)).astype("float32")

    def step(last, t, cache):
        return ops.take(ops.convert_to_tensor(table), last, axis=0), cache

    def best(alpha):
        options = {"start": STOP, "stop": STOP, "length_penalty": alpha}
        limits, cache = np.array([12], "int32"), np.zeros((2, 1), "float32")
        found = decoding.beam_search(step, cache, limits, 2, **options)
        return np.asarray(found)[0].tolist()

    assert best(1.0) == [3, *[5] * 11]
    assert best(0.0) == [STOP, *[0] * 11]


def test_the_length_penalty_is_that_of_the_paper():
    """((5 + length) / 6)^alpha: "a b stop" at log-probability s, or "stop" at s / 2.

    Of lengths 3 and 1, so they are worth the same at (8 / 6)^alpha = 2.
    """
    score = -2.0
    table = np.full((VOCABULARY, VOCABULARY), -30.0, "float32")
    table[STOP, [STOP, 3]] = score / 2, score
    table[STOP, 6:] = np.log((1.0 - np.exp([score, score / 2]).sum()) / 6)
    table[3, 4] = table[4, STOP] = 0.0
    equal = np.log(2.0) / np.log(8.0 / 6.0)

    def step(last, t, cache):
        return ops.take(ops.convert_to_tensor(table), last, axis=0), cache

    for alpha, expected in ((equal - 0.05, [STOP]), (equal + 0.05, [3, 4, STOP])):
        options = {"start": STOP, "stop": STOP, "length_penalty": alpha}
        limits, cache = np.array([9], "int32"), np.zeros((3, 1), "float32")
        found = np.asarray(decoding.beam_search(step, cache, limits, 3, **options))[0]
        assert found[found != 0].tolist() == expected
