"""Sources of text."""

import re
from collections.abc import Sequence

import numpy as np

from kerasgen.data.splits import SPLITS, Split, find_file
from kerasgen.errors import InputError
from kerasgen.files import json_value
from kerasgen.kinds import music
from kerasgen.kinds.text import Text


def load_text(name: str, image_shape=None):
    """A file that is one text."""
    text = read_text(name)
    if not text.strip():
        raise InputError(f"{name} has no text")
    return {"train": _split([text])}, []


def load_lines(name: str, image_shape=None):
    """A file with an example a line."""
    lines = [line for line in read_text(name).split("\n") if line.strip()]
    if not lines:
        raise InputError(f"{name} has no lines of text")
    return {"train": _split(lines)}, []


def load_python_docs():
    """The topics of Python's own help."""
    from pydoc_data.topics import topics

    return {"train": _split([topics[key] for key in sorted(topics)])}, []


def load_python_titles():
    """The sections of Python's own help: text, title."""
    from pydoc_data.topics import topics

    # A title is a line with a line of one sign under it.
    heading = re.compile(r"^(\S.*)\n([*=\-~^\"'])\2{2,}$", re.MULTILINE)
    pairs = {}
    for topic in topics.values():
        found = list(heading.finditer(topic))
        ends = [match.start() for match in found[1:]] + [len(topic)]
        for match, end in zip(found, ends, strict=True):
            section = topic[match.end() : end].strip()
            if section:
                pairs[section] = match.group(1)
    return {"train": Split(texts(list(pairs)), texts(list(pairs.values())))}, []


def from_tfds(column, labels) -> Split:
    """What tensorflow-datasets has under "text"."""
    return _split([text.decode() for text in np.atleast_1d(column)], labels)


def cut(text: str, shares: Sequence[float]) -> list[Split]:
    """One text as successive parts."""
    ends = [round(len(text) * share) for share in np.cumsum(shares)]
    starts = [0, *ends[:-1]]
    return [_split([text[start:end]]) for start, end in zip(starts, ends, strict=True)]


def texts(values: Sequence[str]) -> np.ndarray:
    """Python strings as an array `(n,)`."""
    x = np.empty(len(values), object)
    x[:] = values
    return x


def _split(values: Sequence[str], labels=None) -> Split:
    return Split(texts(values), labels)


def read_text(name: str) -> str:
    """A file of text by its path, or in the folder of the data."""
    return Text().read(find_file(name))


def load_chorales(name: str, image_shape=None):
    """A JSON file of chorales: split -> pieces, each a list of steps of MIDI notes.

    Pieces to train on come in every key in which all training notes are heard anyway.
    """
    content = json_value(read_text(name), name)
    wrong = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)
    try:
        parts = {SPLITS.get(key, key): part for key, part in content.items()}
        parts["train"] = list(music.in_all_keys(parts["train"]))
        written = {k: [music.text(piece) for piece in p] for k, p in parts.items()}
    except wrong as error:
        raise InputError(
            f"{name} is not a file of chorales: it must hold {{split: [[[note, …], …], "
            "…]}, with a split train"
        ) from error
    return {split: _split(pieces) for split, pieces in written.items()}, []
