"""A step with a cache computes what the whole sequence does."""

from functools import partial

import keras
import numpy as np
import pytest

from kerasgen import networks
from kerasgen.errors import InputError
from kerasgen.networks.attention import (
    MultiHeadAttention,
    SingleHeadAttention,
    joined,
    written,
)
from kerasgen.networks.transformer import CausalTransformer
from kerasgen.networks.transformer_block import STYLES, Block


def network(style="modern", **values):
    keras.utils.set_random_seed(0)
    return CausalTransformer(11, 12, 16, 2, 2, style, **values)


def tokens(batch, length):
    return np.random.default_rng(0).integers(0, 11, (batch, length)).astype("int32")


def empty(past, places):
    """Caches as those of the past, of zeros."""
    shape = (*past[0][0].shape[:2], places, past[0][0].shape[3])
    return [(np.zeros(shape, "float32"),) * 2 for _ in past]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("block", [0, 3])
def test_cached_steps_equal_the_whole(style, block):
    """One token after the other: joined at once, or in blocks of three."""
    net, ids = network(style), tokens(3, 10)
    expected = net(ids)
    _, past = net.read(ids[:, :4])
    recent = empty(past, block)
    for t in range(4, 10):
        positions = np.full(3, t, "int32")
        place = (t - 4) % block if block else None
        mask = np.ones((3, (block or 1) + past[0][0].shape[2]), bool)
        mask[:, (place or 0) + 1 : block] = False
        options = {}
        if block:
            here = np.eye(block, dtype="float32")[place][:, None]
            options = {"recent": recent, "write": partial(written, here=here)}
        found, caches = net.step(
            ids[:, t], positions, mask[:, None, None], past=[past], **options
        )
        np.testing.assert_allclose(found, expected[:, t], atol=1e-5)
        if not block:
            past = [joined(a, b) for a, b in zip(past, caches, strict=True)]
        elif place == block - 1:
            past = [joined(a, b) for a, b in zip(past, caches, strict=True)]
            recent = empty(past, block)
        else:
            recent = caches


@pytest.mark.parametrize("style", STYLES)
def test_the_future_is_not_seen(style):
    net, ids = network(style), tokens(1, 8)
    changed = ids.copy()
    changed[:, 5:] = (changed[:, 5:] + 1) % 11
    before, after = net(ids), net(changed)
    np.testing.assert_allclose(before[:, :5], after[:, :5], atol=1e-6)
    assert not np.allclose(before[:, 5:], after[:, 5:], atol=1e-3)


def test_order_matters_in_every_style():
    for style in STYLES:
        net = network(style)
        a, b = net(np.array([[1, 2, 3]])), net(np.array([[2, 1, 3]]))
        assert not np.allclose(a[:, -1], b[:, -1], atol=1e-6), style


def test_dropout_is_for_training():
    net, ids = network(dropout=0.5), tokens(2, 5)
    np.testing.assert_array_equal(net(ids), net(ids))
    assert not np.allclose(net(ids), net(ids, training=True), atol=1e-4)


def test_rotary_positions_have_no_end():
    assert network("modern")(tokens(1, 30)).shape == (1, 30, 11)
    assert network("gpt2").limited and not network("modern").limited


def test_the_gpt2_shape_has_gpt2s_parameters():
    """124M: 50257 tokens, 1024 positions, 12 blocks of 768, all biases."""
    d, v, t, n = 768, 50257, 1024, 12
    expected = v * d + t * d + n * (12 * d * d + 13 * d) + 2 * d
    small = CausalTransformer(257, 64, 32, 2, 2, "gpt2")
    v, t, d, n = 257, 64, 32, 2
    assert expected == 124_439_808
    assert small.count_params() == v * d + t * d + n * (12 * d * d + 13 * d) + 2 * d


def test_untied_scores_have_a_table_of_their_own():
    assert network(tied=False).count_params() == network().count_params() + 11 * 16


def test_networks_and_layers_are_saved(tmp_path):
    net, ids = network(dropout=0.1, tied=False), tokens(2, 5)
    net.save(tmp_path / "net.keras")
    np.testing.assert_array_equal(
        keras.saving.load_model(tmp_path / "net.keras")(ids), net(ids)
    )
    x = np.ones((1, 3, 8), "float32")
    for layer in (
        Block(8, 2),
        MultiHeadAttention(2, rotary=True),
        SingleHeadAttention(4),
    ):
        inputs = keras.Input((3, 8))
        outputs = layer(inputs)
        outputs = outputs[0] if isinstance(layer, Block) else outputs
        model = keras.Model(inputs, outputs)
        model.save(tmp_path / "layer.keras")
        again = keras.saving.load_model(tmp_path / "layer.keras")
        np.testing.assert_array_equal(again(x), model(x))


def test_a_block_looks_at_a_memory():
    keras.utils.set_random_seed(0)
    block = Block(8, 2, cross=True)
    block.build((None, None, 8))
    x, memory = np.ones((2, 3, 8), "float32"), np.ones((2, 5, 8), "float32")
    looked = block(x, memory=block.cross.keys_values(memory))[0]
    other = block(x, memory=block.cross.keys_values(2.0 * memory))[0]
    assert looked.shape == (2, 3, 8) and not np.allclose(looked, other)
    alone, longer = (
        block(
            x,
            memory=block.cross.keys_values(m),
            memory_attention_mask=np.arange(m.shape[1])[None, None, None] < 5,
        )[0]
        for m in (memory, np.pad(memory, [[0, 0], [0, 2], [0, 0]]))
    )
    np.testing.assert_allclose(alone, longer, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"heads": 3}, "heads must be a divisor of width 128, not 3"),
        ({"width": 12, "heads": 4}, "is even, for rotary positions"),
        ({"style": "modrn"}, "did you mean modern"),
        ({"layers": 3}, "unknown value of the transformer language_model"),
    ],
)
def test_what_does_not_fit_is_said(values, message):
    with pytest.raises(InputError, match=message):
        networks.build(
            "language_model",
            {"name": "transformer", **values},
            vocabulary=11,
            context=12,
        )
