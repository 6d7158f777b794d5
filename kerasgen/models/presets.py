"""Presets: a trained model by its name, and the smallest folder that is one."""

from pathlib import Path
from typing import Self

from kerasgen import manifest
from kerasgen.errors import InputError
from kerasgen.files import write_json
from kerasgen.models.loading import load_keras, require_finite
from kerasgen.places import find


class Presets:
    """What makes a model one that `from_preset` finds."""

    @classmethod
    def from_preset(cls, preset) -> Self:
        """A trained model of this class, or of one derived from it.

        Args:
            preset: a folder of `save_to_preset`, `export` or `kerasgen train`; a
                `.keras` file; a name in `saved_models/` or of the hub that
                `KERASGEN_HUB` names; `hf://ORG/REPO[@REVISION]`; or the `https://`
                address of a folder. See `kerasgen.places.find`.
        Raises:
            InputError: if there is none, it is damaged, or of another class.
            RunError: if it can't be fetched.
        """
        model = load_keras(find(preset).keras)
        if not isinstance(model, cls):
            theirs = type(model).__name__
            raise InputError(
                f"{preset} is no {cls.__name__} but a {theirs}: "
                f"{theirs}.from_preset takes it"
            )
        return model

    def save_to_preset(self, folder, recipe=None, labels=()) -> None:
        """Write the smallest folder that `from_preset` and `kerasgen.load` read, and
        `kerasgen push` sends.

        It holds `model.keras` (weights as they ship: averages where there are, float32,
        no optimizer), `tokenizer.json` of a model of texts, `recipe.yaml` if `recipe`
        is given, and `manifest.json` with the hash and the size of each file, whose own
        hash is in `manifest.sha256`. Other runtimes need `export`.

        Args:
            folder: is made; one that holds a preset or an artifact is replaced.
            recipe: the `Recipe` that the model was trained by.
            labels: the names of the classes.
        Raises:
            InputError: if the folder holds something else or can't be made, or weights
                are no numbers.
        """
        require_finite(self, "the model")
        with manifest.new_folder(Path(folder)) as new:
            self.baked().save(new / "model.keras")
            if hasattr(self, "codec"):
                write_json(new / "tokenizer.json", self.codec.values())
            if recipe is not None:
                (new / "recipe.yaml").write_text(recipe.text(), encoding="utf-8")
            signatures = {k: s.describe() for k, s in self.signatures().items()}
            about = {"formats": [], "labels": list(labels), "signatures": signatures}
            about |= {"parameters": self.count_params()}
            manifest.write(new, about | {"versions": manifest.versions()})
