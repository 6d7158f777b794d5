"""Files, whole or not at all: read within limits, written under another name first.

What can't be read, or is larger than what it is for can need, is an `InputError` before
memory is taken for it.
"""

import contextlib
import gzip
import json
import os
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from kerasgen.errors import InputError

UNFINISHED = ".unfinished"  # before the suffix of what isn't renamed yet
MEBIBYTE = 2**20
LARGEST_JSON = 64 * MEBIBYTE  # a tokenizer has some
MOST_PACKED = 10  # times the size of an archive that its members may have,
FEW_PACKED = 16 * MEBIBYTE  # if they have more bytes than this
# What zipfile raises for damaged archives.
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError)


@contextlib.contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it when the block ends well.

    So `path` is never half-written, whenever the process dies; what it leaves behind
    then, `sweep` removes.
    """
    path = Path(path)
    suffix = UNFINISHED + path.suffix
    try:
        handle, name = tempfile.mkstemp(suffix, f".{path.stem}-", path.parent)
    except OSError as error:  # of the name that the user knows
        raise OSError(error.errno, error.strerror, str(path)) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder, to be written; then it is `path`, and what was there is gone.

    Where anything fails there is what was there before. A process that is killed while
    it renames leaves the old folder beside, under a name of its own, from which the
    next one restores it.
    """
    path = path.resolve()  # of a link, where it leads
    old = path.with_name(f".{path.name}.old")
    if old.exists() and not path.exists():
        old.rename(path)
    with tempfile.TemporaryDirectory(
        prefix=f".{path.name}-", dir=path.parent
    ) as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        yield new
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise
    shutil.rmtree(old, ignore_errors=True)


def make_parents(path: Path) -> None:
    """Make the folders that `path` is in.

    Raises:
        InputError: if they can't be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = error.strerror
        raise InputError(f"{path} can't be made: {why}: give another path") from error


def sweep(folder: Path) -> None:
    """Remove what `atomic` left in `folder` where its process was killed."""
    for path in folder.glob(f".*{UNFINISHED}*"):
        if path.is_file():
            path.unlink()


def require_regular(path: str | os.PathLike) -> int:
    """The size of a file that is a regular one: a device or a pipe may never end.

    Raises:
        InputError: if it is none.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path} is not a regular file: give one")
    return status.st_size


def read_bytes(path: str | os.PathLike, most: int) -> bytearray:
    """A regular file, unpacked where its name ends in .gz.

    Args:
        path: the file.
        most: bytes that it may have, packed and unpacked.
    Raises:
        InputError: if it can't be read, is damaged, or has more.
    """
    size, content = require_regular(path), bytearray()
    opened = gzip.open if str(path).endswith(".gz") else open
    try:
        with opened(path, "rb") as file:
            while size <= most and (part := file.read(MEBIBYTE)):
                content += part
                size = max(size, len(content))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is damaged: gzip can't unpack it") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if size > most:
        limit = f"{most:,} bytes, the most that is read of it"
        raise InputError(f"{path} has more than {limit}: give a smaller one")
    return content


def read_json(path: str | os.PathLike, kind: type = dict):
    """The value in a JSON file.

    Args:
        path: the file.
        kind: what the value must be, `dict` or `list`.
    Raises:
        InputError: if the file can't be read, is damaged, or holds something else.
    """
    return json_value(read_bytes(path, LARGEST_JSON), path, kind)


def json_value(content: bytes | str, origin, kind: type = dict):
    """The value of JSON; `origin` says in errors where it is from. See `read_json`."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise damaged(origin, f"{'an object' if kind is dict else 'a list'} in JSON")
    return value


def write_json(path: Path, content: dict) -> None:
    """Write JSON that people can read too; not atomically."""
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def damaged(origin, expected: str) -> InputError:
    """The error for a file that doesn't hold what was expected."""
    return InputError(
        f"{origin} is damaged: it must hold {expected}; make it anew, or take it from "
        "a copy"
    )


@contextlib.contextmanager
def archive(path: str | os.PathLike, expected: str) -> Iterator[zipfile.ZipFile]:
    """A zip file whose members can be read: none is encrypted, packed in an odd way,
    there twice, or far larger than the file.

    Args:
        path: the file.
        expected: what it should be, for errors.
    Raises:
        InputError: if it isn't such a file, or the block finds it damaged.
    """
    size = require_regular(path)
    try:
        with zipfile.ZipFile(path) as opened:
            _check_members(path, opened.infolist(), size)
            yield opened
    except InputError:
        raise
    except _BROKEN as error:
        raise InputError(f"{path} is damaged, or not {expected}") from error


def _check_members(path, members: list[zipfile.ZipInfo], size: int) -> None:
    known = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    for member in members:
        name = f"{path} can't be read: its member {member.filename!r}"
        if member.flag_bits & 0x1:
            raise InputError(f"{name} is encrypted: pack it without a password")
        if member.compress_type not in known:
            raise InputError(f"{name} is packed in an odd way: store or deflate it")
    if len({member.filename for member in members}) < len(members):
        raise InputError(f"{path} can't be read: a member is there twice: pack it once")
    total = sum(member.file_size for member in members)
    if total > max(MOST_PACKED * size, FEW_PACKED):
        raise InputError(
            f"{path} can't be read: it has {size:,} bytes, and says that {total:,} are "
            f"packed in them: at most {MOST_PACKED} times as many are unpacked"
        )


def _unreadable(path, error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"there is no file {path}")
    return InputError(f"can't read {path}: {error.strerror or error}")
