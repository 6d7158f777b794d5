"""What samples of images are like beside real ones, on three axes.

Fidelity: are samples like real images? Diversity: are all kinds of real images drawn,
and none of the training set merely repeated? Controllability: are samples what was
asked for?
"""

import math

import numpy as np

from kerasgen.errors import InputError
from kerasgen.metrics import distances, features
from kerasgen.metrics.distances import FeatureStatistics
from kerasgen.models.base import generate_inputs, in_parts

SIGNATURE = "generate"


def figures(model, serve, split, training, recipe, progress) -> dict:
    """The figures of a recipe that names `evaluate.features`; none of others."""
    values = recipe.evaluate
    if values.features is None:
        return {}
    extract = features.extractor(values.features, split.x.shape[1:])
    inputs = model.signatures()[SIGNATURE].describe()["inputs"]
    labels = inputs["label"]["range"][1] if "label" in inputs else 0
    if labels and extract.classes not in (0, labels):
        raise InputError(
            f"evaluate.features: {values.features} tells {extract.classes} classes "
            f"apart, not the {labels} of the model"
        )
    rng = np.random.default_rng(values.seed)
    n = min(values.samples, len(split), len(training))
    real = split.take(rng.permutation(len(split))[:n])
    asked = np.arange(n) % labels if labels else None  # equally many of each
    rows = generate_inputs(inputs, n, values.seed, {"label": asked})
    drawn = progress(in_parts(serve, SIGNATURE, rows), "samples", math.ceil(n / 500))

    fake, fake_classes = extract(part["images"] for part in drawn)
    test, test_classes = extract(features.batches(real.x))
    known, _ = extract(features.batches(training.x))
    measured = _measured(test, fake)
    floors = _measured(test, known[rng.permutation(len(known))[:n]])
    fresh = {
        name: (value, unit, f"{note}; training images give {floors[name][0]:.4g}")
        for name, (value, unit, note) in measured.items()
    }
    value, unit, _ = floors["frechet"]
    fresh["frechet_floor"] = (value, unit, "training images in place of samples")
    fresh["nearest_neighbour"] = (
        distances.copies(known, test, fake),
        "fraction",
        "nearer to a training image than 99% of test images are; fresh ones give 0.01",
    )
    if extract.classes:
        shares = np.bincount(fake_classes, minlength=extract.classes) / n
        note = f"classes that occur; the rarest is {shares.min():.1%} of samples"
        fresh["classes"] = (np.mean(shares > 0), "fraction", note)
    if extract.classes and labels:
        right = np.mean(test_classes == real.y)
        note = f"of the class that was asked for; {right:.4g} of test images"
        fresh["label_agreement"] = (np.mean(fake_classes == asked), "fraction", note)
    return {
        name.replace("frechet", extract.figure): (
            value,
            unit,
            n,
            f"as many samples; {note}; {extract.about}",
        )
        for name, (value, unit, note) in fresh.items()
    }


def _measured(real, fake) -> dict:
    """Name -> value, unit, note, of features `(n, features)` of both."""
    statistics = [FeatureStatistics.of([x]) for x in (real, fake)]
    kid, deviation = distances.kernel_distance(real, fake)
    density, coverage = distances.density_and_coverage(real, fake)
    return {
        "frechet": (distances.frechet(*statistics), "", "lower is better"),
        "kid": (kid, "", f"mean of 100 subsets, s.d. {deviation:.2g}"),
        "precision": (distances.precision(real, fake), "fraction", "k=3"),
        "density": (density, "", "k=5"),
        "recall": (distances.recall(real, fake), "fraction", "k=3"),
        "coverage": (coverage, "fraction", "k=5"),
    }
