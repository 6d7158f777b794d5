"""Restoration: samples of a diffusion model that agree with a damaged image.

Each method samples by ancestral steps, as its paper does. Pixels are in [0, 1] outside,
in [-1, 1] inside.
"""

import functools

import numpy as np
from keras import ops
from scipy.fft import dct

from kerasgen import inputs, random
from kerasgen.diffusion import samplers
from kerasgen.errors import InputError, require, require_positive
from kerasgen.inputs import Input
from kerasgen.signature import served

restored = functools.partial(served, outputs=["restored"], tolerance=2e-3, loops=True)


def noisy(model) -> Input:
    """Images with noise, which leaves [0, 1]."""
    return Input(model.image_shape)


def mask(model) -> Input:
    """1 where an image is to be filled in, `(batch, height, width, 1)`."""
    return Input((*model.image_shape[:2], 1), low=0.0, high=1.0)


def share(model) -> Input:
    """A number in [0, 1] a row."""
    return Input(low=0.0, high=1.0)


def small(model) -> Input:
    """Images made smaller by `model.scale`."""
    height, width, channels = model.image_shape
    shape = (height // model.scale, width // model.scale, channels)
    return Input(shape, low=0.0, high=1.0)


class Restores:
    """Mixin of diffusion models: what `kerasgen.DDPM` restores.

    It has `image_shape`, `alpha_bar`, `inward`, `outward` and `clean`.
    """

    def restores(self, restoration_steps, resampling=1, scale=2, blur=1.5):
        """Set how; see `kerasgen.DDPM`.

        Raises:
            InputError: if a value is out of range.
        """
        require_positive(restoration_steps=restoration_steps, resampling=resampling)
        require_positive(scale=scale)
        require(blur > 0, "blur", "above 0", blur)
        height, width, _ = self.image_shape
        if height % scale or width % scale:
            raise InputError(f"scale must divide {height} and {width}, not be {scale}")
        most = len(self.alpha_bar)
        within = f"at most the {most} timesteps"
        enough = restoration_steps <= most
        require(enough, "restoration_steps", within, restoration_steps)
        self.restoration_steps, self.resampling = restoration_steps, resampling
        self.scale, self.blur = scale, blur

    def noise(self, seed):
        """Of row seeds: stream -> standard normal `(B, H, W, C)`."""
        return functools.partial(random.normal, seed, self.image_shape)

    @restored(
        {"images": inputs.images, "mask": mask, "seed": inputs.seed},
        about=lambda model: (
            f"Restorers: {model.restoration_steps} ancestral steps, "
            f"of which `inpaint` takes each {model.resampling} times"
        ),
    )
    def inpaint(self, images, mask, seed):
        """RePaint (Lugmayr et al., 2022), algorithm 1: fill in where `mask` is 1.

        Each step is taken `resampling` times, with noise put back in between, so that
        what is filled in comes to fit its surroundings.
        """
        levels = self._levels()
        alpha_t, sigma_t, alpha_s, sigma_s = levels.steps
        times = np.full(len(alpha_t), self.resampling)
        times[-1] = 1  # from the clean image there is no way back
        rows = np.repeat(np.arange(len(times)), times)
        plan = samplers.Plan(*(column[rows] for column in self._plan()))
        again = rows[:-1] == rows[1:]
        back = np.append(np.where(again, (alpha_t / alpha_s)[rows[:-1]], 1.0), 1.0)
        columns = (alpha_s[rows], sigma_s[rows], back, np.sqrt(1.0 - back**2))
        table = np.stack(columns, axis=1).astype("float32")

        known, fill = self.inward(images), ops.cast(mask >= 0.5, "float32")
        draw = self.noise(seed)

        def revise(i, x, before):
            row = ops.take(ops.convert_to_tensor(table), i, axis=0)
            alpha, sigma, back, noise = ops.unstack(row)
            given = alpha * known + sigma * draw(i + 1 + len(rows))  # line 4
            x = fill * x + (1.0 - fill) * given  # line 8
            return back * x + noise * draw(i + 1 + 2 * len(rows))  # line 10

        x = samplers.run(plan, self.clean, draw, revise=revise)
        return fill * self.outward(x) + (1.0 - fill) * images

    @restored({"images": noisy, "noise_level": share, "seed": inputs.seed})
    def denoise(self, images, noise_level, seed):
        """Remove normal noise of standard deviation `noise_level`, in units of [0, 1].

        x_t / alpha_t is an image with noise sigma_t / alpha_t. So the given image, with
        a little more noise up to the next level, is an x_t, and the rest is sampling.
        """
        levels = self._levels()
        ratios = (levels.sigma / levels.alpha)[:-1].astype("float32")  # falling
        wanted = ops.reshape(2.0 * noise_level, (-1, 1))
        first = ops.sum(
            ops.cast(ops.convert_to_tensor(ratios) >= wanted, "int32"), axis=1
        )
        first = ops.maximum(first - 1, 0)  # the last level that is no less noisy
        draw, spread = self.noise(seed), (-1, 1, 1, 1)
        ratio = ops.reshape(ops.take(ops.convert_to_tensor(ratios), first), spread)
        alpha = ops.reshape(ops.take(_constant(levels.alpha), first), spread)
        missing = ops.square(ratio) - ops.square(ops.reshape(wanted, spread))
        missing = ops.sqrt(ops.maximum(missing, 0.0))
        x = alpha * (self.inward(images) + missing * draw(0))
        begun = ops.reshape(first, spread)

        def revise(i, x, before):
            return ops.where(i < begun, before, x)  # each row waits for its level

        plan = self._plan()
        # Of no rows too: all have the last level at most.
        earliest = ops.min(ops.append(first, len(ratios) - 1))
        x = samplers.run(plan, self.clean, draw, x, earliest, revise)
        return self.outward(x)

    @restored({"small_images": small, "seed": inputs.seed})
    def super_resolve(self, small_images, seed):
        """Enlarge by `scale`, so that the means of its squares are the pixels given.

        DDNM (Wang et al., 2023), eq. 17: A takes means of squares, A⁺ repeats them.
        """
        height, width, channels = self.image_shape
        k = self.scale
        cells = (-1, height // k, k, width // k, k, channels)
        y = self.inward(small_images)[:, :, None, :, None, :]

        def project(x_0):  # A⁺ y + (I - A⁺ A) x_0
            x = ops.reshape(x_0, cells)
            x = x + y - ops.mean(x, axis=(2, 4), keepdims=True)
            return ops.reshape(x, (-1, *self.image_shape))

        return self._null_space(project, seed)

    @restored({"images": inputs.images, "seed": inputs.seed})
    def deblur(self, images, seed):
        """Undo a Gaussian blur of `blur` pixels (standard deviation, mirrored rim).

        DDNM, in the basis of cosines, in which such a blur is a product. Cosines that
        it leaves less than a twentieth of are lost in rounding, and left to the model.
        """
        height, width, _ = self.image_shape
        rows, columns = (
            dct(np.eye(size), norm="ortho", axis=0) for size in (height, width)
        )
        kept = np.outer(*(_attenuation(size, self.blur) for size in (height, width)))
        inverse = np.where(kept > 0.05, 1.0 / kept, 0.0)[..., None]
        seen = (kept > 0.05)[..., None]
        y = _constant(inverse) * _both_sides(rows, columns, self.inward(images))

        def project(x_0):  # A⁺ y + (I - A⁺ A) x_0
            spectrum = _constant(seen) * _both_sides(rows, columns, x_0)
            return x_0 + _both_sides(rows.T, columns.T, y - spectrum)

        return self._null_space(project, seed)

    def _null_space(self, project, seed):
        """DDNM, algorithm 1: estimates of x_0 are made to agree with what is known."""

        def clean(x, t):
            return project(self.clean(x, t))

        return self.outward(samplers.run(self._plan(), clean, self.noise(seed)))

    def _levels(self):
        return samplers.Levels.of(self.alpha_bar, self.restoration_steps)

    def _plan(self):
        return samplers.ddpm(self.alpha_bar, self.restoration_steps)


def _attenuation(size: int, blur: float) -> np.ndarray:
    """What a Gaussian blur leaves of each cosine."""
    return np.exp(-0.5 * (np.arange(size) * np.pi / size * blur) ** 2)


def _both_sides(rows, columns, images):
    """Matrices applied to the rows and columns of images."""
    x = ops.transpose(images, (0, 3, 1, 2))
    x = ops.matmul(ops.matmul(_constant(rows), x), _constant(columns.T))
    return ops.transpose(x, (0, 2, 3, 1))


def _constant(values):
    return ops.convert_to_tensor(values.astype("float32"))
