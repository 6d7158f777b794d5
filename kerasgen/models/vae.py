"""Variational autoencoder: a latent-variable model trained by its lower bound."""

import numpy as np
from keras import ops

from kerasgen import distributions, inputs, networks
from kerasgen.distributions import log_mean_exp, normal_kl, normal_log_prob
from kerasgen.errors import InputError, require, require_at_least, require_positive
from kerasgen.models.base import GenerativeModel
from kerasgen.models.images import LABELLED, TakesImages, image_shape_of, one_hot
from kerasgen.models.phase import Phase
from kerasgen.networks.flow import CouplingFlow
from kerasgen.random import Noise
from kerasgen.signature import served


class VAE(TakesImages, GenerativeModel):
    """Variational autoencoder (Kingma & Welling, 2014).

    Images are in [0, 1]; all losses are in nats an image.

    Args:
        image_shape: (height, width, channels).
        latent_dim: number of latent coordinates, L.
        encoder: images, with one more channel a class where labels are given, ->
            `(batch, 2 L)`, mean and log-variance of q(z|x): a `keras.Model`, or what
            `kerasgen.networks.build` takes.
        decoder: `(batch, L + classes)` -> parameters of the likelihood, likewise.
        likelihood: "bernoulli", "gaussian" or "discretized_logistic", or a dict of
            that name and its values (`kerasgen.distributions`).
        prior: "normal", or {"depth": …, "width": …} of a `CouplingFlow` that learns
            the prior.
        classes: number of classes of a label-conditional model; 0 for none.
        beta: weight of the KL term (Higgins et al., 2017).
        kl_warmup_steps: steps over which that weight grows from 0 in training
            (Sønderby et al., 2016).
        free_bits: nats a latent coordinate that KL costs nothing below in training
            (Kingma et al., 2016, eq. 15, for each example); needs the normal prior.
            What is reported as "kl" is all of it.
        importance_samples: k of the importance-weighted bound that is maximised
            (Burda et al., 2016); 1 is the VAE.
        **kwargs: see `kerasgen.models.base.Model`.
    Raises:
        InputError: if a value is out of range or a network's shapes don't fit.
    """

    score_samples = 50  # importance samples of one call of the `score` signature

    def __init__(
        self,
        image_shape,
        latent_dim: int,
        encoder="dense",
        decoder="dense",
        likelihood="bernoulli",
        prior="normal",
        classes: int = 0,
        beta: float = 1.0,
        kl_warmup_steps: int = 0,
        free_bits: float = 0.0,
        importance_samples: int = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        require_positive(latent_dim=latent_dim, importance_samples=importance_samples)
        require_at_least(0, classes=classes, beta=beta, free_bits=free_bits)
        require_at_least(0, kl_warmup_steps=kl_warmup_steps)
        self.image_shape = height, width, channels = image_shape_of(image_shape)
        self.latent_dim, self.classes = latent_dim, classes
        self.beta, self.kl_warmup_steps = beta, kl_warmup_steps
        self.free_bits, self.importance_samples = free_bits, importance_samples
        self.likelihood = distributions.likelihood(likelihood)
        self.encoder = networks.build(
            "encoder",
            encoder,
            self.dtype_policy,
            input_shape=(height, width, channels + classes),
            outputs=2 * latent_dim,
        )
        parameters = channels * self.likelihood.parameters_per_channel
        self.decoder = networks.build(
            "decoder",
            decoder,
            self.dtype_policy,
            bounded=isinstance(self.likelihood, distributions.Gaussian),
            inputs=latent_dim + classes,
            output_shape=(height, width, parameters),
        )
        wanted = '"normal", or a dict of depth and width'
        known = isinstance(prior, dict) and set(prior) <= {"depth", "width"}
        require(prior == "normal" or known, "prior", wanted, prior)
        self.flow = None if prior == "normal" else CouplingFlow(latent_dim, **prior)
        if free_bits and (self.flow or importance_samples > 1):
            raise InputError("free_bits need the normal prior and importance_samples 1")
        self.build()

    def phases(self):
        networks = [self.encoder, self.decoder, *([self.flow] if self.flow else [])]
        terms = ["loss", "nll", "kl"]
        return [Phase("vae", networks, self.example_losses, terms)]

    def example_losses(self, batch, noise, training):
        """The negative lower bound, its two terms, and β between them (eq. 3)."""
        k = self.importance_samples
        mean, log_variance = self.posterior(**batch, training=training)
        z = self.sample_posterior(
            mean, log_variance, noise.normal((k, self.latent_dim))
        )
        nll = -self.log_likelihood(z, **batch, training=training)  # (B, k)
        if self.flow or k > 1:
            kl = self.log_posterior(z, mean, log_variance) - self.log_prior(z)
        else:
            by_coordinate = normal_kl(mean, log_variance)
            kl = ops.sum(by_coordinate, axis=1, keepdims=True)  # (B, 1)
        cost = kl
        if training and self.free_bits:
            cost = ops.maximum(by_coordinate, self.free_bits)
            cost = ops.sum(cost, axis=1, keepdims=True)
        loss = nll + self.kl_weight(training) * cost
        if k > 1:  # Burda et al., eq. 8: log of the mean weight
            loss = -log_mean_exp(-loss)[:, None]
        terms = {"loss": loss, "nll": nll, "kl": kl}
        return {name: ops.mean(value, axis=1) for name, value in terms.items()}

    def kl_weight(self, training):
        """β, growing from 0 while training warms up."""
        if not (training and self.kl_warmup_steps):
            return self.beta
        progress = ops.cast(self.step, "float32") / self.kl_warmup_steps
        return self.beta * ops.minimum(1.0, progress)

    # The model: q(z|x), p(z), p(x|z). Latents are (B, L), or (B, k, L) for k samples.

    def posterior(self, images, label=None, training=False):
        """Mean and log-variance of q(z|x), each `(B, L)`."""
        if self.classes:
            planes = one_hot(label, self.classes)[:, None, None, :]
            shape = (1, *self.image_shape[:2], 1)
            images = ops.concatenate([images, ops.tile(planes, shape)], axis=-1)
        return ops.split(self.encoder(images, training=training), 2, axis=-1)

    def sample_posterior(self, mean, log_variance, noise):
        """The reparameterisation trick (eq. 4): noise `(B, k, L)` -> z `(B, k, L)`."""
        return mean[:, None] + ops.exp(0.5 * log_variance)[:, None] * noise

    def log_posterior(self, z, mean, log_variance):
        """log q(z|x), `(B, k)`."""
        return normal_log_prob(z, mean[:, None], log_variance[:, None])

    def log_prior(self, z):
        """log p(z), `(B, k)`."""
        if self.flow is None:
            return normal_log_prob(z)
        flat = ops.reshape(z, (-1, self.latent_dim))
        return ops.reshape(self.flow.log_prob(flat), (-1, z.shape[1]))

    def sample_prior(self, noise):
        """Standard normal `(B, L)` -> z `(B, L)`."""
        return noise if self.flow is None else self.flow(noise)

    def parameters(self, z, label=None, training=False):
        """The decoder's output for z `(B, L)`."""
        if self.classes:
            z = ops.concatenate([z, one_hot(label, self.classes)], axis=-1)
        return self.decoder(z, training=training)

    def log_likelihood(self, z, images, label=None, training=False):
        """log p(x|z) for z `(B, k, L)`: `(B, k)`."""
        k = z.shape[1]
        label = ops.repeat(label, k) if self.classes else None
        flat = ops.reshape(z, (-1, self.latent_dim))
        parameters = self.parameters(flat, label, training)
        parameters = ops.reshape(parameters, (-1, k, *parameters.shape[1:]))
        return self.likelihood.log_prob(images[:, None], parameters)

    @served({"seed": inputs.seed, "label": inputs.label}, ["images"], name="generate")
    def sample(self, seed, label=None):
        """Expected images of row seeds, in [0, 1]."""
        z = self.sample_prior(Noise(seed).normal((self.latent_dim,)))
        return self.decode(z, label)

    @served(LABELLED, ["mean", "log_variance"])
    def encode(self, images, label=None):
        """Mean and log-variance of q(z|x), each `(B, L)`."""
        return self.posterior(images, label)

    @served({"latents": inputs.latents, "label": inputs.label}, ["images"])
    def decode(self, latents, label=None):
        """z `(B, L)` -> expected images in [0, 1]."""
        return self.likelihood.mean(self.parameters(latents, label))

    @served(LABELLED, ["reconstructions"])
    def reconstruct(self, images, label=None, training=False):
        """Images in [0, 1] -> expected images of their mean latents."""
        mean, _ = self.posterior(images, label, training)
        return self.decode(mean, label)

    @served(
        LABELLED | {"seed": inputs.seed},
        ["log_likelihood"],
        tolerance=2e-5,  # of many nats: a sum over all pixels
    )
    def score(self, images, seed, label=None):
        """log p(x) by importance sampling (Burda et al., eq. 8), `(B,)` nats."""
        mean, log_variance = self.posterior(images, label)
        noise = Noise(seed).normal((self.score_samples, self.latent_dim))
        z = self.sample_posterior(mean, log_variance, noise)
        weight = self.log_likelihood(z, images, label) + self.log_prior(z)
        weight -= self.log_posterior(z, mean, log_variance)
        return log_mean_exp(weight)

    def call(self, inputs, training=False):
        """Images, or a batch of `preprocess` -> reconstructions in [0, 1]."""
        batch = inputs if isinstance(inputs, dict) else self.preprocess(inputs)
        return self.reconstruct(**batch, training=training)

    # Pictures.

    def interpolate(self, seed: int, other: int, n: int) -> np.ndarray:
        """n images on the straight line between two draws of noise, `(n, …)`."""
        ends = [Noise(np.array([i])).normal((self.latent_dim,)) for i in (seed, other)]
        weight = np.linspace(0.0, 1.0, n, dtype="float32")[:, None]
        return self._decode_noise(
            np.asarray(ends[0]) * (1 - weight) + np.asarray(ends[1]) * weight
        )

    def traverse(self, images, span: float = 3.0, rows: int = 8) -> np.ndarray:
        """One image changed along the `rows` coordinates that change it most.

        8 steps from -span to span a row, in the space where the prior is standard
        normal: `(8 rows, …)`.
        """
        noise = self.serve("encode", images=np.asarray(images))["mean"]
        if self.flow:
            with self.averaged():
                noise = ops.convert_to_numpy(self.flow.inverse(noise)[0])
        moved = np.tile(noise[0], (self.latent_dim, 8, 1))
        for coordinate in range(self.latent_dim):
            moved[coordinate, :, coordinate] = np.linspace(-span, span, 8)
        found = self._decode_noise(moved.reshape(-1, self.latent_dim))
        found = found.reshape(self.latent_dim, 8, *self.image_shape)
        change = np.abs(found[:, -1] - found[:, 0]).mean(axis=(1, 2, 3))
        return np.concatenate(found[np.argsort(-change)[:rows]])

    def _decode_noise(self, noise):
        """Standard normal `(n, L)` -> images."""
        with self.averaged():
            z = ops.convert_to_numpy(self.sample_prior(ops.convert_to_tensor(noise)))
        return self.serve("decode", latents=z)["images"]
