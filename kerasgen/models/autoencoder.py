"""Autoencoder: compress images to a few numbers and back."""

from keras import ops

from kerasgen import inputs, networks
from kerasgen.errors import require_positive
from kerasgen.models.base import Model
from kerasgen.models.images import TakesImages, image_shape_of
from kerasgen.models.phase import Phase
from kerasgen.signature import served


class Autoencoder(TakesImages, Model):
    """Autoencoder, minimising the squared reconstruction error.

    Hinton & Salakhutdinov (2006). Not a `GenerativeModel`: its latent space has no
    distribution to draw from.

    Args:
        image_shape: (height, width, channels).
        latent_dim: number of latent coordinates.
        encoder: images `(batch, *image_shape)` -> `(batch, latent_dim)`: a
            `keras.Model`, or what `kerasgen.networks.build` takes.
        decoder: `(batch, latent_dim)` -> `(batch, *image_shape)`, likewise; a sigmoid
            puts its output into [0, 1].
        **kwargs: see `kerasgen.models.base.Model`.
    Raises:
        InputError: if a value is out of range or a network's shapes don't fit.
    """

    def __init__(
        self,
        image_shape,
        latent_dim: int,
        encoder="dense",
        decoder="dense",
        **kwargs,
    ):
        super().__init__(**kwargs)
        require_positive(latent_dim=latent_dim)
        self.image_shape = image_shape_of(image_shape)
        self.latent_dim = latent_dim
        self.encoder = networks.build(
            "encoder",
            encoder,
            self.dtype_policy,
            input_shape=self.image_shape,
            outputs=latent_dim,
        )
        self.decoder = networks.build(
            "decoder",
            decoder,
            self.dtype_policy,
            inputs=latent_dim,
            output_shape=self.image_shape,
        )
        self.build()

    def phases(self):
        networks = [self.encoder, self.decoder]
        return [Phase("autoencoder", networks, self.example_losses, ["loss"])]

    def example_losses(self, batch, noise, training):
        """Squared error of each image, averaged over its pixels."""
        images = batch["images"]
        error = images - self.decode(self.encode(images, training), training)
        return {"loss": ops.mean(ops.square(error), axis=(1, 2, 3))}

    @served({"images": inputs.images}, ["reconstructions"])
    def reconstruct(self, images):
        """Images in [0, 1] -> what is left of them."""
        return self.decode(self.encode(images))

    @served({"images": inputs.images}, ["latents"])
    def encode(self, images, training=False):
        """Images in [0, 1] -> `(batch, latent_dim)`."""
        return self.encoder(images, training=training)

    @served({"latents": inputs.latents}, ["images"])
    def decode(self, latents, training=False):
        """`(batch, latent_dim)` -> images in [0, 1]."""
        return ops.sigmoid(self.decoder(latents, training=training))

    def call(self, inputs, training=False):
        """Images, or a batch of `preprocess` -> reconstructions in [0, 1]."""
        batch = inputs if isinstance(inputs, dict) else self.preprocess(inputs)
        return self.decode(self.encode(batch["images"], training), training)
