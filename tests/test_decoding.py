"""Decoding does what each option says, on a Markov chain whose scores are known."""

import numpy as np
import plain
import pytest
from keras import ops

from kerasgen import decoding, random
from kerasgen.decoding import drawing, scores

VOCABULARY = 7
TABLE = (
    np.random.default_rng(0).normal(0, 2, (VOCABULARY, VOCABULARY)).astype("float32")
)


class Chain:
    """A decoder without a past."""

    chapter = None

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


class Fixed(Chain):
    """Its logits are a row for each last token."""

    def __init__(self, rows: dict):
        super().__init__()
        self.table = np.full((VOCABULARY, VOCABULARY), -9.0, "float32")
        for token, row in rows.items():
            self.table[token] = row

    def after(self, token_ids):
        return ops.take(ops.convert_to_tensor(self.table), token_ids, axis=0)


@pytest.mark.parametrize(
    ("prompt", "logits", "penalty", "expected"),
    [
        # Of the prompt: 1.8 / 2 = 0.9 is less than 1, and -1 * 2 less than -1.5.
        ([3, 2], {3: 1.8, 4: 1.0}, 2.0, 4),
        ([3, 2], {3: 1.8, 4: 0.8}, 2.0, 3),
        ([3, 2], {3: -1.0, 4: -1.5}, 2.0, 4),
        ([3, 2], {3: -1.0, 4: -2.5}, 2.0, 3),
        # Once, however often the row has it: 3 / 2 is more than 1, 3 / 8 is not.
        ([3, 3, 3, 2], {3: 3.0, 4: 1.0}, 2.0, 3),
        # A penalty below 1 is a reward.
        ([3, 2], {3: 1.0, 4: 1.8}, 0.5, 3),
    ],
)
def test_the_penalty_divides_what_is_positive_and_multiplies_the_rest(
    prompt, logits, penalty, expected
):
    row = [logits.get(i, -9.0) for i in range(VOCABULARY)]
    options = {"temperature": 0.0, "max_new_tokens": 1, "repetition_penalty": penalty}
    (found,) = sample([prompt], decoder=Fixed({2: row}), **options)
    assert found[-1] == expected


def test_what_was_drawn_is_penalised_too():
    row = [-9.0, -9.0, -9.0, 3.0, 2.0, 1.8, -9.0]
    decoder = Fixed(dict.fromkeys(range(VOCABULARY), row))
    options = {"temperature": 0.0, "max_new_tokens": 4, "repetition_penalty": 2.0}
    (found,) = sample([[2]], decoder=decoder, **options)
    # 3; then 3 / 2 < 2: 4; then 2 / 2 < 1.8: 5; then 3 / 2 is the largest again.
    assert found.tolist() == [2, 3, 4, 5, 3]


NUCLEUS = np.log(np.array([[0.6, 0.2, 0.12, 0.08]], "float32"))


@pytest.mark.parametrize(
    ("top_k", "top_p", "kept"),
    [
        (0, 1.0, 4),
        (0, 0.81, 3),  # 0.6 + 0.2 is not enough
        (0, 0.79, 2),
        (0, 0.59, 1),
        (0, 1e-6, 1),  # the best is always there
        (2, 1.0, 2),
        (9, 1.0, 4),
        (2, 0.74, 1),  # of the two, the first has 0.75
        (2, 0.76, 2),
        (3, 0.86, 2),  # of the three, the first two have 0.87
    ],
)
def test_the_nucleus_is_the_fewest_with_that_share(top_k, top_p, kept):
    assert np.isfinite(plain.likely(NUCLEUS[0], top_k, top_p)).sum() == kept
    least = threshold(NUCLEUS, [top_k], [top_p])
    assert (NUCLEUS[0] >= least).sum() == kept


def threshold(rows, top_k, top_p):
    """`drawing.threshold` of rows whose scores are in order."""
    count = np.where(np.array(top_k) > 0, top_k, rows.shape[1]).astype("int32")
    return np.asarray(drawing.threshold(rows, count, np.float32(top_p)))


@pytest.mark.parametrize(("temperature", "kept"), [(0.5, 1), (1.0, 2), (2.0, 3)])
def test_the_nucleus_is_that_of_the_temperature(temperature, kept):
    """0.78 of probabilities 0.6, 0.2, 0.12, 0.08, squared: 0.86, …; their roots: 0.42,
    0.24, 0.19, 0.15."""
    n = 3000
    full = np.full(n, 1.0, "float32")
    found = drawing.next_tokens(
        np.repeat(NUCLEUS, n, axis=0),
        random.row_seeds(1, n),
        7,
        temperature * full,
        np.zeros(n, "int32"),
        0.78 * full,
    )
    found = np.bincount(np.asarray(found), minlength=4) / n
    share = np.array([0.6, 0.2, 0.12, 0.08])[:kept] ** (1.0 / temperature)
    assert (found[kept:] == 0).all()
    np.testing.assert_allclose(found[:kept], share / share.sum(), atol=0.035)


def test_each_token_has_noise_of_its_own():
    """Token t is the best of logits / temperature + the Gumbel noise of stream t."""
    row = np.array([-9.0, 0.0, 0.3, 0.1, 0.2, 0.0, 0.1], "float32")
    decoder = Fixed(dict.fromkeys(range(VOCABULARY), row))
    n, seeds = 40, random.row_seeds(11, 40)
    found = sample([[2]] * n, decoder=decoder, seed=seeds, temperature=0.5)
    for t in range(5):
        noise = np.asarray(random.gumbel(seeds, (VOCABULARY,), t))
        expected = (2.0 * row + noise)[:, 1:].argmax(axis=1) + 1
        assert found[:, 1 + t].tolist() == expected.tolist()


def test_what_a_row_is_chosen_among_is_its_own_affair():
    """Where a neighbour asks for the best only: rounded, the first token's share is 1,
    and still all others may be chosen."""
    logits = np.float32([[50.0, 0.0, -50.0]] * 2)
    assert threshold(logits, [0, 1], [1.0, 1.0]).tolist() == [-50.0, 50.0]


# Of a vocabulary that is larger than what a choice is settled among as a rule.

LARGE = 5000


def large(flat: float, rows: int):
    """Scores that are the nearer to each other, the larger `flat` is."""
    rng = np.random.default_rng(3)
    return (rng.normal(0.0, 6.0, (rows, LARGE)) / flat).astype("float32")


@pytest.mark.parametrize("k", [1, 5, LARGE])
def test_the_largest_come_with_their_tokens(k):
    rows = large(1.0, 3)
    rows[1] = np.round(rows[1])  # many are equal
    found, token = map(np.asarray, scores.top(ops.convert_to_tensor(rows), k))
    np.testing.assert_array_equal(found, -np.sort(-rows, axis=1)[:, :k])
    np.testing.assert_array_equal(np.take_along_axis(rows, token, axis=1), found)
    assert all(len(set(row)) == k for row in token.tolist())


CASES = [(0, 1.0), (50, 0.9), (50, 1.0), (0, 0.9), (0, 0.3), (1, 1.0)]
CASES += [(drawing.FEW, 0.5), (drawing.FEW, 1.0), (400, 1.0), (400, 0.9), (LARGE, 0.8)]


@pytest.mark.parametrize("flat", [1.0, 6.0, 100.0])
def test_of_many_tokens_the_same_are_drawn_as_by_a_sort(flat):
    """Together, and where all other rows are of the same case: among few, or all."""
    rows = large(flat, 4 * len(CASES))
    top_k, top_p = (np.repeat(column, 4) for column in np.array(CASES).T)
    seeds, heat = random.row_seeds(5, len(rows)), np.tile([0.0, 0.5, 1.0, 2.0], 11)
    noise = np.asarray(random.gumbel(seeds, (LARGE,), 9))
    values = [seeds, heat.astype("float32"), top_k.astype("int32")]
    values.append(top_p.astype("float32"))

    def drawn(part):
        seed, *rest = (value[part] for value in values)
        return np.asarray(drawing.next_tokens(rows[part], seed, 9, *rest)).tolist()

    expected = []
    for i, row in enumerate(rows):
        if heat[i]:
            row = row / np.float32(heat[i])
            row = plain.likely(row, int(top_k[i]), values[3][i]) + noise[i]
        expected.append(int(row.argmax()))
    assert drawn(slice(None)) == expected
    for start in range(0, len(rows), 4):
        part = slice(start, start + 4)
        assert drawn(part) == expected[part]


def test_noise_at_some_places_is_that_of_all():
    seeds, index = random.row_seeds(2, 3), np.int32([[0, 4999], [7, 7], [123, 4]])
    every = np.asarray(random.gumbel(seeds, (LARGE,), 6))
    found = np.asarray(random.gumbel_at(seeds, index, 6))
    # Of the same bits; processors round logarithms by where a number stands.
    expected = np.take_along_axis(every, index, axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_largest_of_no_numbers_is_0():
    assert scores.largest(np.int32([])) == 0
    assert scores.largest(np.int32([3, 7, 5])) == 7
