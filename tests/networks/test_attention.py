"""Attention equals Keras's own, with and without a cache."""

import keras
import numpy as np
import pytest
from keras import ops

from kerasgen.errors import InputError
from kerasgen.networks.attention import (
    MultiHeadAttention,
    SingleHeadAttention,
    attend,
    causal_mask,
    folded,
    hiding,
    joined,
    rotate,
    updated,
    written,
)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_attention_is_a_weighted_mean():
    q, k, v = numbers(2, 3, 4), numbers(2, 5, 4, seed=1), numbers(2, 5, 6, seed=2)
    output, weights = attend(q, [(k, v)])
    scores = np.einsum("btd,bsd->bts", q, k) / 2.0
    expected = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    np.testing.assert_allclose(output, expected @ v, atol=1e-5)


def test_masked_keys_are_not_seen():
    q, k, v = numbers(1, 4, 2), numbers(1, 4, 2, seed=1), numbers(1, 4, 2, seed=2)
    output, weights = attend(q, [(k, v)], causal_mask(4))
    assert np.array_equal(np.asarray(weights[0]) > 0, np.tri(4, dtype=bool))
    np.testing.assert_allclose(output[0, 0], v[0, 0], atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_mask_may_be_what_is_taken_off_scores(dtype):
    """Nothing may be taken off what is seen: bfloat16 has no scores beside 10,000."""
    q, k, v = (ops.cast(numbers(1, 4, 2, seed=i), dtype) for i in range(3))
    masks = causal_mask(4), hiding(causal_mask(4))
    _, found = zip(*(attend(q, [(k, v)], mask) for mask in masks), strict=True)
    masked, taken = (np.asarray(ops.cast(weights, "float32")) for weights in found)
    np.testing.assert_array_equal(masked, taken)
    assert len(np.unique(taken[0, 3])) == 4


@pytest.mark.parametrize("cross", [False, True])
def test_equals_keras_with_the_same_weights(cross):
    width, heads = 12, 3
    ours = MultiHeadAttention(heads, bias=True)
    theirs = keras.layers.MultiHeadAttention(heads, width // heads)
    x, memory = numbers(2, 5, width), numbers(2, 7, width, seed=1)
    memory = memory if cross else x
    mask = None if cross else np.asarray(causal_mask(5))
    theirs(x, memory)
    ours.build(x.shape)
    for variable in ours.variables:
        variable.assign(numbers(*variable.shape, seed=len(variable.path)))
    query, query_bias = ours.query.weights
    both, both_bias = (np.split(np.asarray(w), 2, -1) for w in ours.key_value.weights)
    output, output_bias = ours.output_layer.weights
    shape, rows = (width, heads, -1), (heads, -1)
    theirs.set_weights(
        [
            np.reshape(query, shape),
            np.reshape(query_bias, rows),
            both[0].reshape(shape),
            both_bias[0].reshape(rows),
            both[1].reshape(shape),
            both_bias[1].reshape(rows),
            np.reshape(output, (heads, -1, width)),
            np.asarray(output_bias),
        ]
    )
    expected, scores = theirs(
        x, memory, attention_mask=mask, return_attention_scores=True
    )
    found, weights = ours(
        x, memory if cross else None, attention_mask=mask, return_weights=True
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(weights, scores, atol=1e-5)


def test_one_head_equals_keras():
    x = numbers(2, 5, 6)
    ours = SingleHeadAttention(4)
    ours(x)
    output, weights = ours(x, attention_mask=causal_mask(5), return_weights=True)
    inputs = [ours.query(x), ours.value(x), ours.key(x)]
    expected, scores = keras.layers.Attention()(
        [inputs[0] / 2.0, *inputs[1:]],  # Keras's does not scale
        use_causal_mask=True,
        return_attention_scores=True,
    )
    np.testing.assert_allclose(output, expected, atol=1e-5)
    np.testing.assert_allclose(weights, scores, atol=1e-6)


def test_rotated_products_depend_on_distance_alone():
    q, k = numbers(1, 1, 1, 8), numbers(1, 1, 1, 8, seed=1)

    def product(a, b):
        turned = (rotate(x, np.array([[p]], "int32")) for x, p in ((q, a), (k, b)))
        return float(ops.sum(ops.multiply(*turned)))

    assert product(3, 1) == pytest.approx(product(13, 11), abs=1e-4)
    assert product(3, 1) != pytest.approx(product(3, 2), abs=1e-3)
    assert product(0, 0) == pytest.approx(float(np.sum(q * k)), abs=1e-5)


def test_several_caches_are_one():
    q, k, v = numbers(2, 3, 1, 4), numbers(2, 3, 9, 4), numbers(2, 3, 9, 4, seed=1)
    mask = np.random.default_rng(0).random((2, 1, 1, 9)) < 0.7
    whole, weights = attend(q, [(k, v)], mask)
    parts = [(k[:, :, a:b], v[:, :, a:b]) for a, b in ((0, 4), (4, 5), (5, 9))]
    found, same = attend(q, parts, mask)
    np.testing.assert_allclose(found, whole, atol=1e-6)
    np.testing.assert_allclose(same, weights, atol=1e-6)
    np.testing.assert_array_equal(joined(joined(*parts[:2]), parts[2])[0], k)


def test_batch_and_heads_as_one_axis():
    q, new, k, v = (numbers(2, 3, n, 4, seed=i) for i, n in enumerate((1, 1, 9, 9)))
    cache = updated((k, v), (new, new), 5)
    flat = updated((folded(k), folded(v)), (new, new), 5)
    assert flat[0].shape == (6, 9, 4)
    for found, expected in zip(attend(q, [flat]), attend(q, [cache]), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_one_place_is_written():
    cache, new = (numbers(2, 3, 4, 5),) * 2, (numbers(2, 3, 1, 5, seed=2),) * 2
    cache[0][:, :, 2] = 0.0
    expected = cache[0].copy()
    expected[:, :, 2] = new[0][:, :, 0]
    here = np.array([[0], [0], [1], [0]], "float32")
    for result in (written(cache, new, here), updated(cache, new, 2)):
        for after in result:
            np.testing.assert_array_equal(after, expected)


def test_heads_divide_the_width():
    with pytest.raises(InputError, match="heads must be a divisor of 8, not 3"):
        MultiHeadAttention(3).build((None, None, 8))
