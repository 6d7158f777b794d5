"""Places: where trained models are, by name or path."""

import dataclasses
from pathlib import Path

from kerasgen import hub, manifest
from kerasgen import recipe as recipes
from kerasgen.errors import InputError, unknown
from kerasgen.files import damaged, read_json
from kerasgen.recipe import Recipe

SAVED_MODELS = Path("saved_models")
LABELS = "labels.json"  # of a run: the names of its classes


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a trained model is.

    Args:
        keras: its .keras file; not there where only other runtimes were fetched.
        folder: the run or artifact directory that it is in, or None.
    """

    keras: Path
    folder: Path | None

    @property
    def is_artifact(self) -> bool:
        """Whether exported files are beside it."""
        return self.folder is not None and (self.folder / manifest.NAME).exists()

    @property
    def name(self) -> str:
        """What files made from it are called."""
        return (self.folder or self.keras.with_suffix("")).name

    def recipe(self, settings: dict | None = None) -> Recipe:
        """The recipe it was trained by, with `settings` applied.

        Raises:
            InputError: for a lone .keras file.
        """
        path = None if self.folder is None else self.folder / "recipe.yaml"
        if path is None or not path.exists():
            raise InputError(f"there is no recipe.yaml beside {self.keras}")
        return recipes.read(str(path), settings)


def find(model, runtimes=("keras",), quiet: bool = False) -> Place:
    """A model by its name in saved_models/ or of the hub, a run or artifact folder, a
    .keras file, or an address: `hf://ORG/REPO[@REVISION]`, `https://…`.

    Args:
        model: which.
        runtimes: of a model that is elsewhere, those that are fetched; None: all.
        quiet: whether to show no bar while it is.
    Raises:
        InputError: if there is none.
        RunError: if it can't be fetched.
    """
    path, name = Path(model), str(model)
    plain = path.name == name and not path.exists()
    if plain and (SAVED_MODELS / path).exists():
        path = SAVED_MODELS / path
    elif hub.is_address(name) or (plain and hub.address()):
        folder = hub.fetch(name, runtimes, quiet)
        return Place(folder / "model.keras", folder)
    if path.is_file():
        return Place(path, None)
    if path.is_dir():
        for name in ("best.keras", "model.keras"):
            if (path / name).is_file():
                return Place(path / name, path)
        if (path / manifest.NAME).exists() and runtimes and "keras" not in runtimes:
            return Place(path / "model.keras", path)
        raise InputError(
            f"{path} holds no trained model: no best.keras, no model.keras"
        )
    have = [entry.parent.name for entry in SAVED_MODELS.glob("*/model.keras")]
    if plain and have:
        raise unknown("model", name, have)
    raise InputError(
        f"there is no model {model}: give a folder or a .keras file, or name a hub of "
        "models by KERASGEN_HUB"
    )


def label_names(place: Place) -> list[str]:
    """The names of the classes 0, 1, … that the data of a run or an artifact had; none
    where there were none, or where they aren't known."""
    if place.folder is None:
        return []
    path = place.folder / (manifest.NAME if place.is_artifact else LABELS)
    if place.is_artifact:
        names = read_json(path).get("labels", [])
    else:
        names = read_json(path, list) if path.exists() else []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise damaged(path, "the names of the classes")
    return names
