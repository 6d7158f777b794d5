"""What the files of an artifact are asked, and which of them can answer."""

import dataclasses
import secrets
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kerasgen.export import runtimes
from kerasgen.export.savedmodel import DEFAULT
from kerasgen.models.base import Model
from kerasgen.signature import Signature


@dataclasses.dataclass(frozen=True)
class Example:
    """Inputs at which a signature is compared.

    Args:
        batch: rows.
        length: of inputs that have one.
        seed: of the values.
        fresh: whether the seed is a new one each time, so that no file can be made for
            the examples alone.
    """

    batch: int
    length: int
    seed: int
    fresh: bool = False

    def inputs(self, signature: Signature) -> dict[str, np.ndarray]:
        """Values for every input of a signature."""
        return signature.example(self.batch, self.seed, self.length)


FIXED = (Example(1, 5, seed=1), Example(3, 8, seed=3))


def fresh() -> Example:
    """An example that no file can know before."""
    return Example(2, 6, seed=secrets.randbits(31), fresh=True)


def asked(
    model: Model, folder: Path, only: Sequence[str] | None = None
) -> list[tuple[str, str]]:
    """(signature, runtime) of all that files can answer, in all runtimes or some."""
    pairs, skipped = [], runtimes.left_out()
    for runtime in only or [*runtimes.RUNTIMES, *runtimes.VARIANTS]:
        if runtime in skipped:
            continue
        format = runtimes.format(runtime)
        names = [k for k, s in model.signatures().items() if s.serves(format)]
        if format == "savedmodel":
            names.append(DEFAULT)
        answered = runtimes.answered(runtime, folder, names)
        pairs += [(name, runtime) for name in answered]
    return pairs
