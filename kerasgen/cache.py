"""The cache: what was fetched of models elsewhere, verified before it has a name.

In its folder, `KERASGEN_HOME`, are
    models/DIGEST/NAME/     files of the artifact whose manifest has that hash
    partial/DIGEST/         what was cut off, to be continued
    pages/                  indexes and digests as they last were
    locks/
"""

import contextlib
import dataclasses
import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from kerasgen import manifest
from kerasgen.errors import InputError, RunError, tell
from kerasgen.files import LARGEST_JSON, atomic, read_json
from kerasgen.manifest import PARTS
from kerasgen.remotes import Advanced, HuggingFace, Unreachable, Web

ALWAYS = ("recipe.yaml", "tokenizer.json")  # that every runtime's user reads
LARGEST = 2**33  # bytes of a file whose size is told nowhere


@dataclasses.dataclass(frozen=True)
class Source:
    """A model that is elsewhere.

    Args:
        folder: where.
        prefix: how the names of its files begin there.
        name: what it is called here.
        digest: the hash of its manifest.
        sizes: bytes by runtime, as far as they are known.
    """

    folder: Web | HuggingFace
    prefix: str
    name: str
    digest: str
    sizes: dict[str, int]


def home() -> Path:
    """The cache: `KERASGEN_HOME`, or kerasgen's folder among the user's caches."""
    if own := os.environ.get("KERASGEN_HOME"):
        return Path(own).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME")
    return Path(caches or Path.home() / ".cache") / "kerasgen"


def fetch(source: Source, runtimes: Sequence[str] | None = None, quiet=False) -> Path:
    """The folder in the cache that has a model.

    Args:
        source: where it is from.
        runtimes: those whose files there must be, as "keras" or "onnx-fp16"; None: all.
        quiet: whether to show no bar.
    Raises:
        InputError: if a file isn't there, or the manifest is refused.
        RunError: if a file can't be had, or isn't what its hash is of.
    """
    folder = home() / "models" / source.digest / source.name
    if not _complete(folder, source, runtimes):
        with _locked(source.digest), _bars(quiet) as bars:
            try:
                _fill(folder, source, runtimes, bars)
            except BaseException:
                _remove_empty(folder)
                raise
    return folder


def page(folder, name: str, most: int, parse: Callable):
    """What `parse` makes of a file that may change: as it is now, or, where it can't be
    reached, as it last was.

    Args:
        folder: the remote that has it.
        name: of the file.
        most: bytes that it may have.
        parse: its content -> a value; what it refuses isn't kept.
    Raises:
        InputError: if there is none, or `parse` refuses it.
        RunError: if it can't be reached, and never was.
    """
    place = f"{folder}/{name}"
    kept = home() / "pages" / hashlib.sha256(place.encode()).hexdigest()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "page"
            folder.fetch(name, path, most, lambda count, total: None)
            content = path.read_bytes()
    except Unreachable as error:
        if not kept.exists():
            raise
        tell(f"{error}; what is in the cache is used")
        return parse(kept.read_bytes())
    value = parse(content)
    if not kept.exists() or kept.read_bytes() != content:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic(kept) as temporary:
            temporary.write_bytes(content)
    return value


def _wanted(content: dict, runtimes: Sequence[str] | None) -> dict[str, str]:
    """The files that runtimes need, and their hashes."""
    hashes = content["files"]
    if runtimes is None:
        return hashes
    begins = tuple(PARTS[runtime.partition("-")[0]] for runtime in runtimes)
    more = {*ALWAYS, *(["metrics.json"] if "keras" in runtimes else ())}
    return {k: v for k, v in hashes.items() if k.startswith(begins) or k in more}


def _complete(folder: Path, source: Source, runtimes) -> bool:
    """Whether all that is wanted is there, unchanged."""
    if not _is(folder / manifest.NAME, source.digest):
        return False
    wanted = _wanted(manifest.read(folder), runtimes).items()
    digest = (folder / manifest.DIGEST).exists()
    return digest and all(_is(folder / name, value) for name, value in wanted)


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and not path.is_symlink() and manifest.sha256(path) == digest


def _fill(folder: Path, source: Source, runtimes, bars) -> None:
    """Fetch what is missing of all that is wanted."""
    take = functools.partial(_take, folder, source, bars)
    about = f"{source.folder}/{source.prefix}{manifest.NAME}"

    def check(path: Path) -> None:
        manifest.checked(read_json(path), about)

    take(manifest.NAME, source.digest, LARGEST_JSON, check)
    if not (folder / manifest.DIGEST).exists():
        with atomic(folder / manifest.DIGEST) as temporary:
            temporary.write_text(manifest.digest_line(source.digest), encoding="utf-8")
    content = manifest.read(folder)
    for name, digest in _wanted(content, runtimes).items():
        take(name, digest, _most(name, content, source))


def _most(name: str, content: dict, source: Source) -> int:
    """Bytes that a file may have."""
    parts = [part for part, begin in PARTS.items() if name.startswith(begin)]
    told = [source.sizes[part] for part in parts if part in source.sizes]
    known = min([*told, LARGEST if parts else LARGEST_JSON])
    return content.get("sizes", {}).get(name, known)


def _take(
    folder: Path,
    source: Source,
    bars: Callable[[str], Advanced],
    name: str,
    digest: str,
    most: int,
    check: Callable[[Path], None] | None = None,
) -> None:
    """Fetch a file of a model, unless it is there; nothing unverified gets its name."""
    path = folder / name
    if _is(path, digest):
        return
    partial = home() / "partial" / source.digest / digest
    partial.parent.mkdir(parents=True, exist_ok=True)
    remote_name = source.prefix + name
    continued = partial.exists()
    try:
        source.folder.fetch(remote_name, partial, most, bars(name))
        if continued and manifest.sha256(partial) != digest:  # of another's beginning
            partial.unlink()
            source.folder.fetch(remote_name, partial, most, bars(name))
        if manifest.sha256(partial) != digest:
            raise RunError(
                f"{source.folder}/{remote_name} is refused: it isn't the file that its "
                "hash is of"
            )
        if check is not None:
            check(partial)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(partial, path)
    except Unreachable:  # what there is of it is continued the next time
        if partial.exists() and not partial.stat().st_size:
            partial.unlink()
        raise
    except (InputError, RunError):
        partial.unlink(missing_ok=True)
        shutil.rmtree(partial.with_suffix(".hf"), ignore_errors=True)
        raise
    finally:
        _remove_empty(partial.parent)


def _remove_empty(folder: Path) -> None:
    """Remove a folder of the cache that holds nothing, and such ones that it is in."""
    while folder != home():
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return
        folder = folder.parent


@contextlib.contextmanager
def _locked(digest: str) -> Iterator[None]:
    """One process at a time fetches a model; another waits, and finds it."""
    from filelock import FileLock, Timeout

    path = home() / "locks" / digest
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        tell("another process fetches this model: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _bars(quiet: bool) -> Iterator[Callable[[str], Advanced]]:
    """A function: name of a file -> what moves its bar, in a terminal."""
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    off = quiet or not console.is_terminal
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
    )

    with progress.Progress(
        *columns, console=console, transient=True, disable=off
    ) as shown:

        def bar(name: str) -> Advanced:
            task = shown.add_task(name, total=None)
            return lambda count, total: shown.update(task, completed=count, total=total)

        yield bar
