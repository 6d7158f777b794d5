"""DiffAugment: what each augmentation does, row by row, and its gradient."""

import numpy as np
import pytest
import tensorflow as tf

from kerasgen.augmentation import AUGMENTATIONS, augment, translation
from kerasgen.random import Noise, row_seeds

IMAGES = np.random.default_rng(0).normal(size=(6, 9, 7, 3)).astype("float32")
FULL = {"brightness": 1.0, "saturation": 1.0, "contrast": 1.0}
FULL |= {"translation": 0.25, "cutout": 0.5}


def draw(images, strengths, seeds=None):
    seeds = row_seeds(0, len(images)) if seeds is None else seeds
    return np.asarray(augment(tf.constant(images), Noise(seeds), strengths))


def test_no_strength_changes_nothing():
    np.testing.assert_allclose(
        draw(IMAGES, dict.fromkeys(FULL, 0.0)), IMAGES, atol=1e-6
    )
    np.testing.assert_array_equal(draw(IMAGES, {}), IMAGES)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_rows_have_draws_of_their_own(name):
    seeds = row_seeds(0, 6)
    together = draw(IMAGES, {name: FULL[name]})
    alone = np.concatenate(
        [
            draw(IMAGES[i : i + 1], {name: FULL[name]}, seeds[i : i + 1])
            for i in range(6)
        ]
    )
    np.testing.assert_allclose(together, alone, atol=1e-6)
    same = draw(np.repeat(IMAGES[:1], 6, axis=0), {name: FULL[name]})
    assert len(np.unique(same.reshape(6, -1).round(4), axis=0)) > 1


def test_colour_changes_keep_what_they_should():
    mean = {"axis": (1, 2, 3), "keepdims": True}
    brighter = draw(IMAGES, {"brightness": 1.0}) - IMAGES
    assert np.ptp(brighter, axis=(1, 2, 3)).max() < 1e-5
    assert 0.01 < np.abs(brighter).max() <= 0.5
    duller = draw(IMAGES, {"saturation": 1.0})
    np.testing.assert_allclose(duller.mean(-1), IMAGES.mean(-1), atol=1e-5)
    softer = draw(IMAGES, {"contrast": 1.0})
    np.testing.assert_allclose(softer.mean(**mean), IMAGES.mean(**mean), atol=1e-5)
    ratio = (softer - IMAGES.mean(**mean)) / (IMAGES - IMAGES.mean(**mean))
    assert 0.5 <= ratio.min() < ratio.max() <= 1.5


def test_translation_shifts_and_fills_with_zeros():
    """Both ends of u are the largest shifts: 2 rows and 2 columns of (9, 7)."""
    low, high = np.zeros((6, 2), "float32"), np.full((6, 2), 0.999, "float32")
    moved = np.asarray(translation(tf.constant(IMAGES), low, 0.25))
    np.testing.assert_allclose(moved[:, 2:, 2:], IMAGES[:, :-2, :-2], atol=1e-6)
    assert not moved[:, :2].any() and not moved[:, :, :2].any()
    moved = np.asarray(translation(tf.constant(IMAGES), high, 0.25))
    np.testing.assert_allclose(moved[:, :-2, :-2], IMAGES[:, 2:, 2:], atol=1e-6)


def test_cutout_is_one_window():
    ones = np.ones((200, 8, 8, 1), "float32")
    cut = draw(ones, {"cutout": 0.5})[..., 0]
    heights, widths = ((cut == 0).any(axis).sum(1) for axis in (2, 1))
    np.testing.assert_array_equal(heights * widths, (cut == 0).sum((1, 2)))
    assert heights.max() == widths.max() == 4 and heights.min() >= 2


def test_gradients_reach_the_images():
    images = tf.constant(IMAGES)
    with tf.GradientTape() as tape:
        tape.watch(images)
        value = tf.reduce_sum(augment(images, Noise(row_seeds(0, 6)), FULL) ** 2)
    gradient = tape.gradient(value, images).numpy()
    assert np.isfinite(gradient).all() and (gradient != 0).mean() > 0.3
