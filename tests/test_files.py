"""Files: read within limits, written whole or not at all."""

import gzip
import json
import os
import struct
import zipfile
from pathlib import Path

import pytest

from kerasgen import files
from kerasgen.errors import InputError, RunError

MEMBERS = {"a.json": b"{}", "b.bin": bytes(range(256)) * 40}


def test_what_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(MemoryError), files.atomic(path) as temporary:
        temporary.write_text("hal")
        raise MemoryError
    assert path.read_text() == "before" and [*tmp_path.iterdir()] == [path]
    with files.atomic(path) as temporary:
        temporary.write_text("after")
    assert path.read_text() == "after" and [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("moment", ["while it is written", "between the renames"])
def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch, moment):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "content").write_text("old")
    rename = Path.rename

    def fails(self, target):
        if self.name == "new":
            raise OSError("the disk is full")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError), files.atomic_folder(tmp_path / "old") as folder:
        (folder / "content").write_text("new")
        if moment == "while it is written":
            raise OSError
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old" / "content").read_text() == "old"


def test_what_a_kill_between_the_renames_leaves_is_restored(tmp_path):
    (tmp_path / ".mine.old").mkdir()
    (tmp_path / ".mine.old" / "content").write_text("old")
    with pytest.raises(RunError), files.atomic_folder(tmp_path / "mine"):
        raise RunError("this export fails too")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    with files.atomic_folder(tmp_path / "mine") as folder:
        (folder / "other").write_text("new")
        assert (tmp_path / "mine" / "content").read_text() == "old"  # until the end
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "other"]


def test_a_file_that_cannot_be_made_has_the_name_that_was_given(tmp_path):
    path = tmp_path / "none" / "a.txt"
    with pytest.raises(FileNotFoundError) as caught, files.atomic(path):
        pass
    assert caught.value.filename == str(path)


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_the_limit_is_of_what_is_read(tmp_path, name):
    path = tmp_path / name
    content = bytes(1000)  # packed, it has 29 bytes
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert files.read_bytes(path, 1000) == content
    with pytest.raises(InputError, match="has more than 999 bytes, the most that is"):
        files.read_bytes(path, 999)


def test_a_large_file_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    with open(path, "wb") as file:
        file.truncate(5 * 10**9)  # no bytes on the disk
    monkeypatch.setattr(files, "MEBIBYTE", None)  # of every part that is read
    with pytest.raises(InputError, match="more than 1,000 bytes"):
        files.read_bytes(path, 1000)


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", tmp_path / "pipe", tmp_path):
        with pytest.raises(InputError, match="is not a regular file"):
            files.read_bytes(path, 1000)
    with pytest.raises(InputError, match=r"there is no file .*nothing\.txt"):
        files.read_bytes(tmp_path / "nothing.txt", 1000)


def test_damaged_gzip(tmp_path):
    packed = gzip.compress(os.urandom(1000))
    wrong = bytearray(packed)
    wrong[500] ^= 255
    for content in (packed[:500], packed[:-2], wrong, b"plain text", packed[:3]):
        (tmp_path / "a.gz").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.gz is damaged: gzip can't unpack"):
            files.read_bytes(tmp_path / "a.gz", 10**6)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'{"a": ', dict),
        (b"[1]", dict),
        (b"null", dict),
        (b"", dict),
        (b"[" * 100_000, dict),
        (b'{"a": ' + b"9" * 5000 + b"}", dict),
        (b'{"a": "\xe9"}', dict),
        (b"{}", list),
    ],
)
def test_json_is_what_was_expected(tmp_path, content, kind):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    what = {dict: "an object", list: "a list"}[kind]
    expected = rf"^.*a\.json is damaged: it must hold {what} in JSON; make it anew"
    with pytest.raises(InputError, match=expected) as caught:
        files.read_json(path, kind)
    assert "\n" not in str(caught.value)
    path.write_text(json.dumps(kind(), indent=1), encoding="utf-8")
    assert files.read_json(path, kind) == kind()


def opened(path):
    with files.archive(path, "a thing") as members:
        return {name: members.read(name) for name in members.namelist()}


def packed(path, compression=zipfile.ZIP_STORED, members=MEMBERS):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archives_that_are_fine(tmp_path, compression):
    zeros = {"a": bytes(10**6)}  # as the file of a small model is mostly
    path = packed(tmp_path / "a.zip", compression, zeros)
    assert opened(path) == zeros


def changed(path, offset, value):
    """The archive with a field of each entry of its directory changed."""
    content = bytearray(path.read_bytes())
    place = content.find(b"PK\1\2")
    while place >= 0:
        content[place + offset : place + offset + len(value)] = value
        place = content.find(b"PK\1\2", place + 1)
    path.write_bytes(content)


def test_archives_that_lie(tmp_path):
    path = packed(tmp_path / "a.zip")
    changed(path, 8, struct.pack("<H", 1))
    with pytest.raises(InputError, match="member 'a.json' is encrypted: pack it"):
        opened(path)
    path = packed(path, zipfile.ZIP_LZMA)
    with pytest.raises(InputError, match="member 'a.json' is packed in an odd way"):
        opened(path)
    path = packed(path)
    changed(path, 24, struct.pack("<I", 2_500_000_000))  # both: 5 GB
    with pytest.raises(InputError, match="says that 5,000,000,000 are packed in them"):
        opened(path)
    path = packed(path, zipfile.ZIP_DEFLATED, {"zeros": bytes(2 * 10**7)})
    with pytest.raises(InputError, match="20,000,000 are packed in them: at most 10"):
        opened(path)
    path = packed(path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning):
        archive.writestr("a.json", "other")
    with pytest.raises(InputError, match="a member is there twice"):
        opened(path)
    whole = packed(path).read_bytes()
    flipped = whole.replace(bytes(range(256)), bytes(256), 1)
    for content in (whole[:-30], whole[:100], b"", flipped, b"PK\5\6" * 20):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.zip is damaged, or not a thing"):
            opened(path)
