"""What happens while a recipe trains: progress, records, samples, checkpoints."""

import csv
import math
import shutil
import time
from pathlib import Path

import keras
import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from kerasgen import pictures
from kerasgen.errors import RunError
from kerasgen.files import atomic, sweep
from kerasgen.kinds import Kind
from kerasgen.recipe import Train
from kerasgen.training import checkpoint
from kerasgen.training.distribution import is_chief, several_workers


class Progressbar(keras.callbacks.Callback):
    """A bar with the remaining time in a terminal; a line an epoch, always."""

    def __init__(self, total_steps: int, epochs: int):
        super().__init__()
        self.console = Console(highlight=False)
        columns = (
            "{task.description}",
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            "{task.fields[loss]}",
        )
        self.bar = Progress(*columns, console=self.console, transient=True)
        self.task = self.bar.add_task("training", total=total_steps, loss="")
        self.bar.disable = not self.console.is_terminal
        self.epochs = epochs

    def on_train_begin(self, logs=None):
        self.losses = [phase.terms[0] for phase in self.model.phases()]
        self.bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        self.before = self.model.steps_taken

    def on_train_batch_end(self, batch, logs=None):
        if self.bar.disable:
            return
        losses = [f"{name} {float(logs[name]):.4g}" for name in self.losses]
        done = self.before + batch + 1
        self.bar.update(self.task, completed=done, loss="  ".join(losses))

    def on_epoch_end(self, epoch, logs=None):
        figures = "  ".join(f"{key} {value:.4f}" for key, value in sorted(logs.items()))
        self.console.print(
            f"epoch {epoch + 1}/{self.epochs}  {figures}", soft_wrap=True
        )

    def on_train_end(self, logs=None):
        self.bar.stop()


class StopOnNaN(keras.callbacks.Callback):
    """Ends the run, with advice, where a loss is no number.

    To look at a log is to wait for its step, so it does so now and then, and before
    anything is saved. Logs are means over the epoch: they stay no number until its end.
    """

    EVERY = 20  # steps, or more, where one execution has several

    def on_epoch_begin(self, epoch, logs=None):
        self.due = 0

    def on_train_batch_end(self, batch, logs=None):
        if batch >= self.due:
            self.due = batch + self.EVERY
            self.check(logs)

    def on_epoch_end(self, epoch, logs=None):
        self.check(logs)

    def check(self, logs):
        """Raise `RunError` for a term of the model that is no number."""
        for name in self.model.terms:
            value = logs[name]
            if not math.isfinite(float(value)):
                raise RunError(
                    f"{name} is {float(value)} at step {self.model.steps_taken}: lower "
                    "train.learning_rate, or set train.clip_norm=1"
                )


# Words in the names of figures of which more is better; of all others, less.
MORE_IS_BETTER = {"acc", "accuracy", "auc", "precision", "recall", "f1", "agreement"}
MORE_IS_BETTER |= {"coverage", "density", "diversity", "classes", "elbo", "separation"}


def maximised(monitor: str, mode: str = "auto") -> bool:
    """Whether the best value of a figure is its largest; `mode` as in Keras."""
    if mode != "auto":
        return mode == "max"
    return not MORE_IS_BETTER.isdisjoint(monitor.split("_"))


class Recorder(keras.callbacks.Callback):
    """Keeps a run directory: state, history, best model, samples, TensorBoard.

    `train_state.npz` is the truth; history.csv and TensorBoard are written from it, so
    that a resumed run continues them without gap or duplicate. Of several workers the
    chief writes and all read.
    """

    def __init__(
        self, out: Path, values: Train, kind: Kind, steps_per_epoch, held_out, place
    ):
        super().__init__()
        self.chief, self.several = is_chief(place), several_workers(place)
        self.out, self.values, self.kind = out, values, kind
        self.held_out, self.examples = held_out, held_out.shown()
        self.steps_per_epoch = steps_per_epoch
        self.history, self.best = [], None
        self.path = out / "train_state.npz"
        self.metric_values = self.writer = None
        self.guard = StopOnNaN()

    def set_model(self, model):
        super().set_model(model)
        self.guard.set_model(model)

    def resume(self, model) -> None:
        """Continue from the state on disk, if there is one."""
        self.set_model(model)
        if self.chief:
            sweep(self.out)
        if not self.path.exists():
            return
        progress, arrays = checkpoint.read(self.path)
        checkpoint.restore(model, arrays, self.path)
        self.history, self.best = progress["history"], progress["best"]
        if model.steps_taken % self.steps_per_epoch:
            self.metric_values = [v.numpy() for m in model.metrics for v in m.variables]

    def on_train_begin(self, logs=None):
        if self.chief and self.writer is None:
            shutil.rmtree(self.out / "tensorboard", ignore_errors=True)
            self.writer = tf.summary.create_file_writer(str(self.out / "tensorboard"))
            for row in self.history:
                self._board(row)
            self._write_history()
        self.saved = time.monotonic()
        self.saved_step = self.model.steps_taken

    def on_epoch_begin(self, epoch, logs=None):
        self.before = self.model.steps_taken
        if self.metric_values is not None:  # sums of the part before the interruption
            variables = [v for m in self.model.metrics for v in m.variables]
            for variable, value in zip(variables, self.metric_values, strict=True):
                variable.assign(value)
            self.metric_values = None

    def on_train_batch_end(self, batch, logs=None):
        # Not at the end of an epoch, whose row of the history isn't there yet.
        # JAX's loop gives the model its values back wherever `self.model` is read.
        if batch + 1 < self.params["steps"] and self._due(self.before + batch + 1):
            self.guard.check(logs)
            self._save()

    def _due(self, step: int) -> bool:
        """Whether to save in the middle of an epoch; all workers agree."""
        if self.values.checkpoint_steps:
            return step - self.saved_step >= self.values.checkpoint_steps
        if self.several:
            return False  # their clocks differ
        return time.monotonic() - self.saved > self.values.checkpoint_seconds

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch + 1, "step": self.model.steps_taken}
        row |= {key: float(value) for key, value in sorted(logs.items())}
        self.history.append(row)
        better = self._is_best(row)
        if hasattr(self.model, "calibrate"):
            self.model.calibrate(self.held_out.x, self.held_out.y)
        if self.chief:
            if better:
                with atomic(self.out / "best.keras") as temporary:
                    self.model.save(temporary)
            preview = self.kind.preview(self.model, self.examples, 64)
            stem = self.out / "samples" / f"epoch_{epoch + 1:04d}"
            self.kind.publish(stem, preview)
        self._save()
        if self.chief:
            self._board(row)
            self._write_history()

    def _is_best(self, row) -> bool:
        """Whether the monitored figure is the best so far; the last is, if none is."""
        monitor = self.values.monitor or self.model.monitor
        if monitor is None:
            return True
        value = row.get(monitor, math.nan)
        if not math.isfinite(value):
            return False
        sign = -1.0 if maximised(monitor, self.values.monitor_mode) else 1.0
        known = self.best is not None and math.isfinite(self.best)
        if known and sign * value >= sign * self.best:
            return False
        self.best = value
        return True

    def _save(self):
        progress = {"history": self.history, "best": self.best}
        checkpoint.save(self.path, self.model, progress, write=self.chief)
        self.saved, self.saved_step = time.monotonic(), self.model.steps_taken

    def _write_history(self):
        names = list(dict.fromkeys(key for row in self.history for key in row))
        with (
            atomic(self.out / "history.csv") as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as file,
        ):
            table = csv.DictWriter(file, names)
            table.writeheader()
            table.writerows(self.history)

    def _board(self, row):
        with self.writer.as_default(step=row["step"]):
            for key, value in row.items():
                if key not in ("epoch", "step"):
                    tf.summary.scalar(key, value)
            picture = self.out / "samples" / f"epoch_{row['epoch']:04d}.png"
            if picture.exists():
                tf.summary.image("samples", pictures.read(picture)[None])
        self.writer.flush()
