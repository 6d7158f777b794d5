"""How often a classifier is right, and whether it knows when."""

import math

import numpy as np

from kerasgen.data.stream import arrays
from kerasgen.errors import InputError

SIGNATURE = "classify"
BINS = 15


def figures(model, serve, split, training, recipe, progress) -> dict:
    """`accuracy`, and `ece`: the expected calibration error (Guo et al., 2017, eq. 3),
    the mean gap between confidence and accuracy in bins of equal confidence."""
    if split.y is None:
        raise InputError("a classifier is judged by labelled images: these have none")
    size, seed = recipe.evaluate.batch_size, recipe.evaluate.seed
    batches = arrays(split, size, seed, recipe.input.binarize, model.preprocess)
    batches = progress(batches, "accuracy", math.ceil(len(split) / size))
    outputs = [serve(SIGNATURE, images=batch["images"]) for batch in batches]
    probabilities = np.concatenate([part["probabilities"] for part in outputs])
    right = (probabilities.argmax(axis=1) == split.y).astype("float64")
    gaps = calibration_gaps(probabilities.max(axis=1), right)
    return {
        "accuracy": (right.mean(), "fraction", len(split), "most probable class"),
        "ece": (gaps.sum(), "fraction", len(split), f"{BINS} bins of confidence"),
    }


def calibration_gaps(confidence, right) -> np.ndarray:
    """|mean confidence - accuracy| of each bin, times its share of the examples."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return np.abs(np.bincount(bins, confidence - right, BINS)) / len(right)
