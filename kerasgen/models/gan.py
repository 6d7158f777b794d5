"""Generative adversarial network: two networks, each trained on the other's errors."""

import functools
from collections.abc import Callable
from typing import NamedTuple

from keras import ops

from kerasgen import augmentation, inputs, networks
from kerasgen.choices import entry
from kerasgen.errors import require_at_least, require_positive
from kerasgen.models.base import GenerativeModel
from kerasgen.models.images import LABELLED, TakesImages, image_shape_of, one_hot
from kerasgen.models.phase import Phase
from kerasgen.models.trainers import input_gradients
from kerasgen.random import Noise
from kerasgen.signature import served


class Loss(NamedTuple):
    """An adversarial loss, as functions of the scores D(x)."""

    real: Callable  # the discriminator's, of real images
    fake: Callable  # and of generated ones; it minimises the sum of both
    generator: Callable  # the generator's, of its images


LOSSES = {
    # Goodfellow et al. (2014), eq. 1 and "log D" of section 3, with D = sigmoid(score).
    "non_saturating": Loss(
        real=lambda score: ops.softplus(-score),
        fake=ops.softplus,
        generator=lambda score: ops.softplus(-score),
    ),
    # Lim & Ye (2017); Miyato et al. (2018), eq. 16 and 17.
    "hinge": Loss(
        real=lambda score: ops.relu(1.0 - score),
        fake=lambda score: ops.relu(1.0 + score),
        generator=ops.negative,
    ),
    # Mao et al. (2017), eq. 9: targets 1 for real, 0 for fake.
    "least_squares": Loss(
        real=lambda score: 0.5 * ops.square(score - 1.0),
        fake=lambda score: 0.5 * ops.square(score),
        generator=lambda score: 0.5 * ops.square(score - 1.0),
    ),
    # Arjovsky et al. (2017), eq. 2; its critic needs a penalty.
    "wasserstein": Loss(ops.negative, lambda score: score, ops.negative),
}


def gradient_penalty(score, real, fake, noise):
    """(|dD/dx| - 1)^2 between reals and fakes (Gulrajani et al., 2017, eq. 3)."""
    between = real + noise.uniform((1, 1, 1)) * (fake - real)
    squares = _square_norm(input_gradients(score, between))
    return ops.square(ops.sqrt(squares + 1e-12) - 1.0)


def r1(score, real, fake, noise):
    """|dD/dx|^2 / 2 at real images (Mescheder et al., 2018, eq. 9)."""
    return 0.5 * _square_norm(input_gradients(score, real))


def no_penalty(score, real, fake, noise):
    """0 for each image."""
    return ops.zeros_like(real[:, 0, 0, 0])


# `(score, real, fake, noise)` -> `(batch,)`; score is D of images alone.
PENALTIES = {"none": no_penalty, "gradient_penalty": gradient_penalty, "r1": r1}

# The generator's last activation, and the value of black in its range.
OUTPUTS = {"sigmoid": (ops.sigmoid, 0.0), "tanh": (ops.tanh, -1.0)}


class GAN(TakesImages, GenerativeModel):
    """Generative adversarial network (Goodfellow et al., 2014).

    Where there are classes, the discriminator is that of projection (Miyato & Koyama,
    2018), and the generator's inputs are latents and a one-hot label. Label -1 is no
    class: both networks see none. Asked for it, `generate` draws a class.

    The discriminator trains first. Batch normalisation uses the statistics of the
    batch in both phases, and every batch moves the statistics that samples are drawn
    with. `ema_decay` averages the generator, these statistics included, and leaves the
    discriminator as it is.

    Args:
        image_shape: (height, width, channels).
        latent_dim: number of standard normal latent coordinates, L.
        generator: `(batch, L + classes)` -> images before `output`: a `keras.Model`,
            or what `kerasgen.networks.build` takes.
        discriminator: images -> `(batch, 1 + classes)`, likewise.
        output: "tanh" or "sigmoid", the last activation. It is also the range of
            values, [-1, 1] or [0, 1], in which the discriminator sees images.
        loss: "non_saturating", "hinge", "least_squares" or "wasserstein".
        penalty: "none", "gradient_penalty" or "r1", added to the discriminator's loss.
        penalty_weight: its factor: lambda, or gamma of R1.
        critic_repeats: updates of the discriminator a step. Each sees images of its
            own, as in algorithm 1 of Gulrajani et al. (2017): the batch of a step is
            dealt out to them, so `batch_size` is `critic_repeats` times what one
            update sees. The generator draws as many images as the batch has.
        augment: augmentation -> strength, of all images that the discriminator sees
            (`kerasgen.augmentation`).
        classes: number of classes of a label-conditional model; 0 for none.
        **kwargs: see `kerasgen.models.base.Model`.
    Raises:
        InputError: if a value is out of range or a network's shapes don't fit.
    """

    monitor = None  # no loss of two adversaries tells the best epoch

    def __init__(
        self,
        image_shape,
        latent_dim: int,
        generator="dense",
        discriminator="dense",
        output: str = "tanh",
        loss: str = "non_saturating",
        penalty: str = "none",
        penalty_weight: float = 10.0,
        critic_repeats: int = 1,
        augment: dict | None = None,
        classes: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        require_positive(latent_dim=latent_dim, critic_repeats=critic_repeats)
        require_at_least(0, classes=classes, penalty_weight=penalty_weight)
        self.image_shape = image_shape_of(image_shape)
        self.latent_dim, self.classes = latent_dim, classes
        self.output_activation, self.lowest = entry("output", output, OUTPUTS)
        self.adversarial = entry("loss", loss, LOSSES)
        self.penalty = entry("penalty", penalty, PENALTIES)
        self.penalty_weight, self.critic_repeats = penalty_weight, critic_repeats
        self.augment = augmentation.checked(augment or {})
        shapes = {"inputs": latent_dim + classes, "output_shape": self.image_shape}
        self.generator = networks.build(
            "generator", generator, self.dtype_policy, **shapes
        )
        shapes = {"input_shape": self.image_shape, "outputs": 1 + classes}
        self.discriminator = networks.build(
            "discriminator", discriminator, self.dtype_policy, **shapes
        )
        self.build()

    @property
    def averaged_variables(self):
        return [v for v in self.generator.variables if "float" in v.dtype]

    def phases(self):
        judge, draw = self.discriminator_losses, self.generator_losses
        critic = ["discriminator_loss", "real_score", "fake_score", "separation"]
        critic = [*critic, "penalty"], self.critic_repeats
        return [
            Phase("discriminator", [self.discriminator], judge, *critic),
            Phase("generator", [self.generator], draw, ["generator_loss"]),
        ]

    def discriminator_losses(self, batch, noise, training):
        """How wrong the discriminator is about reals and fakes, and the penalty.

        `separation` is the share of pairs of a real and a fake in which the real has
        the higher score: 0.5 where it can't tell them apart, 1 where it is saturated
        and may have nothing left to teach.
        """
        label = batch.get("label")
        score = functools.partial(self.scores, label=label, training=training)
        real = self.seen(self.inward(batch["images"]), noise, training)
        fake = self.drawn(label, noise, training)
        real_score, fake_score = score(real), score(fake)
        loss = self.adversarial.real(real_score) + self.adversarial.fake(fake_score)
        penalty = self.penalty(score, real, fake, noise)
        return {
            "discriminator_loss": loss + self.penalty_weight * penalty,
            "real_score": real_score,
            "fake_score": fake_score,
            "separation": ops.cast(real_score > fake_score, "float32"),
            "penalty": penalty,
        }

    def generator_losses(self, batch, noise, training):
        """How little the discriminator takes generated images for real."""
        label = batch.get("label")
        score = self.scores(self.drawn(label, noise, training), label, training)
        return {"generator_loss": self.adversarial.generator(score)}

    def drawn(self, label, noise, training):
        """Generated images as the discriminator sees them."""
        latents = noise.normal((self.latent_dim,))
        return self.seen(self.synthesize(latents, label, training), noise, training)

    def seen(self, images, noise, training):
        """Images augmented, in training."""
        return augmentation.augment(images, noise, self.augment if training else {})

    def synthesize(self, latents, label=None, training=False):
        """G(z, y): latents `(B, L)` -> images in the range of `output`."""
        if self.classes:
            latents = ops.concatenate([latents, one_hot(label, self.classes)], axis=1)
        return self.output_activation(self.generator(latents, training=training))

    def scores(self, images, label=None, training=False):
        """D(x, y) of images in the range of `output`: `(B,)`, higher is more real.

        psi(phi(x)) + y^T V phi(x) (Miyato & Koyama, eq. 3), where the network's last
        layer computes psi and V phi together.
        """
        outputs = self.discriminator(images, training=training)
        psi, v_phi = outputs[:, 0], outputs[:, 1:]
        if not self.classes:
            return psi
        return psi + ops.sum(one_hot(label, self.classes) * v_phi, axis=1)

    def inward(self, images):
        """[0, 1] -> the range of `output`."""
        return self.lowest + (1.0 - self.lowest) * images

    @served({"seed": inputs.seed, "label": inputs.label}, ["images"], name="generate")
    def sample(self, seed, label=None):
        """Images in [0, 1] of row seeds; label -1 draws a class."""
        noise = Noise(seed)
        latents = noise.normal((self.latent_dim,))
        if self.classes:
            label = ops.where(label < 0, noise.integers(self.classes), label)
        return self.decode(latents, label)

    @served({"latents": inputs.latents, "label": inputs.label}, ["images"])
    def decode(self, latents, label=None):
        """Latents `(B, L)` -> images in [0, 1]."""
        images = self.synthesize(latents, label)
        return (images - self.lowest) / (1.0 - self.lowest)

    @served(LABELLED, ["scores"], tolerance=2e-3)  # of scores that have no bounds
    def discriminate(self, images, label=None):
        """Images in [0, 1] -> scores `(B,)`."""
        return self.scores(self.inward(images), label)

    def call(self, inputs, training=False):
        """Images, or a batch of `preprocess` -> scores `(B,)`."""
        batch = inputs if isinstance(inputs, dict) else self.preprocess(inputs)
        return self.discriminate(**batch)


def _square_norm(gradients):
    """Of each image's: `(B, …)` -> `(B,)`."""
    return ops.sum(ops.square(gradients), axis=(1, 2, 3))
