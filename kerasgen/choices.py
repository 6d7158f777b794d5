"""Parts that a user names: "cosine", or {"name": "cosine", "offset": 0.01}."""

import inspect
from collections.abc import Callable, Mapping

from kerasgen.errors import InputError, unknown


def entry(kind: str, name: str, table: Mapping[str, object]):
    """`table[name]`.

    Raises:
        InputError: that gives the nearest names, for one that isn't there.
    """
    if not isinstance(name, str) or name not in table:
        raise unknown(kind, name, table)
    return table[name]


def choose(kind: str, spec, table: Mapping[str, Callable], *arguments):
    """What the entry of `table` that `spec` names makes of `arguments` and values.

    Args:
        kind: what the entries are, for errors.
        spec: a name, or a dict of `name` and keyword values.
        table: name -> class or function.
        *arguments: positional arguments, which `spec` can't give.
    Raises:
        InputError: for an unknown name or value.
    """
    if not isinstance(spec, (str, Mapping)):
        raise InputError(f"a {kind} is a name, or a dict with a name, not {spec!r}")
    values = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = values.pop("name", None)
    make = entry(kind, name, table)
    options = list(inspect.signature(make).parameters)[len(arguments) :]
    for key in values:
        if key not in options:
            raise unknown(f"value of the {name} {kind}", key, options)
    return make(*arguments, **values)
