"""Whether damaged images that a diffusion model restores are read as what they were."""

import numpy as np
from keras import ops

from kerasgen.diffusion.damage import DAMAGES
from kerasgen.metrics import features
from kerasgen.random import row_seeds
from kerasgen.rows import in_parts

SIGNATURE = "inpaint"
FIGURES = tuple(f"{name}_agreement" for name in DAMAGES)
VALUES = ("seed", "features", "restorations")
IGNORED = ("sampler", "sampling_steps", "guidance", "levels")


def figures(model, serve, split, training, recipe, progress) -> dict:
    """`inpaint_agreement` and so on: the share of restored images that a classifier
    (`evaluate.features`) gives their own label; beside it, of the damaged ones."""
    values = recipe.evaluate
    if values.features is None or split.y is None:
        return {}
    extract = features.extractor(values.features, split.x.shape[1:])
    if not extract.classes:
        return {}
    rng = np.random.default_rng(values.seed)
    chosen = split.take(rng.permutation(len(split))[: values.restorations])
    images, n = features.scaled(chosen.x), len(chosen)

    def agreement(images):
        return np.mean(extract(features.batches(images))[1] == chosen.y)

    found, whole = {}, agreement(images)
    for name, damage in DAMAGES.items():
        inputs = damage(model, images) | {"seed": row_seeds(values.seed, n)}
        parts = in_parts(serve, name, inputs, progress)
        restored = np.concatenate([part["restored"] for part in parts])
        left = next(iter(inputs.values()))
        enlarged = ops.image.resize(left, images.shape[1:3], interpolation="bicubic")
        left = ops.convert_to_numpy(ops.clip(enlarged, 0.0, 1.0))
        note = f"read as their own class; {agreement(left):.4g} of the damaged ones "
        note += f"(small ones enlarged bicubically), {whole:.4g} of the originals; "
        value = agreement(restored), "fraction", n, note + extract.about
        found[f"{name}_agreement"] = value
    return found
