"""The hub: trained models of elsewhere, in a cache, verified before they are read.

A hub is a folder with `index.json` and artifacts, as `saved_models/`, on any web
server or at Hugging Face. What is asked for of a model comes file by file, each checked
against the hash in its manifest; the manifest's own hash is in the index, or, of a
folder that is in none, in the manifest.sha256 beside it.

In the cache, `KERASGEN_HOME`, are
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
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from kerasgen import manifest
from kerasgen import recipe as recipes
from kerasgen.errors import InputError, RunError, tell, unknown
from kerasgen.files import (
    LARGEST_JSON,
    atomic,
    damaged,
    json_value,
    read_json,
    write_json,
)
from kerasgen.manifest import PARTS, SHA256
from kerasgen.remotes import Advanced, HuggingFace, Unreachable, Web, remote

INDEX = "index.json"
ALWAYS = ("recipe.yaml", "tokenizer.json")  # that every runtime's user reads
LARGEST = 2**36  # bytes of a file whose size is told nowhere
NO_HUB = f"there is no hub: name one, the address of a folder with {INDEX}, by "
NO_HUB += "KERASGEN_HUB"


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


def address() -> str | None:
    """That of the hub, if there is one."""
    return os.environ.get("KERASGEN_HUB") or None


def is_address(model: str) -> bool:
    """Whether it says where a model is, rather than its name or path."""
    return "://" in model


def fetch(model: str, runtimes: Sequence[str] | None = None, quiet=False) -> Path:
    """The folder in the cache that has a model, verified.

    Args:
        model: a name of the hub, or an address (see `kerasgen.remotes.remote`).
        runtimes: those whose files there must be, as "keras" or "onnx-fp16"; None: all.
        quiet: whether to show no bar.
    Raises:
        InputError: if there is no such model, or it is refused.
        RunError: if it can't be had, or isn't what its manifest says.
    """
    source = _source(model)
    folder = home() / "models" / source.digest / source.name
    if not _complete(folder, source, runtimes):
        with _locked(source.digest), _bars(quiet) as bars:
            try:
                _fill(folder, source, runtimes, bars)
            except BaseException:
                _remove_empty(folder)
                raise
    return folder


def index() -> list[dict]:
    """The models of the hub: "name", "description", "version", "manifest" (its hash),
    "bytes" by runtime, "card", "figures".

    Raises:
        InputError: if there is no hub, or its index is damaged.
        RunError: if it can't be reached, and never was.
    """
    if address() is None:
        raise InputError(NO_HUB)
    folder = remote(address())
    return _page(folder, INDEX, LARGEST_JSON, functools.partial(_models, folder))


def write_index(folder: Path) -> None:
    """Write the index.json of a folder of artifacts, which makes a hub of it.

    The version of a model counts its manifests: it is one more where that is another
    than the index had.
    """
    path, before = folder / INDEX, {}
    if path.exists():
        before = {row["name"]: row for row in _models(folder, path.read_bytes())}
    paths = sorted(folder.glob(f"*/{manifest.NAME}"))
    rows = [_row(path.parent, before.get(path.parent.name)) for path in paths]
    with atomic(path) as temporary:
        write_json(temporary, {"models": rows})


def push(folder: Path, target: str) -> None:
    """Send an artifact, or a hub with all that are in its index, to hf://ORG/REPO.

    Raises:
        InputError: if `folder` is neither, or the target is no such one or refuses it.
        RunError: if files aren't what their manifest says, or it can't be done now.
    """
    goal = remote(target)
    if not isinstance(goal, HuggingFace):
        raise InputError(f"{target}: only hf://ORG/REPO is pushed to")
    if (folder / INDEX).exists():
        rows = _models(folder, (folder / INDEX).read_bytes())
        names = [row["name"] for row in rows]
        files = [INDEX, *(f"{n}/{file}" for n in names for file in _sent(folder / n))]
    else:
        files = _sent(folder)
    goal.send(folder, files, f"kerasgen: {folder.resolve().name}")


def _sent(folder: Path) -> list[str]:
    """All files of an artifact, unchanged."""
    names = [manifest.NAME, manifest.DIGEST, *manifest.read(folder)["files"]]
    if wrong := manifest.differences(folder):
        raise RunError(f"{folder}: {'; '.join(wrong)}: nothing is sent")
    return names


# The index.


def _row(folder: Path, before: dict | None) -> dict:
    """What the index says of an artifact."""
    digest, hashes = (
        manifest.sha256(folder / manifest.NAME),
        manifest.read(folder)["files"],
    )
    known = before or {"version": 0, "manifest": None}
    recipe, metrics, figures = folder / "recipe.yaml", folder / "metrics.json", {}
    if metrics.exists():
        figures = read_json(metrics)["figures"]
    about = recipes.read(str(recipe)).description if recipe.exists() else ""
    card = "README.md"
    return {
        "name": folder.name,
        "description": about,
        "version": known["version"] + (known["manifest"] != digest),
        "manifest": digest,
        "bytes": {
            runtime: sum(
                (folder / name).stat().st_size
                for name in hashes
                if name.startswith(begin)
            )
            for runtime, begin in PARTS.items()
        },
        "card": f"{folder.name}/{card}" if card in hashes else None,
        "figures": {
            name: {key: figure[key] for key in ("value", "unit", "split", "samples")}
            for name, figure in figures.items()
        },
    }


def _models(folder, content: bytes) -> list[dict]:
    """The rows of an index, if they are what is relied on."""
    origin = f"{folder}/{INDEX}"
    rows = json_value(content, origin).get("models")
    try:
        good = all(
            re.fullmatch(r"\w[\w.-]*", row["name"])
            and SHA256.fullmatch(row["manifest"])
            and type(row["version"]) is int
            and all(type(size) is int for size in row["bytes"].values())
            and all(
                isinstance(figure["value"], (int, float))
                for figure in row["figures"].values()
            )
            for row in rows
        )
    except (LookupError, TypeError, AttributeError):
        good = False
    if not good:
        raise damaged(origin, "models with names, versions and hashes of manifests")
    return rows


def _source(model: str) -> Source:
    if not is_address(model):
        rows = {row["name"]: row for row in index()}
        if model not in rows:
            raise unknown(f"model of the hub {remote(address())}", model, rows)
        row = rows[model]
        folder = remote(address())
        return Source(folder, f"{model}/", model, row["manifest"], row["bytes"])
    folder = remote(model)
    parse = functools.partial(_digest, folder)
    return Source(
        folder, "", folder.name, _page(folder, manifest.DIGEST, 1000, parse), {}
    )


def _digest(folder, content: bytes) -> str:
    found = re.fullmatch(rb"([0-9a-f]{64})  manifest\.json\n?", content)
    if not found:
        raise damaged(f"{folder}/{manifest.DIGEST}", f"the hash of {manifest.NAME}")
    return found[1].decode()


def _page(folder, name: str, most: int, parse: Callable):
    """What `parse` makes of a file that may change: as it is now, or, where it can't be
    reached, as it last was."""
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


# The cache.


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
    return content.get("sizes", {}).get(name, min([*told, LARGEST]))


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
