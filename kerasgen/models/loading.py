"""Loading: trained models, safely."""

import warnings
from pathlib import Path

import keras
import numpy as np

from kerasgen.codec import Codec
from kerasgen.errors import InputError, one_line, out_of_memory
from kerasgen.files import LARGEST_JSON, archive, damaged, json_value
from kerasgen.places import Place

MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}  # of a .keras file


def load_keras(path: Path, settings: dict | None = None):
    """The `Model` in a `.keras` file, in Keras's safe mode; nothing is unpickled or
    run.

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


def require_finite(model, origin) -> None:
    """Refuse a model whose weights are not all numbers.

    Args:
        model: what is loaded, or to be exported.
        origin: where it is from, for the error.
    Raises:
        InputError: that names a weight that holds NaN or infinity.
    """
    for variable in model.variables:
        if "float" not in keras.backend.standardize_dtype(variable.dtype):
            continue
        array = keras.ops.convert_to_numpy(variable)
        wrong = array[~np.isfinite(array)]
        if wrong.size:
            raise InputError(
                f"{origin} can't be used: {wrong.size:,} of {array.size:,} numbers of "
                f"its weight {variable.path} are NaN or infinite; take another epoch's "
                "(best.keras), or train anew with a lower train.learning_rate"
            )


def codec(place: Place) -> Codec:
    """How texts become the token ids of a language model (`kerasgen.codec`)."""
    path = None if place.folder is None else place.folder / "tokenizer.json"
    if path and path.exists():
        return Codec.read(path)
    return load_keras(place.keras).codec
