"""Callbacks of Keras, written for one optimizer and one loss, on several phases."""

import contextlib
import sys
import warnings

import keras
from keras import ops

from kerasgen.models.trainers.optimizers import inner


class Rates(keras.callbacks.Callback):
    """Keeps the learning rates of all optimizers in proportion.

    Keras's callbacks, and users, set `model.optimizer.learning_rate`, that of the first
    phase. Where it has changed, the other rates change by the same factor; a rate that
    was set for another phase alone holds until then. Where a callback logs
    `learning_rate`, `<phase>_learning_rate` goes beside it. `fit` puts this behind all
    other callbacks.

    Args:
        optimizers: phase -> optimizer, the first phase first.
    """

    def __init__(self, optimizers: dict):
        super().__init__()
        (self.name, self.first), *self.others = optimizers.items()
        self.seen = _rate(self.first)
        self.ratios = {
            name: _rate(optimizer) / self.seen if self.seen else 1.0
            for name, optimizer in self.others
        }

    def follow(self):
        """Give the other optimizers their rates, if the first has a new one."""
        if callable(inner(self.first)._learning_rate):  # a schedule: nobody can set it
            return
        rate = _rate(self.first)
        if rate != self.seen:
            for name, optimizer in self.others:
                optimizer.learning_rate = rate * self.ratios[name]
            self.seen = rate

    def on_train_begin(self, logs=None):
        self.follow()

    def on_epoch_begin(self, epoch, logs=None):
        self.follow()

    def on_train_batch_begin(self, batch, logs=None):
        # On JAX the variables hold their values only where a callback has asked for
        # the model; where none has, none has set a rate.
        if getattr(self._model, "_jax_state_synced", True):
            self.follow()

    def on_epoch_end(self, epoch, logs=None):
        if logs and "learning_rate" in logs:
            # The rates of this epoch: the first may have that of the next by now.
            logs[f"{self.name}_learning_rate"] = logs["learning_rate"]
            for name, optimizer in self.others:
                logs[f"{name}_learning_rate"] = _rate(optimizer)
        self.follow()


def _rate(optimizer) -> float:
    return float(ops.convert_to_numpy(optimizer.learning_rate))


@contextlib.contextmanager
def accompanied(model, callbacks):
    """What `fit` gets for `callbacks`, during it.

    Where there are several phases, `Rates` comes last. A callback that watches a loss
    that is none of the model's is told so in one line, instead of Keras's warning at
    each epoch.
    """
    if not model.compiled or len(model.optimizers) == 1:
        yield callbacks
        return
    if isinstance(callbacks, keras.callbacks.CallbackList):
        given = callbacks.callbacks
        callbacks.append(model._rates)
    else:
        one = isinstance(callbacks, keras.callbacks.Callback)
        given = [callbacks] if one else list(callbacks or ())
        callbacks = [*given, model._rates]
    with warnings.catch_warnings():
        asking = [c for c in given if _watches_loss(c)]
        if asking and "loss" not in model.terms:
            kinds = ", ".join(type(c).__name__ for c in asking)
            name, terms = type(model).__name__, ", ".join(model.terms)
            print(
                f"kerasgen: {kinds}: a {name} has no {asking[0].monitor}; set monitor= "
                f"to {terms}, or to one of these after val_, and mode=",
                file=sys.stderr,
            )
            for begin in ("Early stopping", "Learning rate reduction", "Can save best"):
                warnings.filterwarnings("ignore", message=f"{begin}.*available")
        yield callbacks


def _watches_loss(callback) -> bool:
    # ModelCheckpoint always has a monitor, and needs it only for the best.
    needed = getattr(callback, "save_best_only", True)
    return needed and getattr(callback, "monitor", None) in ("loss", "val_loss")
