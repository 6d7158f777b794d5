"""Pairs of texts, and names with their language."""

import gzip
from types import SimpleNamespace

import numpy as np
import pytest

from kerasgen import data, recipe
from kerasgen.data import Data, Split
from kerasgen.data.examples import Rows
from kerasgen.data.stream import GROUP, once, stream
from kerasgen.errors import InputError


def whole(source):
    return data.load_splits(source, None).splits["train"]


def notes(source):
    return [*data.load_splits(source, None).notes]


def test_two_files_are_pairs(tmp_path):
    (tmp_path / "a.en").write_text("one\ntwo\n\nfour\n")
    with gzip.open(tmp_path / "a.de.gz", "wt", encoding="utf-8") as file:
        file.write("eins\nzwei\ndrei\nvier\n")
    split = whole(f"pairs:{tmp_path}/a.en,{tmp_path}/a.de.gz")
    assert split.x.tolist() == ["one", "two", "four"]  # a pair needs both
    assert split.y.tolist() == ["eins", "zwei", "vier"]
    assert split.take(slice(1)).y.tolist() == ["eins"]
    (line,) = notes(f"pairs:{tmp_path}/a.en,{tmp_path}/a.de.gz")
    assert "a.de.gz: 1 pairs with an empty side" in line


def test_a_table_is_pairs(tmp_path):
    (tmp_path / "a.tsv").write_text('a "b\tc\nd\te\n')
    split = whole(f"pairs:{tmp_path}/a.tsv")
    assert split.x.tolist() == ['a "b', "d"] and split.y.tolist() == ["c", "e"]
    assert notes(f"pairs:{tmp_path}/a.tsv") == []


def test_more_columns_and_empty_sides_are_counted(tmp_path):
    """A third column says who wrote the texts, as Tatoeba's does."""
    name = f"{tmp_path}/a.tsv"
    lines = ["a\tb\tsource 1", "\tc", "d\t ", "", "\t", "e\tf\tsource 2\tmore", "g\th"]
    (tmp_path / "a.tsv").write_text("\n".join(lines) + "\n")
    split = whole(f"pairs:{name}")
    assert split.x.tolist() == ["a", "e", "g"] and split.y.tolist() == ["b", "f", "h"]
    assert notes(f"pairs:{name}") == [
        f"{name}: 2 lines have more than two columns: two are read",
        f"{name}: 2 pairs with an empty side are left out",
    ]


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


def test_sections_have_titles():
    split = whole("bundled:python_titles")
    assert len(split) > 100
    titles = dict(zip(split.y, split.x, strict=True))
    assert "lambda" in titles["Lambdas"] and "***" not in titles["Lambdas"]


def test_translations_of_tensorflow_datasets(monkeypatch):
    """The columns of wmt16_translate, without its download."""
    import tensorflow_datasets as tfds

    columns = {"de": [b"eins", b"gr\xc3\xbcn", b""], "en": [b"one", b"green", b"x"]}
    columns = {key: np.array(value, object) for key, value in columns.items()}
    info = SimpleNamespace(
        splits=["train", "validation", "test"],
        features={},
        supervised_keys=("de", "en"),
    )
    builder = SimpleNamespace(
        info=info,
        download_and_prepare=lambda: None,
        as_dataset=lambda split, batch_size: columns,
    )
    monkeypatch.setattr(tfds, "builder", lambda name: builder)
    monkeypatch.setattr(tfds, "as_numpy", lambda columns: columns)
    loaded = data.load(recipe.read("translator_wmt16").data)
    assert loaded["train"].x.tolist() == ["eins", "grün"]  # a pair needs both
    assert loaded["test"].y.tolist() == ["one", "green"]


def test_without_a_test_split_validation_judges(tmp_path):
    for name, size in (("train", 60), ("val", 7)):
        for side in ("en", "de"):
            lines = "".join(f"{name} {side} {i}\n" for i in range(size))
            (tmp_path / f"{name}.{side}").write_text(lines)
    files = {
        split: f"pairs:{tmp_path}/{name}.en,{tmp_path}/{name}.de"
        for split, name in (("train", "train"), ("validation", "val"))
    }
    loaded = data.load(files)
    assert {k: len(s) for k, s in loaded.splits.items()} == {
        "train": 60,
        "validation": 7,
    }
    assert loaded.judged_by == "validation"
    assert Data({"test": Split(np.zeros(1))}, []).judged_by == "test"


# Rows of tokens, in batches of about one length.


def rows(n):
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 60, n)
    x = np.tile(np.arange(1, n + 1, dtype="int32")[:, None], (1, 60))
    x *= np.arange(60) < lengths[:, None]
    return Rows(x, x[:, :30])


def test_batches_have_little_padding_and_an_epoch_has_every_example():
    split, size = rows(1024), 16
    batches = list(stream(split, size, 3, 0, 1024 // size))
    assert 1024 // size == 4 * GROUP
    seen = np.concatenate([x[:, 0].numpy() for x, _ in batches])
    assert sorted(seen.tolist()) == list(range(1, 1025))
    used = sum(np.count_nonzero(x) for x, _ in batches)
    assert used / sum(x.shape[0] * x.shape[1] for x, _ in batches) > 0.8
    assert {x.shape[1] % Rows.STEP for x, _ in batches} <= {0, 60 % Rows.STEP}
    for x, y in batches:
        assert np.count_nonzero(x, axis=1).max() > x.shape[1] - Rows.STEP
        np.testing.assert_array_equal(y, x[:, :30][:, : y.shape[1]])


def test_the_stream_of_rows_starts_anywhere():
    split = rows(100)
    whole = [x.numpy().tolist() for x, _ in stream(split, 8, 1, 0, 40)]
    for start in (1, 17, 33):
        again = [x.numpy().tolist() for x, _ in stream(split, 8, 1, start, 40)]
        assert again == whole[start:]


def test_once_is_in_order_and_trimmed():
    split = rows(20)
    found = list(once(split, 8, 0))
    first = np.concatenate([x[:, 0].numpy() for x, _ in found])
    assert first.tolist() == list(range(1, 21))
    labelled = Rows(split.x, np.arange(20, dtype="int32"))
    (_, y), *_ = once(labelled.take(slice(3, 5)), 8, 0)
    assert y.numpy().tolist() == [3, 4]
