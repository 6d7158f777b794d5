"""Metrics: how good a model is, in the figures that papers use.

An evaluation is a module of this package, named in `kerasgen.recipe.EVALUATIONS`, with
`SIGNATURE`, the name of the signature that it judges, and `figures(model, serve, split,
training, recipe, progress)`. Every model that serves the signature is evaluated by it.
"""

import importlib
from collections.abc import Sequence

from kerasgen.data import Data
from kerasgen.errors import unknown
from kerasgen.export.manifest import versions
from kerasgen.models.base import Model
from kerasgen.recipe import EVALUATIONS, Recipe

# The axes that samples are judged on.
AXES = {
    "fidelity": ("fcd", "fcd_floor", "fid", "fid_floor", "kid", "precision", "density"),
    "diversity": ("recall", "coverage", "nearest_neighbour", "classes"),
    "controllability": ("label_agreement",),
}


def by_axis(figures: dict) -> dict[str, dict]:
    """Figures of metrics.json by the axis that they are on; "" is none."""
    named = {name: axis for axis, names in AXES.items() for name in names}
    grouped = {axis: {} for axis in ("", *AXES)}
    for name, figure in figures.items():
        grouped[named.get(name, "")][name] = figure
    return {axis: group for axis, group in grouped.items() if group}


def figure(value: float, unit: str, split: str, samples: int, protocol: str) -> dict:
    """One figure as it stands in metrics.json."""
    return {
        "value": float(value),
        "unit": unit,
        "split": split,
        "samples": samples,
        "protocol": protocol,
    }


def evaluate(
    model: Model,
    data: Data,
    recipe: Recipe,
    split_name: str | None = None,
    serve=None,
    limit: int | None = None,
    progress=None,
    only: Sequence[str] = EVALUATIONS,
) -> dict:
    """All figures of a model.

    Args:
        model: what is judged.
        data: real examples; training ones show what repeats them.
        recipe: its `evaluate` and `input` say how.
        split_name: the split that the model is judged by; default "test", or
            "validation" where the data has no other.
        serve: computes signatures, `(name, **arrays) -> dict`; default the model's
            own, else another runtime.
        limit: use the first `limit` examples only, and as many samples.
        progress: wraps an iterable in a bar: `(iterable, title, total)`.
        only: names of evaluations.
    Returns:
        The content of metrics.json.
    """
    split_name = split_name or data.judged_by
    if split_name not in data.splits:
        raise unknown("split", split_name, data.splits)
    split = data[split_name].take(slice(limit))
    serve, progress = serve or model.serve, progress or (lambda steps, *_: steps)
    found = {}
    for name in only:
        evaluation = importlib.import_module(f"kerasgen.metrics.{name}")
        if evaluation.SIGNATURE in model.signatures():
            results = evaluation.figures(
                model, serve, split, data["train"], recipe, progress
            )
            for name, (value, unit, samples, protocol) in results.items():
                found[name] = figure(value, unit, split_name, samples, protocol)
    return {"figures": found, "seed": recipe.evaluate.seed, "versions": versions()}
