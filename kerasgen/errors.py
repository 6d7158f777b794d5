"""Errors that teach: one line that says what was wrong and what to do."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input from the user; the command line prints it and exits with 2."""


class RunError(RuntimeError):
    """Good input, but the work failed; the command line prints it and exits with 1."""


def unknown(kind: str, name: object, names: Iterable[str]) -> InputError:
    """The error for a name that isn't one of `names`; the nearest come first."""
    names = sorted(names)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    hint = (
        f"did you mean {' or '.join(near)}?"
        if near
        else f"expected one of {', '.join(names)}"
    )
    return InputError(f"unknown {kind} {name!r}: {hint}")


def require(condition: bool, name: str, expected: str, value: object) -> None:
    """Raise `InputError` unless `condition` holds."""
    if not condition:
        raise InputError(f"{name} must be {expected}, not {value!r}")


def require_positive(**values: int) -> None:
    """Raise `InputError` unless each value is a whole number of at least 1."""
    for name, value in values.items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        require(whole and value >= 1, name, "a whole number of at least 1", value)


def require_at_least(minimum: float, **values: float) -> None:
    """Raise `InputError` unless each value is a number of at least `minimum`."""
    for name, value in values.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        good = number and value >= minimum
        require(good, name, f"a number of at least {minimum:g}", value)
