"""Draw samples from a trained model."""

from pathlib import Path

from kerasgen import kinds
from kerasgen.commands.options import (
    check_suffix,
    out_file,
    place_of,
    progress,
    recipe_of,
    sampler,
    say,
)
from kerasgen.places import label_names
from kerasgen.quiet import import_tensorflow

CONDITIONS = (
    "label",
    "guidance",
    "prompt",
    "temperature",
    "top_k",
    "top_p",
    "max_new_tokens",
)


def run(options):
    out = None if options.out is None else out_file(options.out, kinds.suffixes())
    place = place_of(options, options.runtime)
    recipe = recipe_of(place)
    import_tensorflow()
    from kerasgen.export.server import server

    serve, signatures = server(place, options.runtime, "generate", sampler(options))
    kind, described = kinds.of(signatures, recipe), signatures["generate"]
    check_suffix(out, kind)
    conditions, coded = _conditions(options, place, described["inputs"])
    samples = kind.drawn(
        serve,
        described,
        options.n,
        options.seed,
        conditions,
        coded,
        progress(options),
    )
    if out is None and (shown := kind.printed(samples)) is not None:
        print(shown)
        return
    out = out or Path(place.name + kind.suffixes[0])
    kind.write(out, samples)
    say(options, f"{options.n} sample{'s' * (options.n > 1)} in {out}")


def _conditions(options, place, inputs):
    """What is asked for, as inputs; and the codec of a model that takes texts."""
    from kerasgen.data.classes import number
    from kerasgen.models.loading import codec

    conditions = {name: getattr(options, name) for name in CONDITIONS}
    if options.label is not None and "label" in inputs:
        count = inputs["label"]["range"][1]
        conditions["label"] = number(options.label, label_names(place), count)
    if "token_ids" not in inputs:
        return conditions, None
    coded, prompt = codec(place), conditions.pop("prompt") or ""
    return conditions | {"token_ids": coded.ids([prompt])}, coded
