"""The record of a run's figures, its metrics.json: those of the model as it is."""

from pathlib import Path

from kerasgen.files import atomic, write_json
from kerasgen.metrics.identity import Identity, read
from kerasgen.models.base import Model
from kerasgen.recipe import Recipe


def merged(
    path: Path, content: dict, model: Model, recipe: Recipe
) -> tuple[dict, list[str]]:
    """What a record holds from now on; and lines for the user, of what it doesn't.

    A figure that is measured again replaces what was there. Others stay if they are of
    the same weights, values, seed and versions.

    Args:
        path: the metrics.json, which need not be there.
        content: what `kerasgen.metrics.evaluate` gave; figures of another model, as
            with another sampler, are not kept.
        model, recipe: those of the run.
    """
    own = Identity.of(model)
    content, others = own.belonging(content)
    lines = [f"not kept in {path}: {line}; --json FILE writes it" for line in others]
    before = read(path.parent, model, recipe)
    if before is None or not content["figures"]:
        return content, lines
    before, gone = own.belonging(before)
    if any(before.get(key) != content[key] for key in ("seed", "versions")):
        names = ", ".join(before["figures"].keys() - content["figures"].keys())
        gone += [f"{names}: of another seed or other versions"] if names else []
        before = before | {"figures": {}}
    lines += [f"no longer in {path}: {line}" for line in gone]
    return content | {"figures": before["figures"] | content["figures"]}, lines


def write(path: Path, content: dict) -> None:
    """Write the content of a metrics.json."""
    with atomic(path) as temporary:
        write_json(temporary, content)
