"""Holding out: examples to judge by, where the source has none of its own."""

import numpy as np

from kerasgen.errors import InputError, require

FEW = 20  # examples to judge by; fewer are worth a line


def completed(splits: dict, seed: int, holdout: float) -> tuple[dict, list[str]]:
    """Splits with those that are missing, and lines for the user.

    Args:
        splits: name -> `kerasgen.data.Split`, as the source has them.
        seed: which examples of "train" are held out; of one long text it is the end.
        holdout: share of them that each missing split gets.
    Raises:
        InputError: if there is no "train", or nothing would be left of it.
    """
    require(0.0 < holdout < 1.0, "input.holdout", "above 0 and below 1", holdout)
    if "train" not in splits:
        found = ", ".join(splits) or "none at all"
        raise InputError(f"the data has no split 'train', but {found}")
    if "validation" in splits:
        return splits, []
    missing = [name for name in ("validation", "test") if name not in splits]
    train = splits["train"]
    held = max(1, int(len(train) * holdout))
    one_text = train.is_text and len(train) == 1
    if len(missing) * (holdout if one_text else held / len(train)) >= 1.0:
        raise InputError(
            f"{len(train)} examples are too few to train on, where {holdout:g} of them "
            f"(input.holdout) is held out for {' and for '.join(missing)}"
        )
    if one_text:
        return _cut(splits, missing, holdout), []
    order = np.random.default_rng(seed).permutation(len(train))
    for name in missing:
        splits = splits | {name: train.take(np.sort(order[:held]))}
        order = order[held:]
    notes = []
    if held < FEW:
        each = " and ".join(f"{held} for {name}" for name in missing)
        notes.append(
            f"of {len(train)} examples only {each} are held out: figures of so few say "
            "little, and some need more; input.holdout sets their share"
        )
    return splits | {"train": train.take(np.sort(order))}, notes


def _cut(splits: dict, missing: list[str], holdout: float) -> dict:
    """The last parts of one long text, held out."""
    from kerasgen.data.text import cut

    shares = [1.0 - holdout * len(missing), *(holdout for _ in missing)]
    parts = cut(splits["train"].x[0], shares)
    return splits | dict(zip(["train", *missing], parts, strict=True))
