"""A signature that generates, compiled by XLA."""

from collections.abc import Callable, Mapping

import numpy as np
from keras import ops

from kerasgen.signature import Signature

ROWS, COLUMNS, ROOM = 1, 16, 32  # the least, of rows, prompts and new tokens


class Rooms:
    """Generates in place: a function for each room, which is compiled for each shape.

    XLA compiles for fixed shapes, so rows, prompts and room are rounded up to powers
    of 2.

    Args:
        signature: of a function that takes `room` too, see `kerasgen.decoding.sample`.
        by_xla: compiles a function of keyword arrays.
        context: the longest prompt that is read.
    """

    def __init__(self, signature: Signature, by_xla: Callable, context: int):
        self.signature, self.by_xla, self.context = signature, by_xla, context
        self.functions = {}

    def __call__(self, values: Mapping) -> dict[str, np.ndarray]:
        """The outputs, as the signature gives them.

        Raises:
            InputError: as `Signature` does.
        """
        rows = self.signature.check(values)
        n, length = rows["token_ids"].shape
        steps = int(rows["max_new_tokens"].max(initial=0))
        room = _rounded(steps, ROOM)
        if room not in self.functions:

            def generate(**rows):
                return self.signature.function(**rows, room=room)

            self.functions[room] = self.by_xla(generate)
        more = [[0, _rounded(n, ROWS) - n]]
        padded = {key: np.pad(row, more) for key, row in rows.items() if row.ndim == 1}
        columns = [[0, _rounded(length, COLUMNS) - length]]
        padded["token_ids"] = np.pad(rows["token_ids"], more + columns)
        ids = ops.convert_to_numpy(self.functions[room](**padded)["output_ids"])
        return {"output_ids": ids[:n, : min(max(length, 1), self.context) + steps]}


def _rounded(n: int, least: int) -> int:
    """The next power of 2: at least n, and `least`, which is one."""
    return max(least, 1 << max(0, n - 1).bit_length())
