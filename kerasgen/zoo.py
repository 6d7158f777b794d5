"""Find recipes and trained models by name or path, and load them safely."""

import dataclasses
import warnings
from pathlib import Path

from kerasgen import recipe as recipes
from kerasgen.errors import InputError, one_line, out_of_memory, tell, unknown
from kerasgen.files import LARGEST_JSON, archive, damaged, json_value, read_json
from kerasgen.recipe import Recipe

SAVED_MODELS = Path("saved_models")
MANIFEST = "manifest.json"  # of an artifact
LABELS = "labels.json"  # of a run: the names of its classes
MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}  # of a .keras file


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a trained model is.

    Args:
        keras: its .keras file.
        folder: the run or artifact directory that it is in, or None.
    """

    keras: Path
    folder: Path | None

    @property
    def is_artifact(self) -> bool:
        """Whether exported files are beside it."""
        return self.folder is not None and (self.folder / MANIFEST).exists()

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


def find(model) -> Place:
    """A model by its name in saved_models/, a run or artifact folder, a .keras file.

    Raises:
        InputError: if there is none.
    """
    path = Path(model)
    if not path.exists() and path.name == str(model) and (SAVED_MODELS / path).exists():
        path = SAVED_MODELS / path
    if path.is_file():
        return Place(path, None)
    if path.is_dir():
        for name in ("best.keras", "model.keras"):
            if (path / name).is_file():
                return Place(path / name, path)
        raise InputError(
            f"{path} holds no trained model: no best.keras, no model.keras"
        )
    have = [entry.parent.name for entry in SAVED_MODELS.glob("*/model.keras")]
    if path.name == str(model) and have:
        raise unknown("model", str(model), have)
    raise InputError(f"there is no model {model}: give a folder or a .keras file")


def load(model):
    """The model by name or path (see `find`), with its weights.

    Raises:
        InputError: if there is none, or the file is damaged or none of ours.
    """
    return load_keras(find(model).keras)


def load_keras(path: Path, settings: dict | None = None):
    """A `.keras` file in Keras's safe mode; nothing is unpickled or run.

    `settings` are values of its constructor to change (`Model.changed`).

    Raises:
        InputError: if it is damaged, holds something else than a kerasgen model, or has
            weights that are no numbers.
    """
    with archive(path, "a .keras file") as opened:
        sizes = {member.filename: member.file_size for member in opened.infolist()}
        if sizes.keys() != MEMBERS or sizes["config.json"] > LARGEST_JSON:
            raise InputError(f"{path} is damaged, or has not the members of a model")
        config = json_value(opened.read("config.json"), f"config.json in {path}")
        if opened.testzip():
            raise damaged(path, "a whole model")
    if not str(config.get("registered_name", "")).startswith("kerasgen>"):
        raise InputError(f"{path} is not a kerasgen model")

    import keras

    import kerasgen.models  # noqa: F401  (registers the classes)
    from kerasgen.models.base import require_finite

    other = f"{path} can't be loaded: its weights are not those of its config.json"
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            model = keras.saving.load_model(path, safe_mode=True)
    except Exception as error:  # Keras raises all kinds
        if out_of_memory(error):
            raise
        line = one_line(str(error))
        if "objects could not be loaded" in line:
            raise InputError(other) from error
        raise InputError(f"{path} can't be loaded: {line[:200]}") from error
    if any("no matching group" in str(warning.message) for warning in warned):
        raise InputError(other)
    require_finite(model, path)
    return model.changed(**settings) if settings else model


def server(
    place: Place,
    runtime: str,
    signature: str | None = None,
    settings: dict | None = None,
):
    """Compute a model's signatures in one of its runtimes.

    Args:
        place: see `find`; an artifact, for any other runtime than "keras".
        runtime: "keras", "savedmodel", "onnx", "litert", or with smaller weights
            "onnx-fp16", "onnx-int8", "litert-int8".
        signature: one that must be there.
        settings: values of the model to change, in "keras" only.
    Returns:
        A function `(signature, **arrays) -> dict` of arrays, and the descriptions of
        all signatures.
    Raises:
        InputError: if it is no artifact, lacks `signature`, or can't be changed.
    """
    if runtime == "keras":
        model = load_keras(place.keras, settings)
        serve = model.serve
        described = {name: s.describe() for name, s in model.signatures().items()}
    else:
        if not place.is_artifact:
            raise InputError(
                f"{place.name} is no artifact: run `kerasgen export` first"
            )
        if settings:
            raise InputError(
                f"{next(iter(settings))} is fixed in exported files: choose it when "
                "you export, or use --runtime keras"
            )
        from kerasgen.export import manifest, operations, runtimes

        format = runtimes.format(runtime)
        wrong = manifest.differences(place.folder, runtimes.folder(runtime) + "/")
        wrong = wrong or operations.problems(place.folder, [format])
        if wrong:  # a graph can do what any program can
            raise InputError(f"{place.folder}: {'; '.join(wrong)}: nothing is run")
        serve = runtimes.server(runtime, place.folder)
        described = {
            name: entry
            for name, entry in manifest.read(place.folder)["signatures"].items()
            if entry.get("only") in (None, format)
            and runtimes.path(runtime, place.folder, name).exists()
        }
    if signature is not None and signature not in described:
        have = ", ".join(described) or "none"
        raise InputError(
            f"{place.name} can't {signature} in {runtime}: its signatures are {have}"
        )
    return serve, described


def codec(place: Place):
    """How texts become the token ids of a language model (`kerasgen.codec`)."""
    from kerasgen.codec import Codec

    path = None if place.folder is None else place.folder / "tokenizer.json"
    if path and path.exists():
        return Codec.read(path)
    return load_keras(place.keras).codec


def label_names(place: Place) -> list[str]:
    """The names of the classes 0, 1, … that the data of a run or an artifact had; none
    where there were none, or where they aren't known."""
    if place.folder is None:
        return []
    path = place.folder / (MANIFEST if place.is_artifact else LABELS)
    if place.is_artifact:
        names = read_json(path).get("labels", [])
    else:
        names = read_json(path, list) if path.exists() else []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise damaged(path, "the names of the classes")
    return names


def list_recipes() -> list[dict]:
    """Every recipe: name, family, description, data, parameters (of the exported model,
    else None) and the folder of its artifact, else None."""
    rows = []
    for name in recipes.names():
        recipe = recipes.read(name)
        folder = SAVED_MODELS / name
        manifest = _manifest(folder)
        rows.append(
            {
                "name": name,
                "family": recipe.family,
                "description": recipe.description,
                "data": recipe.data,
                "parameters": manifest.get("parameters") if manifest else None,
                "artifact": str(folder) if manifest else None,
            }
        )
    return rows


def _manifest(folder: Path) -> dict | None:
    """The manifest of an artifact; None where there is none, or a damaged one, of which
    a line is told."""
    if not (folder / MANIFEST).exists():
        return None
    try:
        return read_json(folder / MANIFEST)
    except InputError as error:
        tell(str(error))
        return None
