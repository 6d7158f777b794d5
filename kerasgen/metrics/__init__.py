"""Metrics: how good a model is, in the figures that papers use.

An evaluation is a module with `SIGNATURE`, the name of the signature that it judges,
and `figures(model, split, recipe, limit)`. Every model that serves the signature is
evaluated by it.
"""

from kerasgen.data import Split
from kerasgen.export.manifest import versions
from kerasgen.metrics import bound, likelihood, reconstruction
from kerasgen.models.base import Model
from kerasgen.recipe import Recipe

EVALUATIONS = (reconstruction, likelihood, bound)


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
    split: Split,
    recipe: Recipe,
    split_name: str = "test",
    serve=None,
    limit: int | None = None,
    progress=None,
) -> dict:
    """All figures of a model.

    Args:
        model: what is judged.
        split: real examples.
        recipe: its `evaluate` and `input` say how.
        split_name: what `split` is called in the figures.
        serve: computes signatures, `(name, **arrays) -> dict`; default the model's
            own, else another runtime.
        limit: use the first `limit` examples only.
        progress: wraps an iterable in a bar: `(iterable, title, total)`.
    Returns:
        The content of metrics.json.
    """
    split = split if limit is None else split.take(slice(limit))
    serve, progress = serve or model.serve, progress or (lambda steps, *_: steps)
    found = {}
    for evaluation in EVALUATIONS:
        if evaluation.SIGNATURE in model.signatures():
            results = evaluation.figures(model, serve, split, recipe, progress)
            for name, (value, unit, samples, protocol) in results.items():
                found[name] = figure(value, unit, split_name, samples, protocol)
    return {"figures": found, "seed": recipe.evaluate.seed, "versions": versions()}
