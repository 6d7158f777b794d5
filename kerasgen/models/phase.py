"""Phases: what of a model is trained on which loss."""

import dataclasses
from collections.abc import Callable, Sequence

from kerasgen.errors import InputError


@dataclasses.dataclass(frozen=True)
class Phase:
    """One part of a training step: its optimizer minimises its loss.

    Args:
        name: names the optimizer in `compile(optimizer={...})` and in checkpoints.
        networks: layers whose trainable variables are trained.
        losses: function `(batch, noise, training)` -> dict of terms of shape
            `(batch,)`. The first is minimised; all are reported.
        terms: the names of those terms.
        repeats: how often the phase runs in a step, each time with new noise and its
            own part of the batch, a `repeats`-th of the rows.
    """

    name: str
    networks: Sequence
    losses: Callable
    terms: Sequence[str]
    repeats: int = 1

    def measured(self, batch, noise, training: bool) -> dict:
        """The terms of a batch, by name.

        Raises:
            InputError: unless all of `terms` are there, each with a value an example.
        """
        found = self.losses(batch, noise, training)
        for name in self.terms:
            if name not in found:
                line = f"the phase {self.name} reports {name}, but its losses are "
                raise InputError(line + ", ".join(found))
            shape = found[name].shape
            if len(shape) != 1:
                raise InputError(
                    f"{name} of the phase {self.name} has shape {tuple(shape)}: losses "
                    "are a value an example, (batch,); the mean is the trainer's"
                )
        return found

    @property
    def variables(self) -> list:
        """The trainable variables, each once."""
        found = {}
        for network in self.networks:
            found |= {id(v): v for v in network.trainable_variables}
        return list(found.values())

    @property
    def penalties(self) -> list:
        """Scalar regularisation losses of the networks (`kernel_regularizer`, …)."""
        return [loss for network in self.networks for loss in network.losses]
