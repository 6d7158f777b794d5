"""Restorers: they keep what they were given, and complete it as the data would."""

import keras
import numpy as np
import pytest
from gaussian import Gaussian
from scipy import ndimage

import kerasgen
from kerasgen.diffusion import damage
from kerasgen.random import row_seeds

N = 4000


@pytest.fixture(scope="module")
def model():
    """Estimates of x_0 are faint noise around grey, so that nothing is clipped."""
    keras.utils.set_random_seed(0)
    network = {"name": "convolutional", "widths": [8, 8]}
    model = kerasgen.DDPM(
        (8, 12, 3), network, prediction="x0", restoration_steps=6, resampling=2
    )
    last = model.network.layers[-1]
    last.kernel.assign(0.1 * last.kernel)
    return model


@pytest.fixture(scope="module")
def images():
    smooth = np.random.default_rng(0).random((3, 8, 12, 3))
    return (0.3 + 0.4 * smooth).astype("float32")


def restored(model, name, inputs):
    return model.serve(name, **inputs, seed=[1, 2, 3])["restored"]


def test_inpainting_keeps_the_pixels_that_are_known(model, images):
    inputs = damage.lower_half_lost(model, images)
    found = restored(model, "inpaint", inputs)
    np.testing.assert_array_equal(found[:, :4], images[:, :4])
    assert not np.allclose(found[:, 4:], images[:, 4:], atol=0.01)
    nothing = inputs | {"mask": np.zeros_like(inputs["mask"]), "images": images}
    np.testing.assert_array_equal(restored(model, "inpaint", nothing), images)


def test_super_resolution_has_the_small_image_as_its_means(model, images):
    inputs = damage.made_small(model, images)
    found = restored(model, "super_resolve", inputs)
    again = damage.made_small(model, found)
    np.testing.assert_allclose(again["small_images"], inputs["small_images"], atol=1e-5)
    assert found.std() > inputs["small_images"].std()


def test_deblurring_has_the_blurred_image_as_its_blur(model, images):
    inputs = damage.blurred(model, images)
    found = restored(model, "deblur", inputs)
    again = damage.blurred(model, found)
    np.testing.assert_allclose(again["images"], inputs["images"], atol=0.01)
    assert np.abs(found - images).mean() < np.abs(inputs["images"] - images).mean()


def test_damage_is_what_it_is_called(model, images):
    noisy = damage.noise_added(model, images, 0.1)
    assert (noisy["images"] - images).std() == pytest.approx(0.1, rel=0.1)
    small = damage.made_small(model, images)["small_images"]
    assert small.shape == (3, 4, 6, 3)
    np.testing.assert_allclose(small[0, 1, 2], images[0, 2:4, 4:6].mean((0, 1)), 1e-5)
    blurred = damage.blurred(model, images)["images"]
    one = ndimage.gaussian_filter(images[1, :, :, 2], 1.5, mode="reflect")
    np.testing.assert_allclose(blurred[1, :, :, 2], one, atol=1e-6)


def test_inpainting_draws_from_the_conditional_distribution():
    """Two normal pixels of correlation 0.8: given a, b ~ N(0.8 a, 0.36)."""
    data = Gaussian([0.0, 0.0], [[1.0, 0.8], [0.8, 1.0]], "cosine", 200)
    data.restoration_steps, data.resampling = 60, 8
    images = np.full((N, 1, 2, 1), 0.7, "float32")
    mask = np.array([0.0, 1.0], "float32").reshape(1, 1, 2, 1).repeat(N, axis=0)
    found = np.asarray(data.inpaint(images, mask, row_seeds(0, N)))
    np.testing.assert_array_equal(found[:, 0, 0, 0], images[:, 0, 0, 0])
    assert found[:, 0, 1, 0].mean() == pytest.approx(0.56, abs=0.06)
    assert found[:, 0, 1, 0].std() == pytest.approx(0.6, abs=0.06)


def test_denoising_draws_from_the_posterior():
    """x ~ N(0, 1), y = x + N(0, s²): x given y ~ N(y / (1 + s²), s² / (1 + s²)).

    Rows have noise levels of their own; a level is doubled inside.
    """
    data = Gaussian([0.0, 0.0], np.eye(2), "cosine", 1000)
    level = np.repeat([0.1, 0.4], N // 2).astype("float32")
    images = np.full((N, 1, 2, 1), 0.7, "float32")
    found = np.asarray(data.denoise(images, level, row_seeds(0, N)))
    for half, s in ((found[: N // 2], 0.2), (found[N // 2 :], 0.8)):
        assert half.mean() == pytest.approx(0.7 / (1 + s**2), abs=0.03)
        assert half.std() == pytest.approx(s / np.sqrt(1 + s**2), rel=0.05)
