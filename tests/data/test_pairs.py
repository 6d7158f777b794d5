"""Pairs of texts, and names with their language."""

import gzip

import numpy as np
import pytest

from kerasgen import data
from kerasgen.errors import InputError


def whole(source):
    return data.load_splits(source, None)[0]["train"]


def test_two_files_are_pairs(tmp_path):
    (tmp_path / "a.en").write_text("one\ntwo\n\nfour\n")
    with gzip.open(tmp_path / "a.de.gz", "wt", encoding="utf-8") as file:
        file.write("eins\nzwei\ndrei\nvier\n")
    split = whole(f"pairs:{tmp_path}/a.en,{tmp_path}/a.de.gz")
    assert split.x.tolist() == ["one", "two", "four"]  # a pair needs both
    assert split.y.tolist() == ["eins", "zwei", "vier"]
    assert split.take(slice(1)).y.tolist() == ["eins"]


def test_a_table_is_pairs(tmp_path):
    (tmp_path / "a.tsv").write_text('a "b\tc\tsource\nd\te\n')
    split = whole(f"pairs:{tmp_path}/a.tsv")
    assert split.x.tolist() == ['a "b', "d"] and split.y.tolist() == ["c", "e"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.en": "one\ntwo\n", "a.de": "eins\n"}, "has 3 lines and .* 2: line"),
        ({"a.tsv": "one\teins\ntwo\n"}, "line 2 of .* is no two texts"),
        ({"a.txt": "one"}, "is neither two files, SRC,DST, nor a FILE.tsv"),
        ({"a.tsv": "\n"}, "no pairs of texts"),
    ],
)
def test_what_is_no_pairs_is_refused(files, message, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    names = ",".join(str(tmp_path / name) for name in files)
    with pytest.raises(InputError, match=message):
        whole(f"pairs:{names}")


def test_cldr_has_names_in_english_and_german():
    split = whole("bundled:cldr_en_de")
    assert len(split) > 1200
    assert dict(zip(split.x, split.y, strict=True))["Amharic"] == "Amharisch"
    again = whole("bundled:cldr_en_de")
    assert again.x.tolist() == split.x.tolist()


def test_cldr_names_have_one_language():
    loaded = data.load("bundled:cldr_languages")
    split = whole("bundled:cldr_languages")
    assert len(set(split.x)) == len(split) > 8000
    assert np.bincount(split.y).min() > 400
    assert loaded.label_names[split.y[list(split.x).index("Frankreich")]] == "de"
    assert sum(map(len, loaded.splits.values())) == len(split)
