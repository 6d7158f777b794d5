"""Denoising diffusion: a network learns to take noise away, and so to draw images."""

import functools

import numpy as np
from keras import ops

from kerasgen import inputs, networks
from kerasgen.backend import is_jax
from kerasgen.choices import entry
from kerasgen.diffusion import samplers, schedules, weightings
from kerasgen.diffusion.predictions import PREDICTIONS
from kerasgen.diffusion.restoration import Restores
from kerasgen.errors import require_at_least, require_positive, require_within
from kerasgen.inputs import Input
from kerasgen.models.base import GenerativeModel
from kerasgen.models.images import TakesImages, image_shape_of, one_hot
from kerasgen.models.phase import Phase
from kerasgen.signature import served


def guidance(model) -> Input | None:
    """How much more a label counts than none does, of models with labels."""
    if not model.classes:
        return None
    return Input(low=0.0, high=10.0, default=model.guidance)


class DDPM(Restores, TakesImages, GenerativeModel):
    """Denoising diffusion probabilistic model (Ho et al., 2020).

    Where there are classes, one network learns with and without a label, for
    classifier-free guidance (Ho & Salimans, 2022).

    Args:
        image_shape: (height, width, channels).
        network: (x_t, time[, one-hot label]) -> `prediction`: a `keras.Model`, or what
            `kerasgen.networks.build` takes ("unet", "convolutional").
        schedule: "linear", "cosine" or "edm", or a dict of that name and its values
            (`kerasgen.diffusion.schedules`).
        timesteps: T, the number of levels of noise.
        prediction: "eps", "x0" or "v", what the network predicts.
        weighting: "simple" or "min_snr", of the time steps in the loss.
        classes: number of classes of a label-conditional model; 0 for none.
        label_dropout: share of labels that training hides.
        sampler: "ddpm", "ddim", "heun" or "dpm-solver++", or a dict of that name and
            its values (`kerasgen.diffusion.samplers`).
        sampling_steps: of the sampler, at most `timesteps`.
        guidance: that samples take where none is given, in [0, 10].
        clip: keep each estimate of the clean image in range while sampling.
        restoration_steps: ancestral steps of the restorers, at most `timesteps`.
        resampling: how often `inpaint` takes each of them.
        scale: factor of `super_resolve`; divides height and width.
        blur: standard deviation, in pixels, of the blur that `deblur` undoes.
        levels: grey levels of the images, whose likelihood is bounded.
        **kwargs: see `kerasgen.models.base.Model`.
    Raises:
        InputError: if a value is out of range or the network's shapes don't fit.
    """

    def __init__(
        self,
        image_shape,
        network="unet",
        schedule="cosine",
        timesteps: int = 1000,
        prediction: str = "eps",
        weighting="simple",
        classes: int = 0,
        label_dropout: float = 0.1,
        sampler="dpm-solver++",
        sampling_steps: int = 25,
        guidance: float = 1.0,
        clip: bool = True,
        restoration_steps: int = 50,
        resampling: int = 8,
        scale: int = 2,
        blur: float = 1.5,
        levels: int = 256,
        **kwargs,
    ):
        super().__init__(**kwargs)
        require_at_least(0, classes=classes)
        require_at_least(2, levels=levels)
        require_positive(sampling_steps=sampling_steps)
        require_within(0, 1, label_dropout=label_dropout)
        require_within(0, 10, guidance=guidance)
        self.image_shape = image_shape_of(image_shape)
        self.alpha_bar = schedules.schedule(schedule, timesteps)
        self.prediction = entry("prediction", prediction, PREDICTIONS)
        self.step_weights = weightings.weights(
            weighting, self.alpha_bar, self.prediction
        )
        self.timesteps, self.classes = timesteps, classes
        self.label_dropout, self.clip, self.levels = label_dropout, clip, levels
        self.sampler, self.sampling_steps = sampler, sampling_steps
        self.guidance = guidance
        self.plan = samplers.plan(sampler, self.alpha_bar, sampling_steps)
        self.restores(restoration_steps, resampling, scale, blur)
        self.network = networks.build(
            "denoiser",
            network,
            self.dtype_policy,
            image_shape=self.image_shape,
            classes=classes,
        )
        self.build()

    def phases(self):
        terms = ["loss", "squared_error"]
        return [Phase("ddpm", [self.network], self.example_losses, terms)]

    def example_losses(self, batch, noise, training):
        """Algorithm 1: the error at one time step, weighted (eq. 14) and not."""
        x_0, label = self.inward(batch["images"]), batch.get("label")
        t, eps = noise.integers(self.timesteps), noise.normal(self.image_shape)
        if self.classes and training:
            label = ops.where(noise.uniform() < self.label_dropout, -1, label)
        alpha, sigma = self.noise_levels(t)
        target = self.prediction.target(x_0, eps, alpha, sigma)
        output = self.output_at(self.diffuse(x_0, t, eps), t, label, training=training)
        error = ops.mean(ops.square(target - output), axis=(1, 2, 3))
        weight = ops.take(_constant(self.step_weights), t)
        return {"loss": weight * error, "squared_error": error}

    # The process. x and eps are (B, H, W, C), in the range [-1, 1] of x_0; t is (B,).

    def inward(self, images):
        """[0, 1] -> [-1, 1]."""
        return 2.0 * images - 1.0

    def outward(self, x):
        """[-1, 1] -> [0, 1]."""
        return ops.clip(0.5 * (x + 1.0), 0.0, 1.0)

    def noise_levels(self, t):
        """alpha_t and sigma_t, the square roots of alpha_bar_t and 1 - alpha_bar_t."""
        found = (
            ops.take(_constant(np.sqrt(values)), t)[:, None, None, None]
            for values in (self.alpha_bar, 1.0 - self.alpha_bar)
        )
        return tuple(found)

    def diffuse(self, x_0, t, eps):
        """A sample of q(x_t | x_0) (eq. 4)."""
        alpha, sigma = self.noise_levels(t)
        return alpha * x_0 + sigma * eps

    def output_at(self, x, t, label=None, guidance=None, training=False):
        """What the network predicts of x_t, guided where `guidance` is given.

        Ho & Salimans, eq. 6, with w + 1 for guidance: without label at 0, with it at 1,
        and beyond. Rows that need both are twice in the batch.
        """
        time = ops.cast(t, "float32") * (1000.0 / self.timesteps)
        if not self.classes:
            return self.network((x, time), training=training)
        label_codes = one_hot(label, self.classes)
        if guidance is None:
            return self.network((x, time, label_codes), training=training)
        n = ops.shape(x)[0]
        # All rows or none: most often no row needs the second half.
        twice = ops.any(ops.logical_and(guidance != 1.0, label >= 0))
        m = n if is_jax() else ops.where(twice, n, 0)  # JAX wants a shape that is known
        inputs = (x, x), (time, time), (label_codes, ops.zeros_like(label_codes))
        inputs = (ops.concatenate([a, b[:m]]) for a, b in inputs)
        both = self.network(tuple(inputs))
        given, free = both[:n], ops.concatenate([both[n:], both[: n - m]])
        return free + guidance[:, None, None, None] * (given - free)

    def clean(self, x, t, label=None, guidance=None):
        """The estimate of x_0 (eq. 15)."""
        if self.classes and label is None:
            label = -ops.ones_like(t)
        output = self.output_at(x, t, label, guidance)
        x_0 = self.prediction.clean(output, x, *self.noise_levels(t))
        return ops.clip(x_0, -1.0, 1.0) if self.clip else x_0

    @served(
        {"seed": inputs.seed, "label": inputs.label, "guidance": guidance},
        ["images"],
        name="generate",
        tolerance=2e-3,
        loops=True,
        about=lambda model: model.how(),
    )
    def sample(self, seed, **conditions):
        """Images in [0, 1] of row seeds."""
        return self.denoised(self.noise(seed), **conditions)

    def denoised(self, draw, **conditions):
        """Images, from `draw`: stream -> standard normal noise (B, H, W, C)."""
        clean = functools.partial(self.clean, **conditions)
        return self.outward(samplers.run(self.plan, clean, draw))

    @served(
        {
            "noisy_images": lambda model: Input(model.image_shape),
            "timestep": lambda m: Input((), "int32", low=0, high=m.timesteps),
            "label": inputs.label,
        },
        ["noise"],
        constants=lambda model: {"alpha_bar": model.alpha_bar},
    )
    def predict_noise(self, noisy_images, timestep, label=None):
        """The noise in x_t, in [-1, 1], that the network sees there."""
        output = self.output_at(noisy_images, timestep, label)
        return self.prediction.noise(output, noisy_images, *self.noise_levels(timestep))

    def call(self, inputs, training=False):
        """Images, or a batch of `preprocess`, taken as x_0 with the least noise -> the
        estimate of the clean images."""
        batch = inputs if isinstance(inputs, dict) else self.preprocess(inputs)
        x = self.inward(batch["images"])
        t = ops.zeros_like(x[:, 0, 0, 0], "int32")
        return self.outward(self.clean(x, t, batch.get("label")))

    def how(self) -> str:
        """How samples are drawn, in a line."""
        name = self.sampler if isinstance(self.sampler, str) else dict(self.sampler)
        guided = f", guidance {self.guidance} where none is given" * bool(self.classes)
        return f"Sampler: {name}, {self.sampling_steps} steps{guided}"

    # Pictures.

    def interpolate(self, seed: int, other: int, n: int, **conditions) -> np.ndarray:
        """n images between those of two row seeds, `(n, …)`.

        All noise turns from that of one seed to that of the other, so it is normal all
        the way: cos(a) z + sin(a) z' for a from 0 to a right angle.
        """
        angle = np.linspace(0.0, np.pi / 2, n, dtype="float32")[:, None, None, None]
        seeds = (np.array([seed], "int32"), np.array([other], "int32"))

        def draw(stream):
            z, z_other = (self.noise(i)(stream) for i in seeds)
            return np.cos(angle) * z + np.sin(angle) * z_other

        with self.averaged():
            return ops.convert_to_numpy(self.denoised(draw, **conditions))


def _constant(values: np.ndarray):
    """Made inside of what is traced: from outside, ONNX loops would miss it."""
    return ops.convert_to_tensor(values.astype("float32"))
