"""What is in an artifact: the hash of every file, the signatures, the versions."""

import contextlib
import hashlib
import importlib.metadata
import json
import re
from pathlib import Path

from kerasgen import __version__
from kerasgen.errors import InputError
from kerasgen.files import damaged, read_json

NAME, DIGEST = "manifest.json", "manifest.sha256"
WORD = re.compile(r"\w+", re.ASCII)
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


def write(folder: Path, content: dict) -> None:
    """Write the manifest of all files in `folder`, with `content` in it, last."""
    hashes = {name: _sha256(folder / name) for name in files(folder)}
    text = json.dumps({"files": hashes, **content}, indent=1) + "\n"
    (folder / NAME).write_text(text, encoding="utf-8")
    write_digest(folder)


def write_digest(folder: Path) -> None:
    """Write the hash of the manifest itself."""
    (folder / DIGEST).write_text(_digest_line(folder), encoding="utf-8")


def read(folder: Path) -> dict:
    """The manifest of an artifact; names of signatures, which become names of files,
    are plain words.

    Raises:
        InputError: if `folder` is no artifact, or its manifest is damaged.
    """
    if not (folder / NAME).exists():
        raise InputError(f"{folder} is no artifact: it has no {NAME}")
    content = read_json(folder / NAME)
    if not _sound(content):
        raise damaged(folder / NAME, "hashes of files, and signatures")
    return content


def _sound(content: dict) -> bool:
    """Whether it has what every reader relies on."""
    try:
        hashes, signatures = content["files"], content["signatures"]
        return (
            all(isinstance(text, str) for pair in hashes.items() for text in pair)
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


def differences(folder: Path, within: str = "") -> list[str]:
    """One line for each file that isn't what the manifest says; empty if all are.

    `within` is how the names of files begin that are looked at, as "onnx/".
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
        if name in found and (path.is_symlink() or _sha256(path) != hashes[name]):
            lines.append(f"{name}: changed")
    return lines


def files(folder: Path) -> list[str]:
    """The names of all files and links but the manifest's own, in order."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    names = (path.relative_to(folder).as_posix() for path in paths)
    return sorted(name for name in names if name not in (NAME, DIGEST))


def _digest_line(folder: Path) -> str:
    return f"{_sha256(folder / NAME)}  {NAME}\n"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
