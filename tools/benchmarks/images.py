"""Speed of models of images: training steps, input, and the sampler's loop."""

import itertools
import math
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from benchmarks.common import Case, endless, exported, gemm_peak, other_python
from keras import layers, ops

import kerasgen
from kerasgen import data
from kerasgen.data.stream import stream
from kerasgen.random import Noise, row_seeds

DENSE = {"name": "dense", "widths": [200, 200]}


class PlainVAE(keras.Model):
    """The dense VAE as one writes it in plain Keras, for one device."""

    def __init__(self):
        super().__init__()
        hidden = {"units": 200, "activation": "relu"}
        self.encoder = keras.Sequential(
            [
                layers.Input((28, 28, 1)),
                layers.Flatten(),
                layers.Dense(**hidden),
                layers.Dense(**hidden),
                layers.Dense(100),
            ]
        )
        self.decoder = keras.Sequential(
            [
                layers.Input((50,)),
                layers.Dense(**hidden),
                layers.Dense(**hidden),
                layers.Dense(784),
                layers.Reshape((28, 28, 1)),
            ]
        )
        self.noise = keras.random.SeedGenerator(0)
        self.trackers = [keras.metrics.Mean(name) for name in ("loss", "nll", "kl")]

    @property
    def metrics(self):
        return self.trackers

    def train_step(self, images):
        with tf.GradientTape() as tape:
            mean, log_variance = ops.split(self.encoder(images), 2, axis=1)
            epsilon = keras.random.normal(ops.shape(mean), seed=self.noise)
            logits = self.decoder(mean + ops.exp(0.5 * log_variance) * epsilon)
            nll = tf.nn.sigmoid_cross_entropy_with_logits(images, logits)
            nll = ops.sum(nll, axis=(1, 2, 3))
            kl = ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance
            kl = 0.5 * ops.sum(kl, axis=1)
            loss = ops.mean(nll + kl)
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(
            zip(gradients, self.trainable_weights, strict=True)
        )
        for tracker, value in zip(self.trackers, (nll + kl, nll, kl), strict=True):
            tracker.update_state(value)
        return {tracker.name: tracker.result() for tracker in self.trackers}


def dense_vae(latent_dim=50, network=DENSE, **options) -> kerasgen.VAE:
    model = kerasgen.VAE((28, 28, 1), latent_dim, network, network)
    model.compile(keras.optimizers.Adam(1e-3), **options)
    return model


def vae_step() -> Iterator[Case]:
    """Training steps of the dense VAE, batch 128, against plain Keras."""
    steps, images = 200, np.random.default_rng(0).random((128, 28, 28, 1), "float32")
    batches = endless(images).prefetch(2)
    ours, peer = dense_vae(), PlainVAE()
    peer.compile(keras.optimizers.Adam(1e-3))

    def fit(model):
        return lambda: model.fit(
            batches, steps_per_epoch=steps, shuffle=False, verbose=0
        )

    yield "vae_step", fit(ours), fit(peer), "s/step", steps


def vae_fit() -> Iterator[Case]:
    """Epochs of MNIST: our stream against tfds with a map over single examples.

    The model is a small one, compiled: on few cores a slow step hides its data.
    """
    import tensorflow_datasets as tfds

    train = data.load("tfds:mnist")["train"]
    size, epochs, steps = 256, 5, 220  # of 222 full batches
    small = {"name": "dense", "widths": [32]}
    model = dense_vae(8, small, steps_per_execution=44, jit_compile=True)
    rounds = itertools.count()

    def fit(batches):
        model.fit(batches, epochs=epochs, steps_per_epoch=steps, verbose=0)

    def ours():
        first = next(rounds) * epochs * steps
        fit(stream(train, size, 0, first, first + epochs * steps, binarize=True))

    def binarized(image, label):
        image = tf.cast(image, tf.float32) / 255.0
        return tf.cast(tf.random.uniform(tf.shape(image)) < image, tf.float32), label

    examples = tfds.load("mnist", split="train", as_supervised=True, shuffle_files=True)
    batches = examples.shuffle(10_000).repeat().map(binarized, tf.data.AUTOTUNE)
    batches = batches.batch(size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)

    yield "vae_fit", ours, lambda: fit(batches), "s/epoch", epochs


def ddpm_loop() -> Iterator[Case]:
    """The exported sampler against as many calls of the exported `predict_noise`.

    The network of ddpm_mnist; with guidance, rows are in the network twice.
    """
    rows, steps = 16, 25
    network = {"name": "unet", "widths": [32, 64], "blocks": 1, "patch": 2}
    for name, classes in (("ddpm_loop", 0), ("ddpm_loop/guided", 10)):
        model = kerasgen.DDPM(
            (28, 28, 1), network, classes=classes, sampling_steps=steps
        )
        for weight in model.network.trainable_variables:  # some begin as zeros
            weight.assign_add(ops.full(weight.shape, 0.01))
        sessions = [exported(model, key) for key in ("generate", "predict_noise")]
        twice = 2 if classes else 1
        images = np.asarray(Noise(row_seeds(0, twice * rows)).normal(model.image_shape))
        inputs = {"seed": row_seeds(0, rows)}, {"noisy_images": images}
        inputs[1]["timestep"] = np.full(twice * rows, 500, "int32")
        if classes:
            label = np.arange(rows, dtype="int32") % classes
            inputs[0].update(label=label, guidance=np.full(rows, 2.0, "float32"))
            inputs[1]["label"] = np.tile(label, twice)

        def ours(run=sessions[0].run, feeds=inputs[0]):
            run(None, feeds)

        def peer(run=sessions[1].run, feeds=inputs[1]):
            for _ in range(steps):
                run(None, feeds)

        yield name, ours, peer, "s/step", steps


def unet_step() -> Iterator[Case]:
    """Training steps of a U-Net, batch 64, against diffusers in PyTorch, eager."""
    size, batch, steps = 28, 64, 3
    shapes = {"size": size, "widths": [32, 64, 96], "blocks": 2, "batch": batch}
    network = {"name": "unet", "widths": shapes["widths"], "blocks": shapes["blocks"]}
    model = kerasgen.DDPM((size, size, 1), network)
    model.compile(keras.optimizers.Adam(1e-4))
    images = np.random.default_rng(0).random((batch, size, size, 1), "float32")
    batches = endless(images)
    # Backwards, each product is done twice: for its inputs and for its weights.
    flops = 3 * batch * forward_flops(model.network)

    def ours():
        model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)

    def about(found):
        share = flops / found["ours"] / gemm_peak()
        return {
            "parameters": model.count_params(),
            "peer_parameters": parameters,
            "flops": flops,
            "share_of_gemm_peak": share,
            "peer_share_of_gemm_peak": share / found["ratio"],
        }

    for name, memory in (
        ("unet_step", "contiguous_format"),
        ("unet_step/channels_last", "channels_last"),
    ):
        values = shapes | {"groups": 8, "memory_format": memory}
        with other_python("unet.py", values) as (parameters, run):
            yield name, ours, lambda: run(steps), "s/step", steps, about  # noqa: B023


def forward_flops(network: keras.Model) -> int:
    """Of convolutions and products of an image: a multiply and an add each."""
    total = 0
    for layer in network.layers:
        if isinstance(layer, layers.Conv2DTranspose):
            total += (
                2 * math.prod(layer.kernel.shape) * math.prod(layer.input.shape[1:3])
            )
        elif isinstance(layer, (layers.Conv2D, layers.Dense)):
            places = math.prod(layer.output.shape[1:-1])
            total += 2 * math.prod(layer.kernel.shape) * places
        elif type(layer).__name__ == "Matmul":
            total += 2 * math.prod(layer.output.shape[1:]) * layer.input[0].shape[-1]
    return total
