"""What is in an artifact: the hash of every file, the signatures, the versions."""

import hashlib
import importlib.metadata
import json
from pathlib import Path

from kerasgen.errors import InputError

NAME, DIGEST = "manifest.json", "manifest.sha256"
PACKAGES = (
    "tensorflow",
    "keras",
    "tf2onnx",
    "onnx",
    "onnxruntime",
    "ai-edge-litert",
    "numpy",
    "kerasgen",
)


def versions() -> dict[str, str]:
    """The versions of the packages that an artifact is made with."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def write(folder: Path, content: dict) -> None:
    """Write the manifest of all files in `folder`, with `content` in it, last."""
    files = {name: _sha256(folder / name) for name in _files(folder)}
    text = json.dumps({"files": files, **content}, indent=1) + "\n"
    (folder / NAME).write_text(text, encoding="utf-8")
    (folder / DIGEST).write_text(_digest_line(folder), encoding="utf-8")


def read(folder: Path) -> dict:
    """The manifest of an artifact.

    Raises:
        InputError: if `folder` is no artifact.
    """
    try:
        return json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} is no artifact: it has no {NAME}") from error


def differences(folder: Path) -> list[str]:
    """One line for each file that isn't what the manifest says; empty if all are."""
    try:
        if (folder / DIGEST).read_text(encoding="utf-8") != _digest_line(folder):
            return [f"{NAME} or {DIGEST}: changed"]
    except (OSError, ValueError):
        return [f"{DIGEST}: missing or damaged"]
    listed, found = read(folder)["files"], _files(folder)
    lines = [f"{name}: missing" for name in listed if name not in found]
    lines += [f"{name}: not in {NAME}" for name in found if name not in listed]
    for name in listed:
        path = folder / name
        if name in found and (path.is_symlink() or _sha256(path) != listed[name]):
            lines.append(f"{name}: changed")
    return lines


def _files(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    names = (path.relative_to(folder).as_posix() for path in paths)
    return sorted(name for name in names if name not in (NAME, DIGEST))


def _digest_line(folder: Path) -> str:
    return f"{_sha256(folder / NAME)}  {NAME}\n"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
