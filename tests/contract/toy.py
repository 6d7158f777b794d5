"""A whole new model in one file: probabilistic PCA, for tests."""

import math

import keras
from keras import ops

from kerasgen import GenerativeModel, Phase, inputs
from kerasgen.distributions import Gaussian, log_mean_exp, normal_kl, normal_log_prob
from kerasgen.inputs import Input
from kerasgen.models.images import TakesImages, image_shape_of
from kerasgen.random import Noise
from kerasgen.signature import served


class LinearGaussian(TakesImages, GenerativeModel):
    """x = W z + b + scale * noise, z normal (Tipping & Bishop, 1999)."""

    score_samples = 50

    def __init__(self, image_shape, latent_dim, scale=0.2, **kwargs):
        super().__init__(**kwargs)
        self.image_shape = image_shape_of(image_shape)
        self.latent_dim, self.likelihood = latent_dim, Gaussian(scale)
        size = math.prod(self.image_shape)
        self.encoder = keras.layers.Dense(latent_dim)
        self.encoder.build((None, size))
        self.decoder = keras.layers.Dense(size)
        self.decoder.build((None, latent_dim))
        self.log_variance = self.add_weight(name="log_variance", shape=(latent_dim,))
        self.build()

    def check(self, x, y=None, labelled=True):
        """Nothing: what is normal may be any number."""

    def phases(self):
        return [Phase("elbo", [self], self.example_losses, ["loss", "nll", "kl"])]

    def example_losses(self, batch, noise, training):
        z = self.posterior(batch["images"], noise.normal((1, self.latent_dim)))
        nll = -self.likelihood.log_prob(batch["images"][:, None], self.decode(z))[:, 0]
        mean = self.encoder(ops.reshape(batch["images"], (-1, self.decoder.units)))
        kl = ops.sum(normal_kl(mean, self.log_variance), axis=1)
        return {"loss": nll + kl, "nll": nll, "kl": kl}

    def posterior(self, images, noise):
        mean = self.encoder(ops.reshape(images, (-1, self.decoder.units)))
        return mean[:, None] + ops.exp(0.5 * self.log_variance) * noise

    def decode(self, z):
        return ops.reshape(self.decoder(z), (-1, z.shape[1], *self.image_shape))

    @served({"seed": inputs.seed}, ["images"], name="generate")
    def sample(self, seed):
        return self.decode(Noise(seed).normal((1, self.latent_dim)))[:, 0]

    @served(
        {"images": lambda model: Input(model.image_shape), "seed": inputs.seed},
        ["log_likelihood"],
        tolerance=2e-3,
    )
    def score(self, images, seed):
        z = self.posterior(images, Noise(seed).normal((50, self.latent_dim)))
        mean = self.encoder(ops.reshape(images, (-1, self.decoder.units)))[:, None]
        weight = self.likelihood.log_prob(images[:, None], self.decode(z))
        weight += normal_log_prob(z) - normal_log_prob(z, mean, self.log_variance)
        return log_mean_exp(weight)
