"""Restored images are judged by a classifier, beside the damaged ones."""

import re

import numpy as np

import kerasgen
from kerasgen import metrics, recipe
from kerasgen.diffusion.damage import DAMAGES


def judged(halves, classifier, serve):
    network = {"name": "convolutional", "widths": [4]}
    model = kerasgen.DDPM((8, 8, 1), network, blur=1.0)
    settings = {"evaluate.features": classifier, "evaluate.restorations": 200}
    values = recipe.read("ddpm_digits", settings)
    only = ["restoration"]
    return metrics.evaluate(model, halves, values, serve=serve, only=only)["figures"]


def test_what_is_restored_is_compared_with_what_was_left(halves, classifier):
    order = np.random.default_rng(0).permutation(len(halves["test"]))[:200]
    originals = halves["test"].take(order).x / np.float32(255)
    done = dict.fromkeys(DAMAGES, 0)

    def restored(name, seed, **inputs):  # some rows at a time
        first, done[name] = done[name], done[name] + len(seed)
        return {"restored": originals[first : done[name]]}

    found = judged(halves, classifier, restored)
    assert set(found) == {f"{name}_agreement" for name in DAMAGES}
    for figure in found.values():
        left, whole = map(float, re.findall(r"([\d.]+) of the", figure["protocol"]))
        assert left < figure["value"] == whole
        assert figure["samples"] == 200


def test_what_is_only_damaged_is_no_better(halves, classifier):
    def unrestored(name, seed, **inputs):
        left = np.clip(next(iter(inputs.values())), 0.0, 1.0)
        factor = 8 // left.shape[1]
        return {"restored": left.repeat(factor, axis=1).repeat(factor, axis=2)}

    for name, figure in judged(halves, classifier, unrestored).items():
        (left,) = re.findall(r"([\d.]+) of the damaged", figure["protocol"])
        if name != "super_resolve_agreement":  # there, the damaged are interpolated
            assert figure["value"] == float(left)
