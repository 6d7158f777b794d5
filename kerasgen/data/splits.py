"""Splits: the examples of a source, and what people call their parts."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kerasgen.errors import InputError

# What people call the splits, of folders and in recipes.
SPLITS = {"train": "train", "training": "train"}
SPLITS |= dict.fromkeys(("val", "valid", "validation"), "validation")
SPLITS |= {"test": "test", "testing": "test"}


@dataclasses.dataclass
class Split:
    """Examples of one split.

    Args:
        x: uint8 images `(n, height, width, channels)`, texts `(n,)` as Python strings,
            or token ids, int32 `(n, length)`.
        y: int32 labels `(n,)`, or texts that go with those of x, or None.
    """

    x: np.ndarray
    y: np.ndarray | None = None

    @property
    def is_text(self) -> bool:
        """Whether examples are Python strings."""
        return self.x.dtype == object

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index) -> "Split":
        """The examples at `index`."""
        return Split(self.x[index], None if self.y is None else self.y[index])

    def unlabelled(self) -> "Split":
        """The same examples without labels."""
        return dataclasses.replace(self, y=None)

    def lengths(self) -> np.ndarray | None:
        """How long each example is, `(n,)`, where batches are made of equal ones."""
        return None

    def trimmed(self, rows: tuple) -> tuple:
        """In the graph: a batch as `reader` gives it, without padding."""
        return rows

    def shown(self, n: int = 64) -> np.ndarray:
        """The first examples, images as floats in [0, 1]."""
        first = self.x[:n]
        return first / 255.0 if first.dtype == np.uint8 else first

    def reader(self):
        """In the graph: int64 `(batch,)` of examples, and a random number of the epoch
        of each -> a tuple of x and, where there are labels, y."""
        import tensorflow as tf

        arrays = (self.x,) if self.y is None else (self.x, self.y)
        arrays = tuple(tf.constant(array) for array in arrays)
        return lambda index, _: tuple(tf.gather(array, index) for array in arrays)


class Source(NamedTuple):
    """What a source holds.

    Args:
        splits: those that the source has of its own, at least one.
        label_names: the names of the classes 0, 1, …; none where there are no labels.
        notes: lines for the user about what was read.
        skipped: what was not read, and why.
    """

    splits: dict[str, Split]
    label_names: list[str]
    notes: Sequence[str] = ()
    skipped: Sequence[str] = ()


@dataclasses.dataclass
class Data:
    """The splits "train", "validation" and "test" of a source, and its label names."""

    splits: dict[str, Split]
    label_names: list[str]
    notes: list[str] = dataclasses.field(default_factory=list)  # lines for the user

    def __getitem__(self, split: str) -> Split:
        return self.splits[split]

    @property
    def judged_by(self) -> str:
        """The split that figures are measured on: "test", where there is one."""
        return "test" if "test" in self.splits else "validation"


def find_file(name: str) -> Path:
    """A path as given, or below the folder named by KERASGEN_DATA_DIR.

    Raises:
        InputError: if neither exists.
    """
    places = [Path(name)]
    if os.environ.get("KERASGEN_DATA_DIR"):
        places.append(Path(os.environ["KERASGEN_DATA_DIR"]) / name)
    for place in places:
        if place.exists():
            return place
    looked = " nor ".join(str(place) for place in places)
    raise InputError(
        f"no data at {looked}: give an existing path, or set the folder "
        "it is in as KERASGEN_DATA_DIR"
    )
