"""How often a classifier is right, and whether it knows when."""

import math

import numpy as np
from sklearn.metrics import f1_score

from kerasgen.data.examples import examples
from kerasgen.data.stream import arrays
from kerasgen.errors import InputError

SIGNATURE = "classify"
FIGURES = ("accuracy", "f1", "ece")
VALUES = IGNORED = ()
BINS = 15


def figures(model, serve, split, training, recipe, progress) -> dict:
    """`accuracy`, `f1`, and `ece`: the expected calibration error (Guo et al., 2017,
    eq. 3), the mean gap between confidence and accuracy in bins of equal confidence."""
    if split.y is None:
        raise InputError("a classifier is judged by labelled examples: these have none")
    size, seed = recipe.evaluate.batch_size, recipe.evaluate.seed
    rows = examples(model, split)
    batches = arrays(rows, size, seed, recipe.input.binarize, model.preprocess)
    batches = progress(batches, "accuracy", math.ceil(len(split) / size))
    # Texts are read before: not every runtime has strings.
    name = f"{SIGNATURE}_ids" if split.is_text else SIGNATURE
    outputs = [
        serve(name, **{key: value for key, value in batch.items() if key != "label"})
        for batch in batches
    ]
    probabilities = np.concatenate([part["probabilities"] for part in outputs])
    found, n = probabilities.argmax(axis=1), len(split)
    right = (found == split.y).astype("float64")
    gaps = calibration_gaps(probabilities.max(axis=1), right)
    two = probabilities.shape[1] == 2
    average = {"average": "binary" if two else "macro"}
    about = "of class 1" if two else "the mean of all classes"
    return {
        "accuracy": (right.mean(), "fraction", n, "most probable class"),
        "f1": (f1_score(split.y, found, **average), "fraction", n, about),
        "ece": (gaps.sum(), "fraction", n, f"{BINS} bins of confidence"),
    }


def calibration_gaps(confidence, right) -> np.ndarray:
    """|mean confidence - accuracy| of each bin, times its share of the examples."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return np.abs(np.bincount(bins, confidence - right, BINS)) / len(right)
