"""Values that users write: YAML, checked against the types of dataclasses."""

import contextlib
import dataclasses
import math
import types
import typing

import yaml

from kerasgen.errors import InputError, unknown

MOST_VALUES = 100_000  # of a text, with what its aliases stand for


def parsed(text: str, origin: str, kind: str = "file"):
    """The value of a YAML text: text, numbers, lists and mappings.

    Args:
        text: the YAML.
        origin: where it is from, for errors.
        kind: what it should be.
    Raises:
        InputError: if it is no YAML, or is something that JSON has not: dates, sets,
            keys that are no text, numbers that are not finite or beyond 64 bits.
    """
    try:
        value = yaml.safe_load(text)
    except Exception as error:  # PyYAML's own, and all kinds for bad values of tags
        raise InputError(f"{origin} is not a YAML {kind}: {_line(error)}") from error
    waiting, count = [("it", value)], 0
    while waiting:  # not by recursion: an alias may stand for what it is in
        key, part = waiting.pop()
        count += 1
        if count > MOST_VALUES:
            raise InputError(
                f"{origin} has more than {MOST_VALUES:,} values, with those that "
                "aliases (*name) stand for: give fewer"
            )
        if isinstance(part, dict):
            for name in part:
                if not isinstance(name, str):
                    raise InputError(
                        f"{origin}: the key {name} must be text: put it in quotes"
                    )
            waiting += part.items()
        elif isinstance(part, list):
            waiting += [(key, item) for item in part]
        elif isinstance(part, (int, float)) and not isinstance(part, bool):
            whole = isinstance(part, int)
            if not (-(2**63) <= part < 2**63 if whole else math.isfinite(part)):
                raise InputError(
                    f"{origin}: {key} must be a finite number of at most 64 bits"
                )
        elif not isinstance(part, (str, bool, types.NoneType)):
            raise InputError(
                f"{origin}: {key} must be text or a number, not a "
                f"{type(part).__name__}: put it in quotes"
            )
    return value


def typed(kind: type, values: dict, prefix: str = ""):
    """`kind(**values)` of a dataclass, and of those in it.

    Args:
        kind: the dataclass, with annotations.
        values: plain ones.
        prefix: what names of values begin with, for errors.
    Raises:
        InputError: for an unknown name, or a value of another type.
    """
    hints = typing.get_type_hints(kind)
    arguments = {}
    for key, value in values.items():
        if key not in hints:
            raise unknown("key", prefix + key, [prefix + name for name in hints])
        hint = hints[key]
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, dict):
                raise InputError(f"{prefix}{key} must hold keys, not {value!r}")
            arguments[key] = typed(hint, value, f"{prefix}{key}.")
        else:
            arguments[key] = _typed(prefix + key, value, hint)
    return kind(**arguments)


def _typed(key: str, value, hint):
    union = isinstance(hint, types.UnionType)
    hints = typing.get_args(hint) if union else (hint,)
    if isinstance(value, dict):
        for each in map(typing.get_args, hints):  # of a dict whose values have a type
            if each:
                value = {k: _typed(f"{key}.{k}", v, each[1]) for k, v in value.items()}
    kinds = tuple(typing.get_origin(kind) or kind for kind in hints)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if float in kinds and isinstance(value, str):
        with contextlib.suppress(ValueError):
            number = float(value)  # YAML reads 1e-3 as a string
            if math.isfinite(number):
                return number
    if isinstance(value, bool) and bool not in kinds or not isinstance(value, kinds):
        wanted = " or ".join(
            "nothing" if kind is types.NoneType else kind.__name__ for kind in kinds
        )
        raise InputError(f"{key} must be {wanted}, not {value!r}")
    return value


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
