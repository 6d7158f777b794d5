"""Decoding does what each option says, on a Markov chain whose scores are known."""

import numpy as np
import pytest
from keras import ops

from kerasgen import decoding, random

VOCABULARY = 7
TABLE = (
    np.random.default_rng(0).normal(0, 2, (VOCABULARY, VOCABULARY)).astype("float32")
)


class Chain:
    """A decoder without a past."""

    def __init__(self):
        self.steps = 0

    def begin(self, token_ids, lengths):
        last = ops.take_along_axis(token_ids, (lengths - 1)[:, None], axis=1)[:, 0]
        return self.after(last), ops.zeros((), "int32")

    def after(self, token_ids):
        return ops.take(ops.convert_to_tensor(TABLE), token_ids, axis=0)

    def empty(self, past):
        return ops.zeros((), "int32")

    def advance(self, token_ids, lengths, t, columns, past, recent):
        self.steps += 1  # out of graphs: loops are Python's
        return self.after(token_ids), recent + 1

    def absorb(self, past, recent):
        return past + recent


def sample(prompts, **options):
    n = len(prompts)
    values = {
        "seed": random.row_seeds(0, n),
        "temperature": np.ones(n, "float32"),
        "top_k": np.zeros(n, "int32"),
        "top_p": np.ones(n, "float32"),
        "max_new_tokens": np.full(n, 5, "int32"),
    }
    for name in values.keys() & options.keys():
        value = options.pop(name)
        values[name] = np.broadcast_to(np.asarray(value, values[name].dtype), (n,))
    ids = np.zeros((n, max(map(len, prompts))), "int32")
    for row, prompt in zip(ids, prompts, strict=True):
        row[: len(prompt)] = prompt
    return np.asarray(
        decoding.sample(options.pop("decoder", Chain()), ids, **values, **options)
    )


def test_temperature_zero_takes_the_best():
    (found,) = sample([[2, 3]], temperature=0.0)
    expected = [2, 3]
    for _ in range(5):
        scores = TABLE[expected[-1]].copy()
        scores[0] = -np.inf
        expected.append(int(scores.argmax()))
    assert found.tolist() == expected


def test_samples_have_the_softmax_of_the_scores():
    n = 20_000
    found = sample([[3]] * n, max_new_tokens=1, temperature=0.7)[:, 1]
    weights = np.exp(TABLE[3] / 0.7)
    weights[0] = 0.0
    expected = weights / weights.sum()
    share = np.bincount(found, minlength=VOCABULARY) / n
    np.testing.assert_allclose(share, expected, atol=0.012)


@pytest.mark.parametrize(("k", "p"), [(3, 1.0), (0, 0.6), (4, 0.7), (1, 1.0)])
def test_only_the_likely_are_chosen(k, p):
    found = set(sample([[3]] * 3000, max_new_tokens=1, top_k=k, top_p=p)[:, 1].tolist())
    order = [int(i) for i in np.argsort(-TABLE[3]) if i != 0]
    order = order[: k or None]
    share = np.exp(TABLE[3][order]) / np.exp(TABLE[3][order]).sum()
    before = np.cumsum(share) - share
    assert found == {i for i, b in zip(order, before, strict=True) if b < p}


def test_options_are_per_row_and_rows_are_alone():
    prompts = [[2], [3, 4, 5], [6, 1]]
    options = {
        "temperature": np.array([0.0, 1.0, 0.5]),
        "top_k": np.array([0, 2, 0]),
        "top_p": np.array([1.0, 1.0, 0.5]),
        "max_new_tokens": np.array([5, 2, 4]),
    }
    seeds = random.row_seeds(5, 3)
    together = sample(prompts, seed=seeds, **options)
    assert together.shape == (3, 8)
    assert (together[1] != 0).sum() == 5 and (together[2] != 0).sum() == 6
    for i, prompt in enumerate(prompts):
        row = {name: value[i : i + 1] for name, value in options.items()}
        alone = sample([prompt], seed=seeds[i : i + 1], **row)[0]
        assert alone[alone != 0].tolist() == together[i][together[i] != 0].tolist()


def test_a_stop_token_ends_a_row_and_all_end_the_loop():
    found = sample([[2]] * 50, stop=4, max_new_tokens=100)
    for row in found:
        row = row[row != 0].tolist()
        assert row.index(4) == len(row) - 1 if 4 in row else len(row) == 101
    chain, one = Chain(), np.where(np.arange(VOCABULARY) == 0, -np.inf, TABLE[2])
    sample([[2]], decoder=chain, temperature=0, max_new_tokens=1000, stop=one.argmax())
    assert chain.steps == 1
    sample([[2]], decoder=chain, max_new_tokens=50)
    assert chain.steps == 51


def test_a_row_ends_at_the_limit():
    found = sample([[2], [2, 3, 4]], limit=4)
    assert (found != 0).sum(axis=1).tolist() == [4, 4]


def test_nothing_new_is_the_prompt():
    assert sample([[2, 3]], max_new_tokens=0).tolist() == [[2, 3]]


def test_repetition_is_penalised():
    plain = sample([[2]] * 200, max_new_tokens=5)[:, 1:]
    varied = sample([[2]] * 200, max_new_tokens=5, repetition_penalty=10.0)[:, 1:]

    def different(rows):
        return np.mean([len(set(row)) for row in rows.tolist()])

    assert different(varied) > different(plain) + 0.3
