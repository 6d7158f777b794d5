"""Whose figures these are: the weights, and every value that they depend on.

A figure of metrics.json keeps its *identity*, so that it is never shown as that of
another model: of other weights, another sampler or guidance, another runtime.
"""

import dataclasses
import fnmatch
import hashlib
import importlib
import json
from collections.abc import Mapping
from pathlib import Path

import keras

from kerasgen import kinds
from kerasgen.errors import InputError, tell
from kerasgen.export import manifest
from kerasgen.files import read_json
from kerasgen.metrics import features, selection
from kerasgen.models.base import Model
from kerasgen.recipe import Recipe

LONGEST = 200  # letters of a value; of a longer one, as of a tokenizer, the hash


@dataclasses.dataclass(frozen=True)
class Identity:
    """What a model is, as far as figures depend on it.

    Args:
        weights: SHA-256 of the weights that are shipped, averaged ones where there are.
        values: the constructor's arguments, but for those that shipping leaves out.
    """

    weights: str
    values: dict

    @classmethod
    def of(cls, model: Model) -> "Identity":
        """That of a model; a run's and its artifact's are equal."""
        shipped = model.baked() if model.averages else model
        digest = hashlib.sha256()
        for variable in shipped.network_variables:
            array = keras.ops.convert_to_numpy(variable)
            digest.update(f"{variable.name} {array.dtype} {array.shape}\n".encode())
            digest.update(array.tobytes())
        own = {"name", "dtype", "ema_decay"}
        values = {k: v for k, v in model.get_config().items() if k not in own}
        return cls(digest.hexdigest(), {k: _short(v) for k, v in values.items()})

    def of_figure(self, evaluation, recipe: Recipe, runtime: str = "keras") -> dict:
        """The identity of what a module of `kerasgen.metrics` measures."""
        judged = {key: getattr(recipe.evaluate, key) for key in evaluation.VALUES}
        if judged.get("features"):
            judged["features"] = features.identified(judged["features"])
        ignored = evaluation.IGNORED
        return {
            "weights": self.weights,
            "model": {k: v for k, v in self.values.items() if k not in ignored},
            "evaluate": judged,
            "data": recipe.data,
            "input": dataclasses.asdict(recipe.input),
            "runtime": runtime,
        }

    def difference(self, figure: Mapping) -> str | None:
        """What tells that a figure is of another model; None: it is of this one."""
        theirs = figure.get("identity")
        if theirs is None:
            return "of an unknown model"
        if theirs["weights"] != self.weights:
            return "of other weights"
        if theirs["runtime"] != "keras":
            return f"measured in {theirs['runtime']}"
        for name, value in theirs["model"].items():
            ours = self.values.get(name)
            if value != ours:
                return f"measured with {name} {_plain(value)}, not {_plain(ours)}"
        return None

    def belonging(self, content: dict) -> tuple[dict, list[str]]:
        """The content of a metrics.json with the figures of this model only, and a line
        for those that are left out."""
        kept, others = {}, {}
        for name, figure in content["figures"].items():
            difference = self.difference(figure)
            if difference is None:
                kept[name] = figure
            else:
                others.setdefault(difference, []).append(name)
        lines = [f"{', '.join(names)}: {what}" for what, names in others.items()]
        return content | {"figures": kept}, lines


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
            identity = own.of_figure(evaluation, recipe)
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


def _short(value):
    """A value as JSON gives it back; of a long one, the hash."""
    text = json.dumps(value, default=str)
    if len(text) <= LONGEST:
        return json.loads(text)
    return f"sha256 {hashlib.sha256(text.encode()).hexdigest()}"


def _plain(value) -> str:
    return value if isinstance(value, str) else json.dumps(value)
