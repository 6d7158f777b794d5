"""The hub: trained models of elsewhere, in a cache, verified before they are read.

A hub is a folder with `index.json` and artifacts, as `saved_models/`, on any web
server or at Hugging Face. What is asked for of a model comes file by file, each checked
against the hash in its manifest; the manifest's own hash is in the index, or, of a
folder that is in none, in the manifest.sha256 beside it.
"""

import functools
import os
import re
from collections.abc import Sequence
from pathlib import Path

from kerasgen import cache, manifest
from kerasgen import recipe as recipes
from kerasgen.cache import Source
from kerasgen.errors import InputError, RunError, unknown
from kerasgen.files import (
    LARGEST_JSON,
    atomic,
    damaged,
    json_value,
    read_json,
    write_json,
)
from kerasgen.manifest import PARTS, SHA256
from kerasgen.remotes import HuggingFace, Web, remote

INDEX, CARD = "index.json", "README.md"
PLAIN = re.compile(r"\w[\w.-]*")  # names of models, which become names of folders
NO_HUB = f"there is no hub: name one, the address of a folder with {INDEX}, by "
NO_HUB += "KERASGEN_HUB"


def address() -> str | None:
    """That of the hub, if there is one."""
    return os.environ.get("KERASGEN_HUB", "").removesuffix(f"/{INDEX}") or None


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
    return cache.fetch(_source(model), runtimes, quiet)


def index() -> list[dict]:
    """The models of the hub: "name", "description", "version", "manifest" (its hash),
    "bytes" by runtime, "card", "figures".

    Raises:
        InputError: if there is no hub, or its index is damaged.
        RunError: if it can't be reached, and never was.
    """
    return _index(_hub())


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
    digest, names = manifest.sha256(folder / manifest.NAME), manifest.files(folder)
    sizes = {name: (folder / name).stat().st_size for name in names}
    known = before or {"version": 0, "manifest": None}
    recipe, metrics, figures = folder / "recipe.yaml", folder / "metrics.json", {}
    if metrics.exists():
        figures = read_json(metrics)["figures"]
    return {
        "name": folder.name,
        "description": recipes.read(str(recipe)).description if recipe.exists() else "",
        "version": known["version"] + (known["manifest"] != digest),
        "manifest": digest,
        "bytes": {
            runtime: sum(size for name, size in sizes.items() if name.startswith(begin))
            for runtime, begin in PARTS.items()
        },
        "card": f"{folder.name}/{CARD}" if CARD in sizes else None,
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
            PLAIN.fullmatch(row["name"])
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


def _hub() -> Web | HuggingFace:
    if address() is None:
        raise InputError(NO_HUB)
    return remote(address())


def _index(folder: Web | HuggingFace) -> list[dict]:
    parse = functools.partial(_models, folder)
    return cache.page(folder, INDEX, LARGEST_JSON, parse)


def _source(model: str) -> Source:
    if not is_address(model):
        folder = _hub()
        rows = {row["name"]: row for row in _index(folder)}
        if model not in rows:
            raise unknown(f"model of the hub {folder}", model, rows)
        row = rows[model]
        return Source(folder, f"{model}/", model, row["manifest"], row["bytes"])
    folder = remote(model)
    name = folder.name if PLAIN.fullmatch(folder.name) else "model"
    parse = functools.partial(_digest, folder)
    digest = cache.page(folder, manifest.DIGEST, 1000, parse)
    return Source(folder, "", name, digest, {})


def _digest(folder, content: bytes) -> str:
    found = re.fullmatch(rb"([0-9a-f]{64})  manifest\.json\n?", content)
    if not found:
        raise damaged(f"{folder}/{manifest.DIGEST}", f"the hash of {manifest.NAME}")
    return found[1].decode()
