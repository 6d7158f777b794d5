"""The catalog: every recipe, and which of them are trained."""

from pathlib import Path

from kerasgen import manifest, places
from kerasgen import recipe as recipes
from kerasgen.errors import InputError, tell
from kerasgen.files import read_json


def list_recipes() -> list[dict]:
    """Every recipe: name, family, description, data, parameters (of the exported model,
    else None) and the folder of its artifact, else None."""
    rows = []
    for name in recipes.names():
        recipe = recipes.read(name)
        folder = places.SAVED_MODELS / name
        about = _manifest(folder)
        rows.append(
            {
                "name": name,
                "family": recipe.family,
                "description": recipe.description,
                "data": recipe.data,
                "parameters": about.get("parameters") if about else None,
                "artifact": str(folder) if about else None,
            }
        )
    return rows


def _manifest(folder: Path) -> dict | None:
    """The manifest of an artifact; None where there is none, or a damaged one, of which
    a line is told."""
    if not (folder / manifest.NAME).exists():
        return None
    try:
        return read_json(folder / manifest.NAME)
    except InputError as error:
        tell(str(error))
        return None
