"""Texts that users bring: other encodings, marks of byte order, nothing at all."""

import gzip

import pytest

from kerasgen import data
from kerasgen.errors import InputError


def whole(source):
    return data.load_splits(source, None)[0]["train"]


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
def test_a_mark_of_byte_order_is_no_character(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    content = "\ufeffone\n\n  \ntwo\ufeff\n".encode()
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    assert whole(f"text:{path}").x.tolist() == ["one\n\n  \ntwo\ufeff\n"]
    assert whole(f"lines:{path}").x.tolist() == ["one", "two\ufeff"]


def test_a_table_may_begin_with_a_mark_of_byte_order(tmp_path):
    (tmp_path / "a.tsv").write_bytes("\ufeffone\teins\n".encode())
    assert whole(f"pairs:{tmp_path}/a.tsv").x.tolist() == ["one"]


@pytest.mark.parametrize("content", ["", "\n", " \n\t\n", "\ufeff"])
@pytest.mark.parametrize("kind", ["text", "lines"])
def test_a_file_without_text_is_refused(tmp_path, kind, content):
    (tmp_path / "a.txt").write_bytes(content.encode())
    with pytest.raises(InputError, match="a.txt has no (text|lines of text)$"):
        data.load(f"{kind}:{tmp_path}/a.txt")


@pytest.mark.parametrize("kind", ["text:a.gz", "lines:a.gz", "pairs:a.gz,a.gz"])
def test_texts_are_whole_and_of_a_size_that_fits(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packed = gzip.compress(b"one\r\ntwo\rthree\n" * 100)
    (tmp_path / "a.gz").write_bytes(packed)
    assert "\r" not in "".join(whole(kind).x)
    monkeypatch.setattr("kerasgen.kinds.text.LARGEST", 1499)
    with pytest.raises(InputError, match="a.gz has more than 1,499 bytes"):
        whole(kind)
    (tmp_path / "a.gz").write_bytes(packed[:-10])
    with pytest.raises(InputError, match="a.gz is damaged: gzip can't unpack it"):
        whole(kind)


@pytest.mark.parametrize("kind", ["text:a", "lines:a", "pairs:a.tsv", "pairs:a,a"])
def test_other_encodings_are_named(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "a.tsv"):
        (tmp_path / name).write_bytes(
            "one\teins\ncaf\u00e9\tCaf\u00e9\n".encode("latin-1")
        )
    expected = r"is not in UTF-8 \(byte 0xe9 in line 2\): convert it, as `iconv -f"
    with pytest.raises(InputError, match=expected):
        whole(kind)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"train": [[[60', "must hold an object in JSON"),
        ('[{"train": []}]', "must hold an object in JSON"),
        ('{"train": []}', "is not a file of chorales: it must hold"),
        ('{"train": [[["x"]]]}', "is not a file of chorales"),
        ('{"train": [[[99999999999]]]}', "is not a file of chorales"),
        ('{"train": 5}', "is not a file of chorales"),
        ('{"test": [[[60]]]}', "is not a file of chorales"),
    ],
)
def test_files_that_are_no_chorales(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match=message):
        data.load(f"chorales:{tmp_path}/a.json")
