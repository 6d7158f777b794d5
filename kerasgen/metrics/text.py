"""How well a language model predicts text."""

import functools
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from kerasgen import kinds
from kerasgen.data.examples import Windows, examples
from kerasgen.errors import InputError
from kerasgen.tokenizers import END

SIGNATURE = "logits"
FIGURES = ("nats_per_*", "perplexity*")
VALUES = ("frames",)
# What only samples depend on.
IGNORED = (
    "temperature",
    "max_new_tokens",
    "max_new_tokens_limit",
    "repetition_penalty",
)


def figures(model, serve, split, training, recipe, progress) -> dict:
    """`nats_per_token`, `perplexity`, `nats_per_char`, and by each other unit that the
    kind of text has (`nats_per_frame`).

    Of a whole split; where texts are cut into windows, also with half of each window as
    context only (`…_strided`).
    """
    rows = examples(model, split, recipe.input.windows)
    kind = kinds.of(model.signatures(), recipe)
    cut = isinstance(rows, Windows)
    if recipe.input.windows and not cut:
        raise InputError("there is no text in this split")
    ends = () if cut else (END,)  # of each text, which is predicted too
    characters = sum(len(text) + len(ends) for text in split.x)
    units = kind.units(split.x)
    measure = functools.partial(_measured, characters, units, serve, recipe, progress)
    alone = f"{kind.baseline} cost {by_frequency(training.x, split.x, ends):.4g}"

    def noted(found, note, suffix=""):
        notes = {"nats_per_char": f"{note}; {alone}"}
        return {
            f"{name}{suffix}": (*value, notes.get(name, note))
            for name, value in found.items()
        }

    if not cut:
        note = "each text from its beginning to its end, which counts as a character"
        return noted(measure(rows.x), note)
    length, half = rows.length, rows.length // 2
    note = f"windows of {length} tokens, one after the other"
    first = noted(measure(rows.x), note)
    overlapping = _overlapping(rows.tokens, length, half)
    note = f"windows of {length} tokens, each {half} after the one before; at least "
    note += f"{length - half} tokens of context but for the first"
    return first | noted(measure(overlapping, length - half), note, "_strided")


def by_frequency(known, texts, ends: Sequence = ()) -> float:
    """Nats a character of texts, where each is as probable as it is often in the known
    ones; one that isn't there, as if it were there once.

    Args:
        known, texts: strings.
        ends: what each of them ends with, beside its characters.
    """
    seen, asked = Counter(), Counter()
    for counts, part in ((seen, known), (asked, texts)):
        for text in part:
            counts.update(text)
            counts.update(ends)
    total = seen.total() + len(asked.keys() - seen.keys())
    nats = sum(n * math.log(total / (seen[c] or 1)) for c, n in asked.items())
    return nats / asked.total()


def _overlapping(tokens, length: int, stride: int):
    """Windows `stride` apart; -> (n, length + 1), padded with 0."""
    starts = range(0, max(1, len(tokens) - 1 - (length - stride)), stride)
    rows = np.zeros((len(starts), length + 1), "int32")
    for row, start in zip(rows, starts, strict=True):
        part = tokens[start : start + length + 1]
        row[: len(part)] = part
    return rows


def _measured(characters, units, serve, recipe, progress, rows, skip: int = 0):
    """Name -> value, unit, number of tokens: in each row but the first, the first
    `skip` predictions don't count."""
    size, nats, count = recipe.evaluate.batch_size, 0.0, 0
    starts = range(0, len(rows), size)
    for start in progress(starts, "nats", len(starts)):
        ids = rows[start : start + size]
        logits = serve(SIGNATURE, token_ids=ids[:, :-1])["logits"].astype("float64")
        targets = ids[:, 1:]
        top = logits.max(axis=-1)
        total = top + np.log(np.exp(logits - top[..., None]).sum(axis=-1))
        chosen = np.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        counts = targets != 0
        counts[:, :skip] &= (np.arange(start, start + len(ids)) == 0)[:, None]
        nats += float(((total - chosen) * counts).sum())
        count += int(counts.sum())
    return {
        "nats_per_char": (nats / characters, "nats", count),
        "nats_per_token": (nats / count, "nats", count),
        "perplexity": (math.exp(nats / count), "", count),
    } | {f"nats_per_{unit}": (nats / n, "nats", n) for unit, n in units.items() if n}
