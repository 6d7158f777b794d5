"""A recipe becomes a run: data, model, `model.fit`, a run directory."""

import contextlib
import json
import math
from pathlib import Path

import keras

from kerasgen import backend, data, kinds, models, places
from kerasgen.building import create
from kerasgen.data import classes
from kerasgen.data.examples import examples
from kerasgen.data.stream import once, stream
from kerasgen.errors import InputError, unknown
from kerasgen.files import atomic
from kerasgen.models import loading
from kerasgen.models.learning_rates import Cooldown, InverseSquareRoot
from kerasgen.places import LABELS
from kerasgen.recipe import Recipe, Train, read
from kerasgen.training.callbacks import Progressbar, Recorder, StopOnNaN
from kerasgen.training.checkpoint import folder_of_one
from kerasgen.training.distribution import is_chief, strategy

# What may differ when a run is resumed: how long and where, not what is computed.
MAY_CHANGE = (
    "epochs",
    "steps",
    "strategy",
    "devices",
    "accumulate",
    "checkpoint_seconds",
    "checkpoint_steps",
)


def train(
    recipe: Recipe,
    out: Path,
    resume: bool = False,
    init: str | Path | None = None,
    quiet: bool = False,
) -> models.Model:
    """Train a recipe to its end.

    Args:
        recipe: what to train.
        out: the run directory; made here.
        resume: continue where the run in `out` stopped; start it if there is none.
        init: start from the weights of this model (see `kerasgen.places.find`).
        quiet: print nothing.
    Returns:
        The model with its last weights.
    Raises:
        InputError: for bad values, data that is missing, or a run that is in the way.
        RunError: where the loss becomes no number.
    """
    backend.choose(recipe.train.backend)
    place = strategy(recipe.train.strategy, recipe.train.devices)
    chief = is_chief(place)
    with folder_of_one(out) if chief else contextlib.nullcontext():
        return _train(recipe, out, resume, init, quiet or not chief, place, chief)


def _train(recipe: Recipe, out: Path, resume, init, quiet, place, chief):
    started = (out / "recipe.yaml").exists()
    if started and not resume:
        raise InputError(
            f"{out} already has a run: add --resume, or give another --out"
        )
    if started:
        _same_run(recipe, out)

    origin = None if init is None else places.find(init)

    values = recipe.train
    keras.utils.set_random_seed(values.seed)
    with place.scope():
        source = data.load_for(recipe)
        model = create(recipe, source)
        notes = source.notes
        if "classes" in model.get_config():
            notes = notes + classes.unlike(source, model.classes)
        source.splits = {
            name: examples(model, split, recipe.input.windows)
            for name, split in source.splits.items()
        }
        steps_per_epoch, total_steps = _lengths(recipe, len(source["train"]))
        model.compile(
            _optimizers(values, model.phases(), total_steps),
            seed=values.seed,
            accumulate=values.accumulate,
            steps_per_execution=min(values.steps_per_execution, total_steps),
            jit_compile="auto" if values.jit_compile is None else values.jit_compile,
        )
    if origin is not None:
        _copy_weights(loading.load_keras(origin.keras), model)
    epochs = math.ceil(total_steps / steps_per_epoch)
    quality = _quality(recipe, model, source["validation"], epochs)
    figures = [prefix + term for term in model.terms for prefix in ("val_", "")]
    figures += ["val_diversity"] * bool(quality)
    if quality and quality.extract:
        figures.append(f"val_{quality.extract.figure}")
        figures += ["val_classes"] * bool(quality.extract.classes)
    monitor = values.monitor or model.monitor
    if monitor is not None and monitor not in figures:
        raise unknown("train.monitor", monitor, figures)
    for line in notes:
        _show(quiet, line)
    _show(
        quiet,
        f"{recipe.name}: {model.count_params():,} parameters, "
        f"{len(source['train']):,} training examples, {total_steps:,} steps",
    )

    _same_classes(source.label_names, out)
    kind = kinds.of(model.signatures(), recipe)
    recorder = Recorder(out, values, kind, steps_per_epoch, source["validation"], place)
    if started:
        recorder.resume(model)
        if model.steps_taken >= total_steps and (out / "model.keras").exists():
            _show(quiet, f"already finished: {out}")
            return model
    if chief:  # only now: building the model has made all workers meet
        with atomic(out / "recipe.yaml") as temporary:
            temporary.write_text(recipe.text(), encoding="utf-8")
        if source.label_names:
            with atomic(out / LABELS) as temporary:
                names = json.dumps(source.label_names, ensure_ascii=False)
                temporary.write_text(names + "\n", encoding="utf-8")

    held_out = once(
        source["validation"], recipe.evaluate.batch_size, 0, recipe.input.binarize
    )
    callbacks = [StopOnNaN(), recorder]
    if not quiet:
        callbacks.insert(0, Progressbar(total_steps, epochs))
    if quality:  # first: the others show and keep what it measures
        quality.resume(recorder.history)
        callbacks.insert(0, quality)
    for epoch, end in _segments(model.steps_taken, steps_per_epoch, total_steps):
        step, seed = model.steps_taken, values.seed
        steps = min(steps_per_epoch, end - step)
        binarize = recipe.input.binarize
        model.fit(
            stream(source["train"], values.batch_size, seed, step, end, binarize),
            initial_epoch=epoch,
            epochs=epoch + (end - step) // steps,
            steps_per_epoch=steps,
            validation_data=held_out,
            callbacks=callbacks,
            shuffle=False,  # the stream has done it
            verbose=0,
        )
    if chief:
        with atomic(out / "model.keras") as temporary:
            model.save(temporary)
    _show(quiet, f"done: {out}")
    return model


def _quality(recipe: Recipe, model, held_out: data.Split, epochs: int):
    """The callback that looks at samples, or None."""
    values = recipe.train
    if values.quality_every < 1:
        return None
    from kerasgen.metrics.features import extractor  # imports exporters too
    from kerasgen.training.quality import Quality

    named = recipe.evaluate.features
    extract = extractor(named, held_out.x.shape[1:]) if named else None
    every, samples = values.quality_every, values.quality_samples
    quality = Quality(held_out, extract, every, samples, last=epochs)
    quality.set_model(model)  # refuses what does not fit before anything is written
    return quality


def _lengths(recipe: Recipe, examples: int) -> tuple[int, int]:
    """-> steps an epoch, steps in all."""
    values = recipe.train
    steps_per_epoch = math.ceil(examples / values.batch_size)
    # Whole executions: an epoch of a few more examples than there are.
    k = min(values.steps_per_execution, values.steps or steps_per_epoch)
    steps_per_epoch = math.ceil(steps_per_epoch / k) * k
    return steps_per_epoch, values.steps or steps_per_epoch * values.epochs


def _segments(start: int, steps_per_epoch: int, total_steps: int):
    """(first epoch, last step) of the calls of `fit` that make up the rest of a run.

    The rest of the epoch that was interrupted, whole epochs, and a shorter last one.
    """
    first = math.ceil(start / steps_per_epoch) * steps_per_epoch
    whole = total_steps // steps_per_epoch * steps_per_epoch
    ends = sorted(
        {min(first, total_steps), max(whole, min(first, total_steps)), total_steps}
    )
    for end in ends:
        if end > start:
            yield start // steps_per_epoch, end
            start = end


def _optimizers(values: Train, phases: list[models.Phase], steps: int) -> dict:
    """Phase -> optimizer; one that repeats has more updates to schedule."""
    names = [phase.name for phase in phases]

    def of(phase, key):
        value = getattr(values, key)
        if not isinstance(value, dict) or "name" in value:
            return value
        if set(value) != set(names):
            found, wanted = ", ".join(value), ", ".join(names)
            raise InputError(f"train.{key} is for {found}: give it for {wanted}")
        return value[phase.name]

    return {
        phase.name: _optimizer(
            values,
            of(phase, "optimizer"),
            of(phase, "learning_rate"),
            phase.repeats,
            steps,
        )
        for phase in phases
    }


def _optimizer(values: Train, spec, rate: float, repeats: int, steps: int):
    spec = {"name": spec} if isinstance(spec, str) else dict(spec)
    steps, warmup = steps * repeats, values.warmup_steps * repeats
    if values.schedule == "inverse_sqrt":
        rate = InverseSquareRoot(rate, max(1, warmup))
    elif values.schedule == "cosine" or warmup:
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else rate,
            decay_steps=max(1, steps - warmup),
            alpha=0.0 if values.schedule == "cosine" else 1.0,
            warmup_target=rate if warmup else None,
            warmup_steps=warmup,
        )
    if values.cooldown_steps:
        rate = Cooldown(rate, steps, values.cooldown_steps * repeats)
    try:
        kind = type(keras.optimizers.get(spec.pop("name")))
        return kind(learning_rate=rate, global_clipnorm=values.clip_norm, **spec)
    except (ValueError, TypeError) as error:
        raise InputError(f"train.optimizer: {str(error).splitlines()[0]}") from error


def _same_run(recipe: Recipe, out: Path) -> None:
    """Refuse to resume a run of another recipe."""
    here, there = recipe.values(), read(str(out / "recipe.yaml")).values()
    for section in ("family", "data", "input", "model", "train"):
        ours, theirs = here[section], there[section]
        if section == "train":
            ours = {k: v for k, v in ours.items() if k not in MAY_CHANGE}
            theirs = {k: v for k, v in theirs.items() if k not in MAY_CHANGE}
        if ours != theirs:
            raise InputError(
                f"{out} is a run with another {section}: resume with its own values, "
                "or give another --out"
            )
    ours, theirs = here["train"], there["train"]
    falls = ours["schedule"] == "cosine" or ours["cooldown_steps"]
    key = "steps" if ours["steps"] or theirs["steps"] else "epochs"
    if falls and ours[key] != theirs[key]:
        raise InputError(
            f"the learning rate of {out} falls towards its end: resume with its "
            f"train.{key}, {theirs[key]}; or, for a longer run, give another --out, "
            f"and --init {out} to start from its weights"
        )


def _same_classes(names: list[str], out: Path) -> None:
    """Refuse to resume where labels would now say other classes."""
    before = places.label_names(places.Place(out / "model.keras", out))
    if before and before != names:
        changed = ", ".join(sorted({*before} ^ {*names})) or "their order"
        raise InputError(
            f"{out} is a run with other classes in its data ({changed}): resume with "
            "its own data, or give another --out"
        )


def _copy_weights(source: models.Model, target: models.Model) -> None:
    """Start `target` (and its averages) from the averaged weights of `source`."""
    theirs, ours = source.baked().network_variables, target.network_variables
    for there, here in zip(theirs, ours, strict=False):  # their number is below
        if there.shape != here.shape:
            raise InputError(
                f"--init is a model of another shape: its {there.path} is "
                f"{tuple(there.shape)}, the recipe's {here.path} {tuple(here.shape)}"
            )
    if len(theirs) != len(ours):
        raise InputError(
            f"--init is a model of another shape: it has {len(theirs)} weights, the "
            f"recipe's {len(ours)}"
        )
    for variable, value in zip(ours, theirs, strict=True):
        variable.assign(value)
    pairs = zip(target.averages, target.averaged_variables, strict=False)  # or none
    for average, value in pairs:
        average.assign(value)


def _show(quiet: bool, line: str) -> None:
    if not quiet:
        print(line, flush=True)
