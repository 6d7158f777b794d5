"""Train a recipe: a name, or your own YAML file."""

import os
from pathlib import Path

from kerasgen import backend, recipe
from kerasgen.commands.options import settings
from kerasgen.quiet import import_tensorflow


def run(options):
    values = settings(options.set)
    named = {
        "data": options.data,
        "train.epochs": options.epochs,
        "train.steps": options.steps,
        "train.batch_size": options.batch_size,
        "train.seed": options.seed,
        "train.strategy": options.strategy,
        "train.devices": options.devices,
        "train.precision": options.precision,
        "train.backend": options.backend or os.environ.get("KERAS_BACKEND"),
    }
    values |= {key: value for key, value in named.items() if value is not None}
    if options.epochs is not None and options.steps is None:
        values["train.steps"] = None
    chosen = recipe.read(options.recipe, values, options.profile)
    out = Path(options.out or Path("runs") / chosen.name)
    backend.choose(chosen.train.backend)
    import_tensorflow()
    from kerasgen.training.loop import train

    train(chosen, out, options.resume, options.init, options.quiet)
