"""What samples are like while a model trains: as figures in the logs of `fit`."""

import itertools
import sys
from collections.abc import Iterable

import keras
import numpy as np

from kerasgen import kinds
from kerasgen.data import Split
from kerasgen.errors import InputError, require, require_positive
from kerasgen.metrics import distances, features
from kerasgen.metrics.distances import FeatureStatistics
from kerasgen.metrics.samples import SIGNATURE, draw, label_count

LEAST = 0.5  # of the diversity of real images, and of their classes


class Quality(keras.callbacks.Callback):
    """Compares samples with held-out images after an epoch.

    Adds to the logs, so to history, progress and TensorBoard (place it before callbacks
    that read them):

    - `val_diversity`: the root mean square distance of two samples ÷ that of two real
      images; for a conditional model, of two of the same class;
    - with features, `val_fcd` (or `val_fid`), their Fréchet distance from all held-out
      images, and `val_classes`, the share of classes that occur among the samples.

    The samples are those of fixed seeds and of the averaged weights, so figures are a
    pure function of the model. Says so once, when samples collapse into a few.

    Args:
        real: held-out images, with labels if the model is conditional.
        extract: an extractor of `kerasgen.metrics.features`; None compares pixels, and
            gives no other figure than the diversity.
        every: epochs from one measurement to the next.
        samples: number of samples, at least 2 a class.
        last: an epoch that is measured in any case.
    Raises:
        InputError: if the model draws no images, or a value is out of range.
    """

    def __init__(
        self,
        real: Split,
        extract: features.Extractor | None = None,
        every: int = 1,
        samples: int = 2000,
        last: int | None = None,
    ):
        super().__init__()
        require_positive(every=every, samples=samples)
        self.extract, self.every = extract, every
        self.samples, self.last = samples, last
        self.labels = real.y
        self.real, _ = self._seen(real.x)
        self.collapsed = []

    def resume(self, history: Iterable[dict]) -> None:
        """Continue after epochs with these logs."""
        self.collapsed = [collapse(row) for row in history if "val_diversity" in row]

    def set_model(self, model):
        super().set_model(model)
        served = model.signatures()
        if SIGNATURE not in served or not kinds.of(served).comparable:
            names = " or ".join(f"{k.name}s" for k in kinds.known() if k.comparable)
            raise InputError(f"train.quality_every is for models that draw {names}")
        classes = label_count(model)
        if classes and self.labels is None:
            raise InputError("train.quality_every needs labels for a conditional model")
        least = 2 * max(1, classes)
        enough = f"at least {least}, two a class"
        require(self.samples >= least, "train.quality_samples", enough, self.samples)
        groups = len(np.unique(self.labels)) if classes else 1
        held = "the number of validation images of train.quality_every"
        require(len(self.real) > groups, held, f"more than {groups}", len(self.real))

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every and epoch + 1 != self.last:
            return
        figures = self.measure()
        logs |= figures
        self.collapsed.append(collapse(figures))
        # Twice in a row: a model that has hardly begun may look collapsed.
        pairs = [all(pair) for pair in itertools.pairwise(self.collapsed)]
        if pairs and pairs.pop() and not any(pairs):
            print(f"kerasgen: {self.collapsed[-1]}", file=sys.stderr)

    def measure(self) -> dict[str, float]:
        """The figures of the model as it is."""
        images, asked = draw(self.model, self.model.serve, self.samples, seed=0)
        fake, classes = self._seen(images)
        labels = (None, None) if asked is None else (self.labels, asked)
        figures = {"val_diversity": distances.diversity(self.real, fake, *labels)}
        if self.extract:
            both = (FeatureStatistics.of([x]) for x in (self.real, fake))
            figures[f"val_{self.extract.figure}"] = distances.frechet(*both)
        if classes is not None:
            occurring = len(np.unique(classes))
            figures["val_classes"] = occurring / self.extract.classes
        return figures

    def _seen(self, images):
        """What is compared: features and classes, or pixels and None."""
        if self.extract:
            return self.extract(features.batches(images))
        return features.scaled(images), None


def collapse(figures: dict[str, float]) -> str:
    """What is wrong with the diversity of samples, and what to try; "" if nothing is.

    Args:
        figures: `val_diversity`, and `val_classes` if it is known.
    """
    shares = {
        "the diversity of real images": figures["val_diversity"],
        "their classes": figures.get("val_classes", 1.0),
    }
    low = [f"{share:.0%} of {what}" for what, share in shares.items() if share <= LEAST]
    if not low:
        return ""
    return (
        f"mode collapse: samples have {' and '.join(low)}. Try a lower "
        "train.learning_rate; for a GAN also a gradient penalty, augmentation or more "
        "critic steps"
    )
