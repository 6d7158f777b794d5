"""Measure a trained model on real data."""

from kerasgen import kinds
from kerasgen.commands.options import chosen, out_file, place_of, progress, sampler, say
from kerasgen.errors import InputError, unknown
from kerasgen.quiet import import_tensorflow


def run(options):
    settings = chosen(options, "evaluate", "model")
    place = place_of(options, "keras", options.runtime)
    recipe = place.recipe({f"evaluate.{k}": v for k, v in settings["evaluate"].items()})
    target = None if options.json is None else out_file(options.json, [".json"])
    only = options.only.split(",")
    for name in only:
        if name not in kinds.evaluations():
            raise unknown("evaluation", name, kinds.evaluations())
    import_tensorflow()
    from kerasgen import data, metrics
    from kerasgen.export.server import server
    from kerasgen.metrics import record
    from kerasgen.models.loading import load_keras

    own = load_keras(place.keras)
    values = settings["model"] | sampler(options, "guidance")
    model = own.changed(**values) if values else own
    if options.no_ema:
        if not model.averages or options.runtime != "keras":
            raise InputError("--no-ema: only runs with train.ema_decay have an average")
        model = model.baked(averaged=False)
    serve = None
    if options.runtime != "keras":
        fixed = {k: v for k, v in values.items() if k != "guidance"}  # an input
        serve, _ = server(place, options.runtime, settings=fixed)
    source = data.load_for(recipe)
    for line in source.notes:
        say(options, line)
    content = metrics.evaluate(
        model,
        source,
        recipe,
        options.split,
        serve,
        options.samples,
        progress(options),
        only,
        options.runtime,
    )
    _print(metrics.by_axis(content["figures"]))
    if target is None and place.folder and not place.is_artifact:
        target = place.folder / "metrics.json"
        if options.samples is not None or options.split not in (None, source.judged_by):
            what = (
                "other examples than those that judge the model; --json FILE writes it"
            )
            say(options, f"not kept in {target}: {what}")
            return
        content, lines = record.merged(target, content, own, recipe)
        for line in lines:
            say(options, line)
    if target is not None and content["figures"]:
        record.write(target, content)


def _print(axes: dict[str, dict]) -> None:
    for axis, figures in axes.items():
        if axis:
            print(axis)
        for name, figure in figures.items():
            what = f"{figure['samples']} {figure['split']} examples; "
            what += figure["protocol"]
            value = f"{figure['value']:.4f} {figure['unit']}".strip()
            print(f"{'  ' if axis else ''}{name} {value} ({what})")
