"""What samples of images are like beside real ones, on three axes.

Fidelity: are samples like real images? Diversity: are all kinds of real images drawn,
and none of the training set merely repeated? Controllability: are samples what was
asked for?
"""

import numpy as np

from kerasgen import kinds
from kerasgen.errors import InputError, tell
from kerasgen.kinds.image import Image
from kerasgen.metrics import distances, features
from kerasgen.metrics.distances import FeatureStatistics

AXES = {
    "fidelity": ("fcd", "fcd_floor", "fid", "fid_floor", "kid", "precision", "density"),
    "diversity": ("recall", "coverage", "nearest_neighbour", "diversity", "classes"),
    "controllability": ("label_agreement",),
}
SIGNATURE = "generate"
FIGURES = tuple(name for names in AXES.values() for name in names)
VALUES = ("seed", "samples", "features")
NO_FEATURES = (
    "fidelity is not measured: images are compared by features. Set evaluate.features "
    "to mnist, fashion_mnist or inception, or to a classifier of such images as yours, "
    "trained by a recipe like features_mnist"
)
IGNORED = ("restoration_steps", "resampling", "scale", "blur", "levels")


def figures(model, serve, split, training, recipe, progress) -> dict:
    """What pixels tell, and, where a recipe names `evaluate.features`, what those
    do."""
    values = recipe.evaluate
    named, classes = values.features, label_count(model)
    extract = features.extractor(named, split.x.shape[1:]) if named else None
    if extract and classes and extract.classes not in (0, classes):
        raise InputError(
            f"evaluate.features: {named} tells {extract.classes} classes apart, not "
            f"the {classes} of the model"
        )
    n = min(values.samples, len(split), len(training))
    if n < 2:
        tell(
            "samples are not measured: that takes at least 2 of them, and 2 test images"
        )
        return {}
    images, asked = draw(model, serve, n, values.seed, progress)
    rng = np.random.default_rng(values.seed)
    real = split.take(rng.permutation(len(split))[:n])
    known = training.take(rng.permutation(len(training))[:n])
    found = _of_pixels(real, images, asked, training)
    if extract is None:
        tell(NO_FEATURES)
        return {name: (v, unit, n, note) for name, (v, unit, note) in found.items()}
    fake, fake_classes = extract(features.batches(images))
    test, test_classes = extract(features.batches(real.x))
    found |= _compared(test, fake, extract(features.batches(known.x))[0])
    if extract.classes:
        shares = np.bincount(fake_classes, minlength=extract.classes) / n
        note = f"classes that occur; the rarest is {shares.min():.1%} of samples"
        found["classes"] = (np.mean(shares > 0), "fraction", note)
    if extract.classes and classes:
        note = "of the class that was asked for, each equally often; "
        note += f"{np.mean(test_classes == real.y):.4g} of test images"
        found["label_agreement"] = (np.mean(fake_classes == asked), "fraction", note)
    return {
        name.replace("frechet", extract.figure): (
            value,
            unit,
            n,
            f"as many samples; {note}; {extract.about}",
        )
        for name, (value, unit, note) in found.items()
    }


def label_count(model) -> int:
    """The number of classes that samples can be asked for; 0 for none."""
    inputs = model.signatures()[SIGNATURE].inputs
    return int(inputs["label"].high) if "label" in inputs else 0


def draw(model, serve, n: int, seed: int, progress=lambda steps, *_: steps):
    """n samples, and the labels they were asked for: each equally often, or None."""
    classes, signatures = label_count(model), model.signatures()
    asked = np.arange(n) % classes if classes else None
    described, conditions = signatures[SIGNATURE].describe(), {"label": asked}
    draw = kinds.of(signatures).drawn
    return draw(serve, described, n, seed, conditions, progress=progress), asked


def _of_pixels(real, images, asked, training) -> dict:
    """Name -> value, unit, note: what needs no features."""
    pixels = features.scaled(real.x)
    # Of one class, where each has two samples.
    known = asked is not None and real.y is not None
    labels = (real.y, asked) if known and len(asked) >= 2 * len({*asked}) else ()
    which = "of the same class, " if labels else ""
    return {
        "nearest_neighbour": (
            distances.copies(features.batches(training.x, 5000), pixels, images),
            "fraction",
            "stand out by one training image, in pixels, more than 99% of test images "
            "do; fresh images give 0.01",
        ),
        "diversity": (
            distances.diversity(pixels, images, *labels),
            "",
            f"distance of two samples, {which}in pixels, ÷ that of two test images",
        ),
    }


def _compared(real, fake, known) -> dict:
    """Name -> value, unit, note: of samples beside real images, given features.

    `known` are as many training images, in place of samples: what perfect ones give.
    """
    found, floors = (_measured(real, other) for other in (fake, known))
    floor, unit, _ = floors["frechet"]
    named = {
        name: (value, unit, f"{note}; training images give {floors[name][0]:.4g}")
        for name, (value, unit, note) in found.items()
    }
    return named | {"frechet_floor": (floor, unit, Image.baseline)}


def _measured(real, fake) -> dict:
    """Name -> value, unit, note, of features `(n, features)` of both."""
    statistics = [FeatureStatistics.of([x]) for x in (real, fake)]
    kid, deviation = distances.kernel_distance(real, fake)
    few = len(real) - 1  # other images
    near, far = min(3, few), min(5, few)
    density, coverage = distances.density_and_coverage(real, fake, far)
    return {
        "frechet": (distances.frechet(*statistics), "", "of features as normals"),
        "kid": (kid, "", f"mean of 100 subsets, s.d. {deviation:.2g}"),
        "precision": (distances.precision(real, fake, near), "fraction", f"k={near}"),
        "density": (density, "", f"k={far}"),
        "recall": (distances.recall(real, fake, near), "fraction", f"k={near}"),
        "coverage": (coverage, "fraction", f"k={far}"),
    }
