"""Extras: packages that not every user needs."""

import contextlib
import functools
import importlib.metadata as metadata
from collections.abc import Iterator

from packaging.requirements import Requirement

from kerasgen.errors import InputError

DISTRIBUTION = "kerasgen-zoo"


@functools.cache
def need(extra: str) -> None:
    """Before a package of an extra of setup.cfg is imported.

    Raises:
        InputError: that says which are not installed, and how they are.
    """
    missing = [str(one) for one in _packages(extra) if not _installed(one.name)]
    if missing:
        names = " ".join(f"'{one}'" for one in missing)
        raise InputError(
            f"this needs the extra {extra!r} of {DISTRIBUTION}: pip install {names}"
        )


@contextlib.contextmanager
def needing(extra: str) -> Iterator[None]:
    """`need`, where something can't be imported inside."""
    try:
        yield
    except ModuleNotFoundError:
        need(extra)
        raise


def _packages(extra: str) -> list[Requirement]:
    """What an extra adds; nothing where kerasgen itself isn't installed."""
    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    found = []
    for requirement in map(Requirement, lines):
        marker, requirement.marker = requirement.marker, None
        always = marker is None or marker.evaluate({"extra": ""})
        if not always and marker.evaluate({"extra": extra}):
            found.append(requirement)
    return found


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
