"""Exact resume: everything that training depends on, in one atomic file."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from kerasgen.errors import InputError


@contextlib.contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it when the block ends well.

    So `path` is never half-written, whenever the process dies.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(
        prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def state(model: keras.Model) -> list:
    """Every variable that training reads and writes: weights, averages, optimizers,
    and the metrics' running sums, which matter in the middle of an epoch."""
    optimizers = [v for o in model.optimizers.values() for v in o.variables]
    metrics = [v for metric in model.metrics for v in metric.variables]
    return [*model.variables, *optimizers, *metrics]


def save(
    path: str | os.PathLike, model: keras.Model, progress: dict, write: bool = True
) -> None:
    """Write the state of `model`, and `progress` (plain values) with it.

    Every worker must come here, as they sum their metrics to read them; one writes.
    """
    arrays = {str(i): keras.ops.convert_to_numpy(v) for i, v in enumerate(state(model))}
    if not write:
        return
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, progress=np.array(json.dumps(progress)), **arrays)
        file.flush()
        os.fsync(file.fileno())


def read(path: str | os.PathLike) -> tuple[dict, list[np.ndarray]]:
    """-> `progress`, the arrays.

    Raises:
        InputError: if the file is damaged or none of ours.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            progress = json.loads(str(file["progress"]))
            return progress, [file[str(i)] for i in range(len(file.files) - 1)]
    except Exception as error:  # zip, numpy and json each have their own
        raise InputError(f"{path} is damaged: train anew in another folder") from error


def restore(model: keras.Model, arrays: list[np.ndarray], path) -> None:
    """Put the arrays of `read` into `model`.

    Raises:
        InputError: if they belong to another model.
    """
    variables = state(model)
    shapes = [tuple(v.shape) for v in variables]
    if shapes != [array.shape for array in arrays]:
        raise InputError(f"{path} belongs to another model than this recipe's")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
