"""What several commands do with their options."""

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from kerasgen.errors import InputError, not_utf8
from kerasgen.kinds import Kind
from kerasgen.places import Place, find
from kerasgen.recipe import Recipe
from kerasgen.values import parsed

LONGEST_INPUT = 10_000_000  # characters of standard input


def settings(pairs: Sequence[str]) -> dict:
    """["train.epochs=3"] -> {"train.epochs": 3}; values are YAML."""
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(f"--set takes KEY=VALUE, not {pair!r}")
        found[key] = parsed(value, f"--set {key}: {value!r}", "value")
    return found


def chosen(options, *sections: str) -> dict[str, dict]:
    """The values of --set by their section, where only these can be set."""
    found = {section: {} for section in sections}
    for key, value in settings(options.set).items():
        section, _, name = key.partition(".")
        if section not in sections:
            every = " and ".join(f"{section}.…" for section in sections)
            raise InputError(f"--set {key}: only {every} can be set here")
        found[section][name] = value
    return found


def sampler(options, *more: str) -> dict:
    """What a diffusion model samples with, where it isn't the model's own choice."""
    named = {key: getattr(options, key) for key in ("sampling_steps", *more)}
    named |= settings([] if options.sampler is None else [f"sampler={options.sampler}"])
    return {key: value for key, value in named.items() if value is not None}


def place_of(options, *runtimes: str) -> Place:
    """Where the model that is named is, with the files of some runtimes."""
    return find(options.model, runtimes, options.quiet)


def recipe_of(place: Place) -> Recipe | None:
    """What a model was trained by, if it is beside it."""
    known = place.folder is not None and (place.folder / "recipe.yaml").exists()
    return place.recipe() if known else None


def out_file(name: str, suffixes: Sequence[str]) -> Path:
    """A file to be written, in a folder that exists."""
    path = Path(name)
    if path.suffix not in suffixes:
        raise InputError(f"{name} must end in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} to write {path.name} in")
    return path


def check_suffix(out: Path | None, kind: Kind) -> None:
    """Refuse a file that samples of a kind aren't written to."""
    if out is not None and out.suffix not in kind.suffixes:
        ends = " or ".join(kind.suffixes)
        raise InputError(f"this model's samples go to a file that ends in {ends}")


def texts(options) -> list[str]:
    """The texts of the command line, or the lines of standard input."""
    found = options.text
    if not found:
        try:
            lines = sys.stdin.read(LONGEST_INPUT + 1).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise not_utf8("standard input", error) from error
        if len(lines) > LONGEST_INPUT:
            raise InputError(
                f"standard input has more than {LONGEST_INPUT:,} characters: give less "
                "at once"
            )
        found = lines.removesuffix("\n").split("\n") if lines else []
    if not found:
        raise InputError("there is no text: give some, or lines on standard input")
    return found


def progress(options) -> Callable:
    """A function `(steps, title, total)` that wraps steps in a bar, in a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    off = options.quiet or not console.is_terminal
    return functools.partial(track, console=console, disable=off, transient=True)


def say(options, line: str) -> None:
    """Print a line, unless --quiet."""
    if not options.quiet:
        print(line)
