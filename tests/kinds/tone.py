"""A whole new kind in one file, for tests: tones, rows of numbers, and their model.

Its evaluation is here too: this module is what `Tone.evaluations` names.
"""

import math

import numpy as np
from keras import ops

from kerasgen import GenerativeModel, Phase, inputs
from kerasgen.distributions import normal_log_prob
from kerasgen.files import atomic
from kerasgen.kinds import Kind
from kerasgen.models.images import TakesImages, image_shape_of
from kerasgen.random import Noise
from kerasgen.signature import served

SIGNATURE = "generate"
FIGURES = ("loudness_gap",)
VALUES = ("seed", "samples")
IGNORED = ()


class Tone(Kind):
    """float32 `(n, length)`, written as a line of numbers each."""

    names = frozenset(["tones"])
    suffixes = (".csv",)
    evaluations = (__name__,)
    baseline = "training tones in place of samples"
    script = """
export function show(canvas, { dims: [, length], data }, i) {
  [canvas.width, canvas.height] = [length, length];
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  for (let t = 0; t < length; t++) {
    const height = length * Math.min(1, Math.max(0, data[i * length + t]));
    context.fillRect(t, length - height, 1, height);
  }
}
"""

    def write(self, path, samples):
        with atomic(path) as temporary:
            np.savetxt(temporary, samples, "%.4g", ",")

    def excerpt(self, path):
        return path.read_text(encoding="utf-8").partition("\n")[0]


class ToneModel(TakesImages, GenerativeModel):
    """Each number is normal. What it learns from are pictures, row after row."""

    def __init__(self, image_shape, **kwargs):
        super().__init__(**kwargs)
        self.image_shape = image_shape_of(image_shape)
        self.length = math.prod(self.image_shape)
        for name in ("mean", "log_variance"):
            weight = self.add_weight(name=name, shape=(self.length,))
            setattr(self, name, weight)
        self.build()

    def phases(self):
        return [Phase("tones", [self], self.example_losses, ["loss"])]

    def example_losses(self, batch, noise, training):
        tones = ops.reshape(batch["images"], (-1, self.length))
        return {"loss": -normal_log_prob(tones, self.mean, self.log_variance)}

    @served({"seed": inputs.seed}, ["tones"], name="generate")
    def sample(self, seed):
        noise = Noise(seed).normal((self.length,))
        return self.mean + ops.exp(0.5 * self.log_variance) * noise


def figures(model, serve, split, training, recipe, progress) -> dict:
    """`loudness_gap`: how far the mean of samples is from that of real tones."""
    n, seed = min(recipe.evaluate.samples, len(training)), recipe.evaluate.seed
    described = model.signatures()[SIGNATURE].describe()
    tones = Tone().drawn(serve, described, n, seed, {}, progress=progress)
    real, known, drawn = split.x.mean() / 255, training.x.mean() / 255, tones.mean()
    note = f"of {n} samples; {Tone.baseline} give {abs(known - real):.4g}"
    return {"loudness_gap": (abs(drawn - real), "", n, note)}
