"""Sources of pairs of texts, and of texts with labels."""

import csv

import numpy as np

from kerasgen.data.splits import Split
from kerasgen.data.text import read_text, texts
from kerasgen.errors import InputError
from kerasgen.extras import need

TABLES = ("languages", "territories", "scripts", "currencies", "variants")
LANGUAGES = ("de", "en", "es", "fi", "fr", "it", "nl", "pl", "pt", "sv", "tr")


def load_pairs(name: str, image_shape=None):
    """Two files, "SRC,DST", of which line n is one text; or one of lines of two texts
    with a tab between them, "FILE.tsv".

    More columns, such as who wrote the texts, are not read, and pairs of which one text
    is empty are left out; a line says how many."""
    files = name.split(",")
    if len(files) == 2:
        sides = [read_text(file).split("\n") for file in files]
        lengths = [len(side) for side in sides]
        if lengths[0] != lengths[1]:
            raise InputError(
                f"{files[0]} has {lengths[0]} lines and {files[1]} {lengths[1]}: line "
                "n of one must go with line n of the other"
            )
        rows = list(zip(*sides, strict=True))
    elif len(files) == 1 and ".tsv" in name:
        lines = read_text(name).split("\n")
        rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
        short = next((i for i, row in enumerate(rows, 1) if len(row) == 1), None)
        if short:
            raise InputError(f"line {short} of {name} is no two texts with a tab")
    else:
        raise InputError(f"pairs:{name} is neither two files, SRC,DST, nor a FILE.tsv")
    rows = [(row, [bool(text.strip()) for text in row[:2]]) for row in rows]
    kept = [row for row, full in rows if full and all(full)]
    longer = sum(len(row) > 2 for row in kept)
    halves = sum(any(full) for _, full in rows) - len(kept)
    notes = []
    if longer:
        notes.append(f"{name}: {longer} lines have more than two columns: two are read")
    if halves:
        notes.append(f"{name}: {halves} pairs with an empty side are left out")
    return {"train": paired(kept)}, [], notes


def load_cldr_en_de():
    """Names of languages, places, scripts and currencies: English, German (CLDR)."""
    english, german = (_names(language) for language in ("en", "de"))
    pairs = {(english[key], german[key]) for key in english.keys() & german.keys()}
    return {"train": paired(sorted(pairs))}, []


def load_cldr_languages():
    """The same names in eleven languages, with their language as label; a name that
    several have is left out."""
    names = {language: set(_names(language).values()) for language in LANGUAGES}
    found = []
    for label, language in enumerate(LANGUAGES):
        others = set().union(
            *(names[other] for other in LANGUAGES if other != language)
        )
        found += [(name, label) for name in sorted(names[language] - others)]
    labels = np.array([label for _, label in found], "int32")
    split = Split(texts([name for name, _ in found]), labels)
    return {"train": split}, list(LANGUAGES)


def paired(rows) -> Split:
    """(source, target, …) -> a split with texts as x and y."""
    if not rows:
        raise InputError("there are no pairs of texts")
    return Split(*(texts(side) for side in list(zip(*rows, strict=False))[:2]))


def _names(language: str) -> dict:
    """(table, code) -> name."""
    need("data")
    from babel import Locale

    locale = Locale(language)
    return {
        (table, code): name
        for table in TABLES
        for code, name in getattr(locale, table).items()
    }
