"""Errors that teach: one line that says what was wrong and what to do."""

import difflib
import errno
import re
import sys
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input from the user; the command line prints it and exits with 2."""


class RunError(RuntimeError):
    """Good input, but the work failed; the command line prints it and exits with 1."""


def tell(line: str) -> None:
    """Say on standard error what a user should know and nothing fails for."""
    print(f"kerasgen: {line}", file=sys.stderr)


def told(error: BaseException) -> str:
    """What the command line says of an error, whatever it is: one line, with what to
    do."""
    text = str(error)
    if isinstance(error, (InputError, RunError)):
        return one_line(text)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if _disk_is_full(error):
        name = getattr(error, "filename", None)
        where = f" ({name} was not written)" if name else ""
        return one_line(f"the disk is full{where}: make room, or write to another one")
    if out_of_memory(error):
        return (
            "out of memory: ask for less at once (fewer samples, a smaller "
            "train.batch_size, a smaller model), or use a machine with more"
        )
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return one_line(f"{name}{error.strerror}")
    what = f"{type(error).__name__}: {text}".removesuffix(": ")
    return (
        f"unexpected error: {one_line(what)[:300]}; run again with --debug, and report "
        "what it shows"
    )


def out_of_memory(error: BaseException) -> bool:
    """Whether there was too little memory, of the machine or of a device."""
    by_tensorflow = type(error).__name__ == "ResourceExhaustedError"
    by_jax = "RESOURCE_EXHAUSTED" in str(error)
    return isinstance(error, MemoryError) or by_tensorflow or by_jax


def _disk_is_full(error: BaseException) -> bool:
    codes = (errno.ENOSPC, errno.EDQUOT)
    said = re.search(r"No space left on|\d requested and \d+ written", str(error))
    return getattr(error, "errno", None) in codes or said is not None  # or NumPy's


def one_line(text: str) -> str:
    """A text in one line that can be shown: no signs that steer a terminal, and of a
    very long one the beginning and the end."""
    line = " ".join(text.split())
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return line if len(line) <= 1000 else f"{line[:600]} … {line[-300:]}"


def unknown(kind: str, name: object, names: Iterable[str]) -> InputError:
    """The error for a name that isn't one of `names`; the nearest come first."""
    names = sorted(names)
    alike = {known.lower(): known for known in names}
    near = difflib.get_close_matches(str(name).lower(), alike, n=3, cutoff=0.5)
    near = [alike[key] for key in near]
    hint = (
        f"did you mean {' or '.join(near)}?"
        if near
        else f"expected one of {', '.join(names)}"
    )
    return InputError(f"unknown {kind} {name!r}: {hint}")


def not_utf8(what: object, error: UnicodeError) -> InputError:
    """The error for bytes that are no text; Python keeps such bytes of arguments as
    characters from U+DC80 on."""
    before, wrong = error.object[: error.start], error.object[error.start]
    if isinstance(wrong, str) and not "\udc80" <= wrong <= "\udcff":
        half = f"U+{ord(wrong):04X}, half of a character"
        return InputError(f"{what} has {half}: leave it out")
    byte = wrong if isinstance(wrong, int) else ord(wrong) & 0xFF
    line = before.count(b"\n" if isinstance(before, bytes) else "\n") + 1
    return InputError(
        f"{what} is not in UTF-8 (byte 0x{byte:02x} in line {line}): convert it, as "
        "`iconv -f LATIN1 -t UTF-8` does"
    )


def require(condition: bool, name: str, expected: str, value: object) -> None:
    """Raise `InputError` unless `condition` holds."""
    if not condition:
        raise InputError(f"{name} must be {expected}, not {value!r}")


def require_within(low: float, high: float, **values: float) -> None:
    """Raise `InputError` unless each value is a number in [low, high]."""
    for name, value in values.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        good = number and low <= value <= high
        require(good, name, f"in [{low:g}, {high:g}]", value)


def require_share(**values: float) -> None:
    """Raise `InputError` unless each value is a number in [0, 1)."""
    for name, value in values.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        require(number and 0.0 <= value < 1.0, name, "in [0, 1)", value)


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
