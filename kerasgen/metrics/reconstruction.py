"""How well images survive a model's bottleneck."""

import numpy as np

from kerasgen.data.stream import arrays

SIGNATURE = "reconstruct"
FIGURES = ("reconstruction_error",)
VALUES = ("seed", "batch_size")
IGNORED = ()


def figures(model, serve, split, training, recipe, progress) -> dict:
    """`reconstruction_error`: mean squared error a pixel, of images in [0, 1]."""
    total = 0.0
    size, seed = recipe.evaluate.batch_size, recipe.evaluate.seed
    for batch in arrays(split, size, seed, recipe.input.binarize, model.preprocess):
        outputs = serve(SIGNATURE, **batch)["reconstructions"]
        total += float(
            np.sum(np.mean((outputs - batch["images"]) ** 2, axis=(1, 2, 3)))
        )
    protocol = "mean squared error a pixel, images in [0, 1]"
    if recipe.input.binarize:
        protocol += f"; binarised once with seed {seed}"
    value = total / len(split)
    return {"reconstruction_error": (value, "per pixel", len(split), protocol)}
