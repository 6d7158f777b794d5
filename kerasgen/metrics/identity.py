"""Whose figures these are: the model, and every value that they depend on."""

import dataclasses
import fnmatch
import importlib
from collections.abc import Mapping
from pathlib import Path

from kerasgen import kinds, manifest
from kerasgen.errors import InputError, tell
from kerasgen.files import read_json
from kerasgen.identity import Identity
from kerasgen.metrics import features, selection
from kerasgen.models.base import Model
from kerasgen.recipe import Recipe


def of_figure(
    own: Identity, evaluation, recipe: Recipe, runtime: str = "keras"
) -> dict:
    """The identity of what a module of `kerasgen.metrics` measures of a model."""
    judged = {key: getattr(recipe.evaluate, key) for key in evaluation.VALUES}
    if judged.get("features"):
        judged["features"] = features.identified(judged["features"])
    ignored = evaluation.IGNORED
    return {
        "weights": own.weights,
        "model": {k: v for k, v in own.values.items() if k not in ignored},
        "evaluate": judged,
        "data": recipe.data,
        "input": dataclasses.asdict(recipe.input),
        "runtime": runtime,
    }


def read(folder: Path, model: Model, recipe: Recipe) -> dict | None:
    """The content of a folder's metrics.json, or None.

    Figures of older artifacts have no identity. Where the manifest proves that nothing
    in such a folder was changed, they are of the model beside them, and get its own.

    Args:
        folder: a run or an artifact.
        model: the one that is in it.
        recipe: the one that is in it.
    """
    path = folder / "metrics.json"
    if not path.exists():
        return None
    try:
        content = read_json(path)
        whole = all(_is_whole(figure) for figure in content["figures"].values())
    except (InputError, LookupError, TypeError, AttributeError):
        whole = False
    if not whole:
        tell(f"{path} is damaged: its figures are left out")
        return None
    unknown = [n for n, f in content["figures"].items() if "identity" not in f]
    proven = (folder / manifest.NAME).exists() and not manifest.differences(folder)
    if not unknown or not proven:
        return content
    own, figures = Identity.of(model), dict(content["figures"])
    for name in unknown:
        evaluation = _evaluation(name, model)
        if evaluation is not None:
            identity = of_figure(own, evaluation, recipe)
            protocol = figures[name]["protocol"]
            protocol += said(identity, model, recipe, figures[name]["split"])
            figures[name] |= {"protocol": protocol, "identity": identity}
    return content | {"figures": figures}


def said(identity: Mapping, model: Model, recipe: Recipe, split: str) -> str:
    """What every protocol ends with: how samples were drawn, and whether the epoch was
    chosen on the examples that judge it."""
    values, parts = identity["model"], []
    if "sampler" in values:
        name = values["sampler"]
        name = name if isinstance(name, str) else " ".join(map(str, name.values()))
        parts.append(f"{name}, {values['sampling_steps']} steps")
        if values["classes"]:
            parts.append(f"guidance {values['guidance']:g}")
    if "restoration_steps" in values:
        parts.append(
            f"{values['restoration_steps']} steps, which inpaint takes "
            f"{values['resampling']} times"
        )
    if not values.get("clip", True):
        parts.append("not clipped")
    if "temperature" in values:
        parts.append(f"temperature {values['temperature']:g}")
    if values.get("repetition_penalty", 1.0) != 1.0:
        parts.append(f"repetition penalty {values['repetition_penalty']:g}")
    parts += selection.chosen_on(model, recipe, split)
    return "".join(f"; {part}" for part in parts)


def _is_whole(figure: dict) -> bool:
    """Whether a figure has all that is read of it."""
    identity = figure.get("identity", {"weights": "", "runtime": "", "model": {}})
    return (
        {"value", "unit", "split", "samples", "protocol"} <= figure.keys()
        and {"weights", "runtime", "model"} <= identity.keys()
        and isinstance(identity["model"], dict)
    )


def _evaluation(figure: str, model: Model):
    """The module that measures a figure of a model, or None."""
    for path in kinds.evaluations().values():
        module = importlib.import_module(path)
        named = any(fnmatch.fnmatch(figure, pattern) for pattern in module.FIGURES)
        if named and module.SIGNATURE in model.signatures():
            return module
    return None
