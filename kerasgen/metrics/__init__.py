"""Metrics: how good a model is, in the figures that papers use.

An evaluation is a module that a kind names (`kerasgen.kinds`), here or elsewhere. Every
model of that kind that serves what it judges is evaluated by it. It has

- `SIGNATURE`, the name of the signature that it judges;
- `figures(model, serve, split, training, recipe, progress)`: name -> value, unit,
  number of examples, protocol;
- `FIGURES`, the names of those, as patterns;
- `VALUES`, the keys of `recipe.evaluate` that they depend on, and `IGNORED`, the
  arguments of models that they do not depend on (`kerasgen.metrics.identity`).
"""

import importlib
from collections.abc import Sequence

from kerasgen import kinds
from kerasgen.data import Data
from kerasgen.errors import InputError, unknown
from kerasgen.manifest import versions
from kerasgen.metrics import identity
from kerasgen.metrics.samples import AXES
from kerasgen.models.base import Model
from kerasgen.recipe import Recipe


def by_axis(figures: dict) -> dict[str, dict]:
    """Figures of metrics.json by the axis that they are on; "" is none."""
    named = {name: axis for axis, names in AXES.items() for name in names}
    grouped = {axis: {} for axis in ("", *AXES)}
    for name, figure in figures.items():
        grouped[named.get(name, "")][name] = figure
    return {axis: group for axis, group in grouped.items() if group}


def evaluate(
    model: Model,
    data: Data,
    recipe: Recipe,
    split_name: str | None = None,
    serve=None,
    limit: int | None = None,
    progress=None,
    only: Sequence[str] | None = None,
    runtime: str = "keras",
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
        only: names of evaluations; None: all.
        runtime: what `serve` computes with, for the identity of figures.
    Returns:
        The content of metrics.json.
    Raises:
        InputError: for an unknown split, or where nothing can be measured.
    """
    split_name = split_name or data.judged_by
    if split_name not in data.splits:
        raise unknown("split", split_name, data.splits)
    split = data[split_name].take(slice(limit))
    serve, progress = serve or model.serve, progress or (lambda steps, *_: steps)
    judged, found = identity.Identity.of(model), {}
    kind = kinds.of(model.signatures(), recipe)
    only = kinds.evaluations() if only is None else only
    for path in kind.evaluations:
        evaluation = importlib.import_module(path)
        wanted = path.rpartition(".")[2] in only
        if not wanted or evaluation.SIGNATURE not in model.signatures():
            continue
        results = evaluation.figures(
            model, serve, split, data["train"], recipe, progress
        )
        own = identity.of_figure(judged, evaluation, recipe, runtime)
        more = identity.said(own, model, recipe, split_name)
        for name, (value, unit, samples, protocol) in results.items():
            found[name] = {
                "value": float(value),
                "unit": unit,
                "split": split_name,
                "samples": samples,
                "protocol": protocol + more,
                "identity": own,
            }
    if not found:
        names, what = ", ".join(only), type(model).__name__
        raise InputError(f"there is nothing that {names} can measure of this {what}")
    return {"figures": found, "seed": recipe.evaluate.seed, "versions": versions()}
