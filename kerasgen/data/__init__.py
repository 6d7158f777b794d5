"""Data: sources -> arrays in memory -> a stream that can start at any step."""

import dataclasses
import os
from pathlib import Path

import numpy as np

from kerasgen.errors import InputError, unknown

KINDS = {
    "tfds": "a data set of tensorflow-datasets, as in tfds:mnist",
    "bundled": "data that comes with the packages, as in bundled:digits",
    "folder": "a folder of PNG or JPEG files; sub-folders are labels",
    "text": "a file that is one text",
    "lines": "a file with an example a line",
    "pairs": "two files of texts, SRC,DST, or a FILE.tsv",
    "chorales": "a JSON file of chorales",
}


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


@dataclasses.dataclass
class Data:
    """The splits "train", "validation" and "test" of a source, and its label names."""

    splits: dict[str, Split]
    label_names: list[str]

    def __getitem__(self, split: str) -> Split:
        return self.splits[split]

    @property
    def judged_by(self) -> str:
        """The split that figures are measured on: "test", where there is one."""
        return "test" if "test" in self.splits else "validation"


def load(source, image_shape=None, split_seed: int = 0) -> Data:
    """Read a source once into arrays.

    A source without a validation split gives 5% of its training examples; one without
    a test split as well is split 90/5/5; one with a validation split but no test split
    has none, and is judged by validation. Which examples is fixed by `split_seed`, and
    never depends on the seed of a run, so that test examples stay test examples. Of one
    long text the end is held out.

    Args:
        source: "KIND:NAME" (see `KINDS`), or a dict split -> such a source.
        image_shape: (height, width, channels) to crop and resize images to; None
            keeps the size of the first image.
        split_seed: which examples go to which split.
    Raises:
        InputError: for an unknown source, or one that is missing or empty.
    """
    if isinstance(source, dict):
        parts = {
            split: load_splits(value, image_shape) for split, value in source.items()
        }
        splits = {split: _only(part, split) for split, (part, _) in parts.items()}
        names = next(iter(parts.values()))[1]
    else:
        splits, names = load_splits(source, image_shape)
    for split, examples in splits.items():
        if len(examples) == 0:
            raise InputError(f"{source} has no examples in split {split!r}")
    return Data(_complete(splits, split_seed), names)


def load_splits(source: str, image_shape) -> tuple[dict[str, Split], list[str]]:
    """The splits that a source has of its own, and its label names."""
    kind, _, name = str(source).partition(":")
    if kind not in KINDS or not name:
        kinds = "; ".join(f"{key}:… is {text}" for key, text in KINDS.items())
        raise InputError(f"unknown data source {source!r}: {kinds}")
    from kerasgen.data import sources

    return getattr(sources, f"load_{kind}")(name, image_shape)


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


def _only(splits: dict[str, Split], name: str) -> Split:
    """The split called `name`, or the only or training one."""
    return splits.get(name, splits.get("train", next(iter(splits.values()))))


def _complete(splits: dict[str, Split], seed: int) -> dict[str, Split]:
    """Hold out validation (and test) examples where the source doesn't."""
    if "train" not in splits:
        raise unknown("split", "train", splits)
    if "validation" in splits:
        return splits
    missing = [name for name in ("validation", "test") if name not in splits]
    train = splits["train"]
    if train.is_text and len(train) == 1:
        return _cut(splits, missing)
    order = np.random.default_rng(seed).permutation(len(train))
    held = max(1, len(train) // 20)
    if len(train) <= held * len(missing):
        raise InputError(f"{len(train)} examples are too few to train on: give more")
    for name in missing:
        splits = splits | {name: train.take(np.sort(order[:held]))}
        order = order[held:]
    return splits | {"train": train.take(np.sort(order))}


def _cut(splits: dict[str, Split], missing: list[str]) -> dict[str, Split]:
    """The last parts of one long text, held out."""
    from kerasgen.data.text import cut

    shares = [1.0 - 0.05 * len(missing), *(0.05 for _ in missing)]
    parts = cut(splits["train"].x[0], shares)
    return splits | dict(zip(["train", *missing], parts, strict=True))
