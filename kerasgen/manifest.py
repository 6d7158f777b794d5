"""What is in an artifact: the hash and size of every file, the signatures, the
versions."""

import contextlib
import hashlib
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

from kerasgen import __version__
from kerasgen.errors import InputError
from kerasgen.files import atomic_folder, damaged, make_parents, read_json, write_json

NAME, DIGEST = "manifest.json", "manifest.sha256"
PARTS = {  # what a runtime opens -> how the names of its files begin
    "keras": "model.keras",
    "savedmodel": "1/",
    "onnx": "onnx/",
    "litert": "litert/",
}
WORD = re.compile(r"\w+", re.ASCII)
SHA256 = re.compile(r"[0-9a-f]{64}")
PACKAGES = (
    "tensorflow",
    "keras",
    "tf2onnx",
    "onnx",
    "onnxruntime",
    "ai-edge-litert",
    "numpy",
)


def versions() -> dict[str, str]:
    """The versions of the packages that an artifact is made with, where they are."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found | {"kerasgen": __version__}


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """`files.atomic_folder` for an artifact, which may take the place of another.

    Raises:
        InputError: if `path` holds something else, or can't be made.
    """
    make_parents(path)
    if path.is_file():
        raise InputError(f"{path} is a file: give a folder")
    if path.exists() and any(path.iterdir()) and not (path / NAME).exists():
        raise InputError(f"{path} holds something else than an artifact: remove it")
    with atomic_folder(path) as new:
        yield new


def write(folder: Path, content: dict) -> None:
    """Write the manifest of all files in `folder`, with `content` in it, last."""
    names = files(folder)
    hashes = {name: sha256(folder / name) for name in names}
    sizes = {name: (folder / name).stat().st_size for name in names}
    write_json(folder / NAME, {"files": hashes, **content, "sizes": sizes})
    write_digest(folder)


def write_digest(folder: Path) -> None:
    """Write the hash of the manifest itself."""
    (folder / DIGEST).write_text(_digest_line(folder), encoding="utf-8")


def read(folder: Path) -> dict:
    """The manifest of an artifact; see `checked`.

    Raises:
        InputError: if `folder` is no artifact, or its manifest is damaged.
    """
    if not (folder / NAME).exists():
        raise InputError(f"{folder} is no artifact: it has no {NAME}")
    return checked(read_json(folder / NAME), folder / NAME)


def checked(content: dict, origin) -> dict:
    """What a manifest holds, if it is what every reader relies on: its files lie within
    the artifact, and names of signatures, which become names of files, are plain words.

    Raises:
        InputError: that names `origin`, if it isn't.
    """
    if not _sound(content):
        raise damaged(origin, "hashes of files, and signatures")
    for name in content["files"]:
        if not _within(name):
            raise InputError(f"{origin} is refused: it names the file {name!r}")
    return content


def _within(name: str) -> bool:
    """Whether it is the plain name of a file in the artifact, on every system."""
    odd = not name.isprintable() or set(name) & set('\\:*?"<>|')
    steps = name.split("/")
    dots = any(step.strip(". ") == "" for step in steps)
    return not odd and not dots and name not in (NAME, DIGEST)


def _sound(content: dict) -> bool:
    """Whether it has what every reader relies on."""
    try:
        hashes, signatures = content["files"], content["signatures"]
        return (
            all(SHA256.fullmatch(value) for value in hashes.values())
            and all(type(size) is int for size in content.get("sizes", {}).values())
            and all(WORD.fullmatch(name) for name in signatures)
            and all(
                {"shape", "dtype"} <= set(entry)
                for described in signatures.values()
                for entry in described["inputs"].values()
            )
            and all(isinstance(s["outputs"], list) for s in signatures.values())
        )
    except (LookupError, TypeError, AttributeError):
        return False


def differences(folder: Path, within: str | tuple[str, ...] = "") -> list[str]:
    """One line for each file that isn't what the manifest says; empty if all are.

    `within` is how the names of files may begin that are looked at, as "onnx/".
    """
    try:
        if (folder / DIGEST).read_text(encoding="utf-8") != _digest_line(folder):
            return [f"{NAME} or {DIGEST}: changed"]
    except (OSError, ValueError):
        return [f"{DIGEST}: missing or damaged"]
    hashes = read(folder)["files"]
    listed = [name for name in hashes if name.startswith(within)]
    found = [name for name in files(folder) if name.startswith(within)]
    lines = [f"{name}: missing" for name in listed if name not in found]
    lines += [f"{name}: not in {NAME}" for name in found if name not in listed]
    for name in listed:
        path = folder / name
        if name in found and (path.is_symlink() or sha256(path) != hashes[name]):
            lines.append(f"{name}: changed")
    return lines


def files(folder: Path) -> list[str]:
    """The names of all files and links but the manifest's own, in order."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    names = (path.relative_to(folder).as_posix() for path in paths)
    return sorted(name for name in names if name not in (NAME, DIGEST))


def digest_line(digest: str) -> str:
    """What manifest.sha256 holds, as `sha256sum --check` reads it."""
    return f"{digest}  {NAME}\n"


def _digest_line(folder: Path) -> str:
    return digest_line(sha256(folder / NAME))


def sha256(path: Path) -> str:
    """The hash of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
