"""Compare the speed of kerasgen with others', side by side.

    python tools/benchmark.py [--only NAME] [--rounds N] [--json FILE]

Ours and the peer run in turn in one process, several rounds, after a warm-up round
each; `ratio` is the median of the rounds' paired ratios, peer's time / our time, so
above 1 is ours faster. Times themselves mean little on shared machines.
"""

import argparse
import contextlib
import functools
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import step_peer
import tensorflow as tf
from keras import layers, ops

import kerasgen
from kerasgen import data, decoding, recipe, zoo
from kerasgen.data.stream import stream
from kerasgen.errors import InputError, unknown
from kerasgen.export import onnx
from kerasgen.random import Noise, row_seeds
from kerasgen.tokenizers import Bytes, Characters

# A benchmark yields (name, ours, peer, unit, units): two functions that do `units` of
# work, to be timed (or that return their own time as a float); and, where there is more
# to say, a function of what was found. A new one is a function here and its entry in
# BENCHMARKS.
Case = tuple  # of these five or six

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
    batches = tf.data.Dataset.from_tensors(images).repeat().prefetch(2)
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
        sessions = [_session(model, key) for key in ("generate", "predict_noise")]
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


def _session(model, signature: str):
    """A signature, exported to ONNX, in ONNX Runtime."""
    return _opened(onnx.convert(model.signatures()[signature], {}))


def _opened(proto):
    import onnxruntime

    return onnxruntime.InferenceSession(proto.SerializeToString())


def unet_step() -> Iterator[Case]:
    """Training steps of a U-Net, batch 64, against diffusers in PyTorch, eager."""
    size, batch, steps = 28, 64, 3
    shapes = {"size": size, "widths": [32, 64, 96], "blocks": 2, "batch": batch}
    network = {"name": "unet", "widths": shapes["widths"], "blocks": shapes["blocks"]}
    model = kerasgen.DDPM((size, size, 1), network)
    model.compile(keras.optimizers.Adam(1e-4))
    images = np.random.default_rng(0).random((batch, size, size, 1), "float32")
    batches = tf.data.Dataset.from_tensors(images).repeat()
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
        with other_python("unet_peer.py", values) as (parameters, run):
            yield name, ours, lambda: run(steps), "s/step", steps, about  # noqa: B023


GPT = {"vocabulary": 258, "context": 1024, "width": 384, "depth": 6, "heads": 6}


def gpt2_shaped(**options) -> kerasgen.LanguageModel:
    """A language model on bytes, of the shape `GPT`."""
    shape = {key: GPT[key] for key in ("width", "depth", "heads")}
    network = {"name": "transformer", "style": "gpt2", **shape}
    model = kerasgen.LanguageModel(Bytes(), GPT["context"], network, opening="\n")
    model.compile(**options)
    return model


def lm_generate() -> Iterator[Case]:
    """200 greedy tokens after 12, at batch 1 and 8.

    Keras against keras_hub's GPT-2, compiled by XLA, and against PyTorch transformers;
    ONNX Runtime against transformers; and Keras at position 1,000 against itself at 100
    (`position`: the ratio is the share of time that a token takes there).
    """
    prompt, new = 12, 200
    model = gpt2_shaped(jit_compile=True)
    session = _session(model, "generate")
    rng = np.random.default_rng(0)

    def inputs(batch, prompt, new):
        ids = rng.integers(2, GPT["vocabulary"], (batch, prompt), dtype="int32")
        options = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "max_new_tokens": new}
        values = {key: np.full(batch, value) for key, value in options.items()}
        values |= {"token_ids": ids, "seed": row_seeds(0, batch)}
        return model.signatures()["generate"].check(values)

    for batch in (1, 8):
        feeds = inputs(batch, prompt, new)

        def ours(feeds=feeds):
            model.serve("generate", **feeds)

        def ours_onnx(feeds=feeds):
            session.run(None, feeds)

        unit = "s/token", batch * new
        yield f"lm_generate/keras_hub/{batch}", ours, keras_hub_gpt2(feeds, new), *unit
        values = GPT | {"mode": "generate", "batch": batch, "prompt": prompt}
        with other_python("lm_peer.py", values) as (_, run):
            peer = functools.partial(run, new)
            yield f"lm_generate/transformers/{batch}", ours, peer, *unit
            yield f"lm_generate/onnx/{batch}", ours_onnx, peer, *unit

    def at(position):
        """20 tokens there, less the time of the prompt and the first."""
        feeds = [inputs(1, position - 10, n) for n in (1, 21)]

        def run() -> float:
            ends = [time.perf_counter()]
            for values in feeds:
                model.serve("generate", **values)
                ends.append(time.perf_counter())
            return (ends[2] - ends[1]) - (ends[1] - ends[0])

        return run

    yield "lm_generate/position", at(1000), at(100), "s/token", 20


def keras_hub_gpt2(feeds: dict, new: int) -> Callable:
    """keras_hub's `generate` of the same shape, at its best setting."""
    import keras_hub

    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=GPT["vocabulary"],
        num_layers=GPT["depth"],
        num_heads=GPT["heads"],
        hidden_dim=GPT["width"],
        intermediate_dim=4 * GPT["width"],
        max_sequence_length=GPT["context"],
    )
    peer = keras_hub.models.GPT2CausalLM(backbone, preprocessor=None)
    peer.compile(sampler="greedy", jit_compile=True)
    ids = np.pad(feeds["token_ids"], [[0, 0], [0, new]])
    rows = {"token_ids": ids, "padding_mask": (ids != 0).astype("int32")}
    return lambda: peer.generate(rows, stop_token_ids=None)


def lm_step() -> Iterator[Case]:
    """Training steps, context 256, batch 8, against nanoGPT in PyTorch, eager."""
    batch, length, steps = 8, 256, 2
    model = gpt2_shaped(optimizer=keras.optimizers.AdamW(1e-4, global_clipnorm=1.0))
    ids = np.random.default_rng(0).integers(2, GPT["vocabulary"], (batch, length + 1))
    batches = tf.data.Dataset.from_tensors(ids.astype("int32")).repeat()

    def ours():
        model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)

    values = GPT | {"mode": "train", "batch": batch, "prompt": length + 1}
    with other_python("lm_peer.py", values) as (parameters, run):

        def about(found):
            flops = 6 * (parameters - GPT["context"] * GPT["width"]) * batch * length
            share = flops / found["ours"] / gemm_peak()
            return {
                "parameters": model.count_params(),
                "peer_parameters": parameters,
                "share_of_gemm_peak": share,
            }

        yield "lm_step", ours, lambda: run(steps), "s/step", steps, about


def backends() -> Iterator[Case]:
    """Training steps on JAX against TensorFlow, of a recipe of every family.

    Of those on bundled data, where a family has one.
    """
    families = {}
    for name in sorted(recipe.names(), key=lambda n: "bundled" not in source(n)):
        families.setdefault(recipe.read(name).family, name)
    for family, name in sorted(families.items()):
        _, peer = step_peer.steps(name, "tensorflow")
        values = {"recipe": name, "backend": "jax"}
        with other_python("step_peer.py", values) as (parameters, ours):
            for run in (peer, ours):
                run(3)  # compiles
            start = time.perf_counter()
            peer(5)
            rest = time.perf_counter() - start
            steps = min(200, max(5, round(5 * 2.0 / rest)))  # of about 2 seconds
            about = {"recipe": name, "parameters": parameters, "steps": steps}
            both = (functools.partial(run, steps) for run in (ours, peer))
            yield f"backends/{family}", *both, "s/step", steps, lambda _: about  # noqa: B023


def source(name: str) -> str:
    """What a recipe reads."""
    return str(recipe.read(name).data)


# The shape of translator_multi30k, on sentences of its length.
TRANSLATOR = {"width": 160, "depth": 4, "heads": 4, "hidden": 432}
SENTENCES = {"batch": 32, "source": 16, "target": 20, "beam": 5}


def translate() -> Iterator[Case]:
    """Beam search of forced length, as served (and in ONNX Runtime), against PyTorch
    transformers' MarianMT."""
    tokenizer = Characters("".join(map(chr, range(0x4E00, 0x4E00 + 5998))))
    network = {"name": "transformer", **TRANSLATOR}
    model = kerasgen.Translator(tokenizer, 64, network, beam=SENTENCES["beam"])

    def forced(token_ids):
        memories, seen = model.network.encode(token_ids)

        def step(last, t, past):
            return model.network.step(last, t, past, memories, seen, model.beam)

        limits = 0 * token_ids[:, 0] + SENTENCES["target"]
        cache = model.network.empty(memories, model.beam)
        options = {"start": 1, "stop": 1, "forbidden": (0, 1)}  # so that none ends
        found = decoding.beam_search(step, cache, limits, model.beam, **options)
        return {"output_ids": found}

    inputs = model.signatures()["translate_ids"].inputs
    signature = model.signature(forced, inputs, ["output_ids"])
    proto = onnx.convert(signature, {})
    session = _opened(proto)
    shape = SENTENCES["batch"], SENTENCES["source"]
    ids = np.random.default_rng(0).integers(2, tokenizer.size, shape, dtype="int32")

    def ours():
        signature(token_ids=ids)

    def ours_onnx():
        session.run(None, {"token_ids": ids})

    values = TRANSLATOR | SENTENCES | {"vocabulary": tokenizer.size}
    with other_python("translation_peer.py", values) as (parameters, run):

        def peer():
            run(1)

        def about(found):
            both = {"parameters": model.count_params(), "peer_parameters": parameters}
            return both | {"sentences_per_second": 1.0 / found["ours"]}

        unit = "s/sentence", SENTENCES["batch"]
        yield "translate", ours, peer, *unit, about
        yield "translate/onnx", ours_onnx, peer, *unit, about


def every_runtime() -> Iterator[Case]:
    """The first signature that all have of each family's largest artifact, at batch 1
    and 32: each runtime of exported files against the compiled function of Keras."""
    largest = {}
    for path in sorted(zoo.SAVED_MODELS.glob("*/manifest.json")):
        place = zoo.find(path.parent)
        parameters = json.loads(path.read_text(encoding="utf-8"))["parameters"]
        largest[place.recipe().family] = max(
            largest.get(place.recipe().family, (0, None)),
            (parameters, place),
            key=lambda entry: entry[0],
        )
    for family, (_, place) in largest.items():
        model = zoo.load_keras(place.keras)
        signature, about = next(
            (name, s) for name, s in model.signatures().items() if s.only is None
        )
        for runtime in ("savedmodel", "onnx", "litert"):
            try:
                serve, _ = zoo.server(place, runtime, signature)
            except InputError:
                continue  # it isn't exported to that
            for batch in (1, 32):
                rows = about.example(batch)
                ours = functools.partial(serve, signature, **rows)
                peer = functools.partial(model.serve, signature, **rows)
                yield f"runtimes/{family}/{runtime}/{batch}", ours, peer, "s/call", 1


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


def gemm_peak() -> float:
    """FLOP/s of the best of several large float32 products."""
    a = tf.random.normal((2048, 2048))
    best = math.inf
    for _ in range(10):
        start = time.perf_counter()
        tf.linalg.matmul(a, a).numpy()
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best


@contextlib.contextmanager
def other_python(program: str, values: dict):
    """A peer that needs an environment of its own: its first word, and a function that
    has it take steps."""
    python = os.environ.get("KERASGEN_PEER_PYTHON", sys.executable)
    script = Path(__file__).parent / program
    with subprocess.Popen(
        [python, str(script), json.dumps(values)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        first = process.stdout.readline()
        if not first:
            raise InputError(
                "this peer needs `pip install torch diffusers transformers` in an "
                "environment of its own: give its python as KERASGEN_PEER_PYTHON"
            )

        def run(steps: int) -> None:
            print(steps, file=process.stdin, flush=True)
            process.stdout.readline()

        try:
            yield int(first), run
        finally:
            process.stdin.close()


BENCHMARKS = {
    "vae_step": vae_step,
    "vae_fit": vae_fit,
    "ddpm_loop": ddpm_loop,
    "unet_step": unet_step,
    "lm_generate": lm_generate,
    "lm_step": lm_step,
    "backends": backends,
    "translate": translate,
    "runtimes": every_runtime,
}


def measure(ours: Callable, peer: Callable, rounds: int, units: int) -> dict:
    """Time both in turn, swapping who goes first from round to round."""
    times, first = {ours: [], peer: []}, {}
    for i in range(-1, rounds):  # round -1 warms up
        for function in (ours, peer) if i % 2 else (peer, ours):
            start = time.perf_counter()
            own = function()
            taken = own if isinstance(own, float) else time.perf_counter() - start
            if i < 0:
                first[function] = taken
            else:
                times[function].append(taken / units)
    ratios = [p / o for o, p in zip(times[ours], times[peer], strict=True)]
    return {
        "ratio": statistics.median(ratios),
        "ours": statistics.median(times[ours]),
        "peer": statistics.median(times[peer]),
        "runs": ratios,
        "first_call": {"ours": first[ours], "peer": first[peer]},  # in seconds
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Compare kerasgen's speed with others'."
    )
    parser.add_argument(
        "--only", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}"
    )
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    try:
        if options.only is not None and options.only not in BENCHMARKS:
            raise unknown("benchmark", options.only, BENCHMARKS)
        chosen = [options.only] if options.only else list(BENCHMARKS)
        results = {}
        for benchmark in chosen:
            for name, ours, peer, unit, units, *about in BENCHMARKS[benchmark]():
                found = measure(ours, peer, options.rounds, units) | {"unit": unit}
                results[name] = found | (about[0](found) if about else {})
                print(f"{name}: ratio {found['ratio']:.2f} ({options.rounds} rounds)")
    except InputError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
