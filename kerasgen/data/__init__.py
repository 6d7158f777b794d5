"""Data: sources -> arrays in memory -> a stream that can start at any step."""

import dataclasses

from kerasgen.data import classes, holding, sources
from kerasgen.data.splits import SPLITS, Data, Source, Split
from kerasgen.errors import InputError, unknown

__all__ = ["KINDS", "SPLITS", "Data", "Source", "Split", "load", "load_for"]

KINDS = {
    "tfds": "a data set of tensorflow-datasets, as in tfds:mnist",
    "bundled": "data that comes with the packages, as in bundled:digits",
    "folder": "a folder of pictures; the folders in it are classes, or splits of them",
    "text": "a file that is one text",
    "lines": "a file with an example a line",
    "pairs": "two files of texts, SRC,DST, or a FILE.tsv",
    "chorales": "a JSON file of chorales",
}


def load(
    source,
    image_shape=None,
    split_seed: int = 0,
    holdout: float = 0.05,
    strict: bool = False,
) -> Data:
    """Read a source once into arrays.

    A source without a validation split gives `holdout` of its training examples; one
    without a test split as well gives as many again, and so is split 90/5/5; one with a
    validation split but no test split has none, and is judged by validation. Which
    examples is fixed by `split_seed`, and never depends on the seed of a run, so that
    test examples stay test examples. Of one long text the end is held out.

    Args:
        source: "KIND:NAME" (see `KINDS`), or a dict split -> such a source, whose
            classes are numbered together.
        image_shape: (height, width, channels) to crop and resize images to; None
            keeps the size of the first image.
        split_seed: which examples go to which split.
        holdout: share of the examples that each split that is missing gets, in (0, 1).
        strict: refuse files that can't be read, rather than leave them out.
    Raises:
        InputError: for an unknown source, or one that is missing or empty.
    """
    if isinstance(source, dict):
        found = _together(source, image_shape)
    else:
        found = load_splits(source, image_shape)
    splits, names, notes, skipped = found
    if strict and skipped:
        raise InputError(f"input.strict allows no file to be skipped: {skipped[0]}")
    for split, examples in splits.items():
        if len(examples) == 0:
            raise InputError(f"{source} has no examples in split {split!r}")
    if len(names) == 1:
        notes = [*notes, f"all are of one class, {names[0]}: they have no labels"]
        splits = {key: split.unlabelled() for key, split in splits.items()}
        names = []
    splits, more = holding.completed(splits, split_seed, holdout)
    return Data(splits, names, [*notes, *more])


def load_for(recipe) -> Data:
    """The data of a `Recipe`, as its section `input` wants it; see `load`."""
    values = recipe.input
    return load(
        recipe.data,
        values.image_shape,
        values.split_seed,
        values.holdout,
        values.strict,
    )


def load_splits(source: str, image_shape) -> Source:
    """What one source has of its own; see `load`."""
    kind, _, name = str(source).partition(":")
    if kind not in KINDS or not name:
        kinds = "; ".join(f"{key}:… is {text}" for key, text in KINDS.items())
        raise InputError(f"unknown data source {source!r}: {kinds}")
    return Source(*getattr(sources, f"load_{kind}")(name, image_shape))


def _together(sources: dict, image_shape) -> Source:
    """A source a split, as one; a class has one number in all of them."""
    parts = {}
    for key, source in sources.items():
        if key not in SPLITS:
            raise unknown("split", key, SPLITS)
        if SPLITS[key] in parts:
            raise InputError(f"data names the split {SPLITS[key]!r} twice")
        parts[SPLITS[key]] = load_splits(source, image_shape)
    names = classes.together([part.label_names for part in parts.values()])
    splits = {}
    for key, part in parts.items():
        split = _only(part.splits, key)
        y = classes.renumbered(split.y, part.label_names, names)
        splits[key] = dataclasses.replace(split, y=y)
    notes = dict.fromkeys(note for part in parts.values() for note in part.notes)
    skipped = dict.fromkeys(file for part in parts.values() for file in part.skipped)
    return Source(splits, names, [*notes], [*skipped])


def _only(splits: dict[str, Split], name: str) -> Split:
    """The split called `name`, or the only or training one."""
    return splits.get(name, splits.get("train", next(iter(splits.values()))))
