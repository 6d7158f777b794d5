"""Exact resume: everything that training depends on, in one atomic file."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from kerasgen.errors import InputError
from kerasgen.files import archive, atomic, json_value


@contextlib.contextmanager
def folder_of_one(out: Path) -> Iterator[None]:
    """The folder `out`, made where it is missing, for this process alone.

    The system holds the lock, on the folder itself, and drops it when the process ends,
    however it ends. A folder that was made and stays empty is removed again.

    Raises:
        InputError: if another process has the folder, or it can't be made.
    """
    made = [path for path in (out, *out.parents) if not path.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle = os.open(out, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"can't make the folder {out}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"another process is training in {out}: wait for its end, or give "
                "another --out"
            ) from error
        yield
    finally:
        for path in made:
            with contextlib.suppress(OSError):  # it has something in it
                path.rmdir()
        os.close(handle)


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
        with (
            archive(path, "the state of a run"),
            np.load(path, allow_pickle=False) as file,
        ):
            progress = json_value(str(file["progress"]), path)
            return progress, [file[str(i)] for i in range(len(file.files) - 1)]
    except MemoryError:
        raise
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
