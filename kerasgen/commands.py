"""What each command of `kerasgen` does, given its options (`kerasgen.cli`).

TensorFlow is imported only by what computes, and after all checks of what needs none,
so that errors in names are instant.
"""

import functools
import json
import os
import shutil
import sys
from pathlib import Path

from kerasgen import backend
from kerasgen.conventions import FORMATS
from kerasgen.errors import InputError, not_utf8, unknown
from kerasgen.files import atomic, read_json
from kerasgen.quiet import import_tensorflow
from kerasgen.recipe import EVALUATIONS, parsed
from kerasgen.zoo import find

SUFFIXES = (".png", ".npy")  # of images
TEXTS = (".txt", ".mid")
LONGEST_INPUT = 10_000_000  # characters of standard input
CONDITIONS = (
    "label",
    "guidance",
    "temperature",
    "top_k",
    "top_p",
    "max_new_tokens",
)


def list_(options):
    """List recipes, and which of them are trained in saved_models."""
    from kerasgen.zoo import list_recipes

    rows = list_recipes()
    if options.json:
        print(json.dumps({"recipes": rows}, indent=1))
        return
    name, family = (max(len(row[key]) for row in rows) for key in ("name", "family"))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in rows:
        trained = "trained" if row["artifact"] else ""
        line = f"{row['name']:{name}}  {trained:7}  {row['family']:{family}}  "
        line += row["description"]
        print(line if width is None or len(line) <= width else line[: width - 1] + "…")


def train(options):
    """Train a recipe: a name, or your own YAML file."""
    from kerasgen import recipe as recipes

    settings = _settings(options.set)
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
    settings |= {key: value for key, value in named.items() if value is not None}
    if options.epochs is not None and options.steps is None:
        settings["train.steps"] = None
    recipe = recipes.read(options.recipe, settings, options.profile)
    out = Path(options.out or Path("runs") / recipe.name)
    backend.choose(recipe.train.backend)
    import_tensorflow()
    from kerasgen.training.loop import train

    train(recipe, out, options.resume, options.init, options.quiet)


def generate(options):
    """Draw samples from a trained model."""
    import numpy as np

    out = None if options.out is None else _out_file(options.out, SUFFIXES + TEXTS)
    place = find(options.model)
    import_tensorflow()
    from kerasgen import pictures
    from kerasgen.data.classes import number
    from kerasgen.rows import generate_inputs, in_parts
    from kerasgen.zoo import codec, label_names, server

    sampler = _sampler(options)
    serve, signatures = server(place, options.runtime, "generate", sampler)
    signature = signatures["generate"]
    conditions = {name: getattr(options, name) for name in CONDITIONS}
    if options.label is not None and "label" in signature["inputs"]:
        count = signature["inputs"]["label"]["range"][1]
        conditions["label"] = number(options.label, label_names(place), count)
    texts = "token_ids" in signature["inputs"]
    if out and (out.suffix in TEXTS) != texts:
        kinds = " or ".join(TEXTS if texts else SUFFIXES)
        raise InputError(f"this model's samples go to a file that ends in {kinds}")
    if texts:
        coded = codec(place)
        conditions["token_ids"] = coded.ids([options.prompt or ""])
    elif options.prompt is not None:
        raise InputError("this model takes no prompt: it draws images")
    rows = generate_inputs(signature["inputs"], options.n, options.seed, conditions)
    outputs = in_parts(serve, "generate", rows, _progress(options))
    parts = [part[signature["outputs"][0]] for part in outputs]
    if texts:
        samples = [text for part in parts for text in coded.texts(part)]
        if out is None:
            print("\n---\n".join(samples))
            return
        pictures.write_texts(out, samples)
        _say(options, f"{options.n} samples in {out}")
        return
    samples = np.concatenate(parts)
    out = out or Path(f"{place.name}.png")
    if out.suffix == ".npy":
        pictures.write_array(out, samples)
    else:
        pictures.write(out.with_suffix(""), samples)
    _say(options, f"{options.n} samples in {out}")


def restore(options):
    """Repair images with a diffusion model."""
    import numpy as np

    task = options.task.replace("-", "_")
    for name, of in (("mask", "inpaint"), ("noise_level", "denoise")):
        given = getattr(options, name) is not None
        if given != (task == of):
            flag = "--" + name.replace("_", "-")
            raise InputError(
                f"--task {of} needs a {flag}"
                if task == of
                else f"only {of} takes {flag}"
            )
    source = Path(options.image)
    if not source.exists():
        raise InputError(f"there is no image or folder {source}")
    out = _out_file(options.out or f"{source.stem}-{options.task}.png")
    place = find(options.model)
    import_tensorflow()
    from kerasgen import pictures
    from kerasgen.data.images import image_files, read_image, read_images, told
    from kerasgen.inputs import require_range
    from kerasgen.random import row_seeds
    from kerasgen.rows import in_parts
    from kerasgen.zoo import server

    serve, signatures = server(place, options.runtime, task)
    inputs = signatures[task]["inputs"]
    shape = next(iter(inputs.values()))["shape"][1:]
    if source.is_dir():
        images, files, _, skipped = read_images(image_files(source), source, shape)
        if skipped:
            _say(options, told(skipped))
    else:
        images, files = read_image(source, shape)[None], [source]
    rows = {"images": images / 255.0}
    rows["small_images"] = rows["images"]
    rows["seed"] = row_seeds(options.seed, len(files))
    if "mask" in inputs:
        mask = read_image(options.mask, inputs["mask"]["shape"][1:]) / 255.0
        rows["mask"] = np.broadcast_to(mask, (len(files), *mask.shape))
    if "noise_level" in inputs:
        rows["noise_level"] = np.full(len(files), options.noise_level)
    for key, entry in inputs.items():  # files would take the nearest
        require_range(key, rows[key], entry)
        rows[key] = rows[key].astype(entry["dtype"])
    rows = {key: rows[key] for key in inputs}
    parts = in_parts(serve, task, rows, _progress(options))
    restored = np.concatenate([part["restored"] for part in parts])
    if out.suffix == ".npy":
        pictures.write_array(out, restored)
    elif source.is_dir():
        pictures.write(out.with_suffix(""), restored)
    else:
        pictures.write_image(out, restored[0])
    _say(options, f"{len(files)} restored in {out}")


def translate(options):
    """Translate texts."""
    texts = _texts(options)
    out = None if options.attention is None else _out_file(options.attention, (".png",))
    place = find(options.model)
    import_tensorflow()
    from kerasgen import pictures
    from kerasgen.codec import translations
    from kerasgen.zoo import codec, load_keras, server

    settings = {} if options.beam is None else {"beam": options.beam}
    serve, _ = server(place, options.runtime, "translate_ids", settings)
    found = translations(serve, codec(place), texts)
    for text in found:
        print(text)
    if out:
        weights = load_keras(place.keras).attention(texts[0], found[0])
        pictures.write_image(out, pictures.heatmap(*weights))


def classify(options):
    """Say which class texts are of, and which words decided."""
    texts = _texts(options)
    place = find(options.model)
    import_tensorflow()
    from rich.console import Console
    from rich.text import Text

    from kerasgen.zoo import codec, server

    serve, _ = server(place, options.runtime, "classify_ids")
    coded, console = codec(place), Console(highlight=False, soft_wrap=True)
    for text in texts:
        if not text.strip():  # of no words, no class: a line for a line
            console.print()
            continue
        found = serve("classify_ids", token_ids=coded.ids([text]))
        (chances,), (attention,) = found["probabilities"], found["attention"]
        best = int(chances.argmax())
        line = Text(f"{coded.labels[best]} {chances[best]:.3f}")
        if console.is_terminal:  # the more a part decided, the brighter
            parts = coded.tokenizer.shown(text)[: coded.context]
            apart = "" if "".join(parts) == text else " "
            line.append("  ")
            shares = attention / max(float(attention.max()), 1e-9)
            for part, share in zip(parts, shares, strict=False):
                line.append(part, f"black on rgb(255,255,{255 - int(200 * share)})")
                line.append(apart)
        console.print(line)


def _texts(options) -> list[str]:
    """The texts of the command line, or the lines of standard input."""
    texts = options.text
    if not texts:
        try:
            lines = sys.stdin.read(LONGEST_INPUT + 1).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise not_utf8("standard input", error) from error
        if len(lines) > LONGEST_INPUT:
            raise InputError(
                f"standard input has more than {LONGEST_INPUT:,} characters: give less "
                "at once"
            )
        texts = lines.removesuffix("\n").split("\n") if lines else []
    if not texts:
        raise InputError("there is no text: give some, or lines on standard input")
    return texts


def evaluate(options):
    """Measure a trained model on real data."""
    chosen = _chosen(options, "evaluate", "model")
    place = find(options.model)
    recipe = place.recipe({f"evaluate.{k}": v for k, v in chosen["evaluate"].items()})
    target = None if options.json is None else _out_file(options.json, (".json",))
    only = options.only.split(",")
    for name in only:
        if name not in EVALUATIONS:
            raise unknown("evaluation", name, EVALUATIONS)
    import_tensorflow()
    from kerasgen import data, metrics
    from kerasgen.zoo import load_keras, server

    own = load_keras(place.keras)
    settings = chosen["model"] | _sampler(options, "guidance")
    model = own.changed(**settings) if settings else own
    if options.no_ema:
        if not model.averages or options.runtime != "keras":
            raise InputError("--no-ema: only runs with train.ema_decay have an average")
        model = model.baked(averaged=False)
    serve = None
    if options.runtime != "keras":
        fixed = {k: v for k, v in settings.items() if k != "guidance"}  # an input
        serve, _ = server(place, options.runtime, settings=fixed)
    source = data.load_for(recipe)
    for line in source.notes:
        _say(options, line)
    content = metrics.evaluate(
        model,
        source,
        recipe,
        options.split,
        serve,
        options.samples,
        _progress(options),
        only,
        options.runtime,
    )
    for axis, figures in metrics.by_axis(content["figures"]).items():
        if axis:
            print(axis)
        for name, figure in figures.items():
            what = f"{figure['samples']} {figure['split']} examples; "
            what += figure["protocol"]
            value = f"{figure['value']:.4f} {figure['unit']}".strip()
            print(f"{'  ' if axis else ''}{name} {value} ({what})")
    if target is None and place.folder and not place.is_artifact:
        target = place.folder / "metrics.json"
        if options.samples is not None or options.split not in (None, source.judged_by):
            what = (
                "other examples than those that judge the model; --json FILE writes it"
            )
            _say(options, f"not kept in {target}: {what}")
            return
        content = _merged(options, target, content, own, recipe)
    if target is not None and content["figures"]:
        with atomic(target) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _merged(options, path: Path, content: dict, model, recipe) -> dict:
    """What a run's metrics.json holds from now on: the figures of its model."""
    from kerasgen.metrics import identity

    own = identity.Identity.of(model)
    content, others = own.belonging(content)
    for line in others:
        _say(options, f"not kept in {path}: {line}; --json FILE writes it")
    before = identity.read(path.parent, model, recipe)
    if before is None or not content["figures"]:
        return content
    before, gone = own.belonging(before)
    if any(before.get(key) != content[key] for key in ("seed", "versions")):
        names = ", ".join(before["figures"].keys() - content["figures"].keys())
        gone += [f"{names}: of another seed or other versions"] if names else []
        before = before | {"figures": {}}
    for line in gone:
        _say(options, f"no longer in {path}: {line}")
    return content | {"figures": before["figures"] | content["figures"]}


def export(options):
    """Write a model for other runtimes, and verify it."""
    from kerasgen import recipe as recipes

    settings = _chosen(options, "model")["model"] | _sampler(options, "guidance")
    place = find(options.model)
    recipe = place.recipe() if place.folder else None
    formats = tuple(options.formats.split(","))
    for name in formats:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
    if recipe is None and options.out is None:
        raise InputError(f"there is no recipe.yaml beside {place.keras}: give --out")
    out = Path(options.out or Path("saved_models") / recipe.name)
    import_tensorflow()
    from kerasgen.metrics import identity
    from kerasgen.zoo import label_names, load_keras

    own = load_keras(place.keras)
    model = own.changed(**settings) if settings else own
    figures = identity.read(place.folder, own, recipe) if recipe else None
    if figures:
        figures, others = identity.Identity.of(model).belonging(figures)
        for line in others:
            _say(options, f"figures that are not shipped: {line}")
    if recipe and settings:
        changes = {f"model.{key}": value for key, value in settings.items()}
        recipe = recipes.from_values(recipe.values(), changes)
    about = _about_data(recipe, options) if recipe else {}
    names = label_names(place)
    if names:  # of what it was trained on, where the data changed since
        about["labels"] = names
    model.export(out, formats=formats, recipe=recipe, figures=figures, **about)
    parity = read_json(out / "parity.json")
    _say(options, f"{out}: {len(parity['rows'])} comparisons, all equal")
    for row in parity["unsupported"]:
        _say(options, f"not exported: {row['signature']} to {row['runtime']}")


def verify(options):
    """Check an artifact: files, and answers in every runtime."""
    import_tensorflow()
    from kerasgen.export.verify import verify

    rows = verify(options.folder)
    if not options.quiet:
        for row in rows:
            what = f"{row['signature']:<15} {row['runtime']:<13} batch {row['batch']}"
            if row["tolerance"] is None:
                said = f"{row['max_abs_difference']:.0%} of tokens are others"
            else:
                judged = row.get("rms_difference", row["max_relative_difference"])
                said = f"difference {judged:.1e} of {row['tolerance']:.0e} allowed"
            print(f"ok  {what}  {said}")
        print(f"{options.folder}: all files unchanged, {len(rows)} comparisons equal")


# Helpers.


def _settings(pairs: list[str]) -> dict:
    """["train.epochs=3"] -> {"train.epochs": 3}; values are YAML."""
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(f"--set takes KEY=VALUE, not {pair!r}")
        settings[key] = parsed(value, f"--set {key}: {value!r}", "value")
    return settings


def _chosen(options, *sections: str) -> dict[str, dict]:
    """The values of --set by their section, where only these can be set."""
    found = {section: {} for section in sections}
    for key, value in _settings(options.set).items():
        section, _, name = key.partition(".")
        if section not in sections:
            every = " and ".join(f"{section}.…" for section in sections)
            raise InputError(f"--set {key}: only {every} can be set here")
        found[section][name] = value
    return found


def _out_file(name: str, suffixes=SUFFIXES) -> Path:
    path = Path(name)
    if path.suffix not in suffixes:
        raise InputError(f"{name} must end in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} to write {path.name} in")
    return path


def _sampler(options, *more: str) -> dict:
    """What a diffusion model samples with, where it isn't the model's own choice."""
    named = {key: getattr(options, key) for key in ("sampling_steps", *more)}
    named |= _settings(
        [] if options.sampler is None else [f"sampler={options.sampler}"]
    )
    return {key: value for key, value in named.items() if value is not None}


def _about_data(recipe, options) -> dict:
    """Test images for the card, and names of labels; none where the data isn't on this
    machine."""
    from kerasgen import data

    try:
        source = data.load_for(recipe)
    except InputError as error:
        _say(options, f"no pictures of test examples: {error}")
        return {}
    return {"examples": source[source.judged_by].shown(), "labels": source.label_names}


def _progress(options):
    """A function `(steps, title, total)` that wraps steps in a bar, in a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    off = options.quiet or not console.is_terminal
    return functools.partial(track, console=console, disable=off, transient=True)


def _say(options, line: str):
    if not options.quiet:
        print(line)
