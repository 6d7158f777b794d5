"""Identity: what a model is, as far as figures depend on it.

A figure of metrics.json keeps that of its model, so that it is never shown as that of
another: of other weights, another sampler or guidance, another runtime.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping

import keras

from kerasgen.models.base import Model

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


def _short(value):
    """A value as JSON gives it back; of a long one, the hash."""
    text = json.dumps(value, default=str)
    if len(text) <= LONGEST:
        return json.loads(text)
    return f"sha256 {hashlib.sha256(text.encode()).hexdigest()}"


def _plain(value) -> str:
    return value if isinstance(value, str) else json.dumps(value)
