"""Rows: what a user asks of a signature as arrays, and arrays in parts."""

import itertools
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from kerasgen import random
from kerasgen.conventions import MOST_SAMPLES
from kerasgen.errors import InputError, require
from kerasgen.inputs import require_range

# Of `in_parts`: 2M numbers are 500 rows of 64×64, or 500 texts of 128 tokens.
FIRST_ROWS, MOST_ROWS, MOST_NUMBERS = 16, 500, 2_000_000


def generate_inputs(inputs: Mapping, n: int, seed: int, conditions: Mapping) -> dict:
    """Arrays for a `generate` signature: row seeds, and conditions spread over rows.

    Args:
        inputs: name -> description, as in `Signature.describe()` and in manifests.
        n: number of rows.
        seed: see `random.row_seeds`.
        conditions: name -> one value, or one a row; None is left out.
    Raises:
        InputError: if n or a condition is out of range, or a condition is no input of
            the model.
    """
    whole = isinstance(n, int) and 1 <= n <= MOST_SAMPLES
    require(whole, "n", f"a whole number of at least 1, at most {MOST_SAMPLES:,}", n)
    for name, value in conditions.items():
        if value is not None and name not in inputs:
            if name in ("label", "guidance") and "label" not in inputs:
                hint = "train a conditional one"
            else:
                others = ", ".join(key for key in inputs if key != "seed")
                hint = f"it takes {others or 'a seed alone'}"
            raise InputError(f"this model takes no {name}: {hint}")
    rows = {"seed": random.row_seeds(seed, n)}
    for name, entry in inputs.items():
        if name == "seed":
            continue
        value = conditions.get(name)
        if value is None and "default" not in entry:
            raise InputError(f"this model needs a {name}")
        value = np.asarray(entry["default"] if value is None else value)
        require_range(name, value, entry)
        value = value.astype(entry["dtype"])
        if value.ndim and len(value) not in (1, n):
            what = "prompts" if name == "token_ids" else f"values of {name}"
            raise InputError(f"{len(value)} {what} for {n} rows: give one, or {n}")
        rows[name] = np.broadcast_to(value, (n, *value.shape[1:]))
    return rows


def in_parts(
    serve: Callable,
    signature: str,
    rows: Mapping,
    progress: Callable = lambda steps, *_: steps,
) -> Iterator:
    """Outputs of `serve(signature, **rows)`, some rows at a time.

    Rows are independent of each other, so this only bounds the memory. What a row needs
    is in proportion to what goes in and comes out; a first, small part tells.

    Args:
        serve: `(signature, **arrays) -> dict` of arrays.
        signature: the name.
        rows: input -> array, a row for each sample.
        progress: wraps the rows in a bar: `(iterable, title, total)`.
    """
    n = len(next(iter(rows.values())))
    steps, size = iter(progress(range(n), signature, n)), FIRST_ROWS
    while part := [*itertools.islice(steps, size)]:
        inputs = {k: v[part[0] : part[-1] + 1] for k, v in rows.items()}
        outputs = serve(signature, **inputs)
        yield outputs
        weight = sum(map(_weight, [*inputs.values(), *outputs.values()])) / len(part)
        size = max(1, min(MOST_ROWS, int(MOST_NUMBERS / weight)))


def _weight(array: np.ndarray) -> int:
    """Numbers; a token of a text, which is a vector in every layer, counts as 16."""
    return array.size * (16 if array.dtype.kind == "i" and array.ndim > 1 else 1)
