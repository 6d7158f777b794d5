"""How well a language model predicts text."""

import functools
import math

import numpy as np

from kerasgen.data.examples import Windows, examples
from kerasgen.errors import InputError

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
    """`nats_per_token`, `perplexity`, `nats_per_char`, and of music `nats_per_frame`.

    Of a whole split; where texts are cut into windows, also with half of each window as
    context only (`…_strided`).
    """
    rows = examples(model, split, recipe.input.windows)
    characters = sum(map(len, split.x))
    lines = sum(text.count("\n") for text in split.x)
    frames = lines if recipe.evaluate.frames else 0
    measure = functools.partial(
        _measured, frames=frames, model=model, serve=serve, recipe=recipe
    )
    if isinstance(rows, Windows):
        tokens, length = rows.tokens, rows.length
        found = measure(rows.x, 0, characters, progress=progress)
        note = f"windows of {length} tokens, one after the other"
        half = length // 2
        overlapping = _overlapping(tokens, length, half)
        strided = measure(overlapping, length - half, characters, progress=progress)
        first = {name: (*value, note) for name, value in found.items()}
        note = (
            f"windows of {length} tokens, each {half} after the one before; at least "
        )
        note += f"{length - half} tokens of context but for the first"
        second = {f"{name}_strided": (*v, note) for name, v in strided.items()}
        return first | second
    if recipe.input.windows:
        raise InputError("there is no text in this split")
    characters += len(split)  # the end of each, which is predicted too
    found = measure(rows.x, 0, characters, progress=progress)
    note = "each text from its beginning to its end, which counts as a character"
    return {name: (*value, note) for name, value in found.items()}


def _overlapping(tokens, length: int, stride: int):
    """Windows `stride` apart; -> (n, length + 1), padded with 0."""
    starts = range(0, max(1, len(tokens) - 1 - (length - stride)), stride)
    rows = np.zeros((len(starts), length + 1), "int32")
    for row, start in zip(rows, starts, strict=True):
        part = tokens[start : start + length + 1]
        row[: len(part)] = part
    return rows


def _measured(rows, skip, characters, frames, model, serve, recipe, progress):
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
    found = {
        "nats_per_char": (nats / characters, "nats", count),
        "nats_per_token": (nats / count, "nats", count),
        "perplexity": (math.exp(nats / count), "", count),
    }
    if frames:
        found["nats_per_frame"] = (nats / frames, "nats", frames)
    return found
