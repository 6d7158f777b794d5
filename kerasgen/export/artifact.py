"""The verified folder of a model, and single files of it."""

import functools
import json
import shutil
import tempfile
from pathlib import Path

from kerasgen import kinds, manifest
from kerasgen.backend import require_tensorflow
from kerasgen.conventions import FORMATS
from kerasgen.errors import InputError, RunError, require, unknown
from kerasgen.export import (
    card,
    contents,
    litert,
    onnx,
    operations,
    reproducible,
    runtimes,
    savedmodel,
    serving,
)
from kerasgen.export.contents import SEED_RULE
from kerasgen.export.questions import FIXED, asked
from kerasgen.export.verify import failures, parity
from kerasgen.files import atomic, make_parents, write_json
from kerasgen.identity import Identity
from kerasgen.models.base import Model
from kerasgen.models.loading import require_finite
from kerasgen.recipe import Recipe


def export(model: Model, path, format: str = "artifact", **options) -> Path:
    """Write `model` to `path` in a format of `WRITERS`; see `Model.export`."""
    require_tensorflow("export")
    path = Path(path)
    if path.is_file() and format in ("artifact", "tf_saved_model"):
        raise InputError(f"{path} is a file: give a folder, or format='onnx'")
    make_parents(path)
    require_finite(model, "the model")
    WRITERS[format](reproducible.baked(model), path, **options)
    return path


def write_artifact(
    model: Model,
    path: Path,
    formats=FORMATS,
    recipe: Recipe | None = None,
    figures: dict | None = None,
    examples=None,
    labels=(),
) -> None:
    """The verified folder of SavedModel, ONNX and LiteRT files, with its card.

    Args:
        model: a baked model.
        path: the folder; one that holds an artifact is replaced, another is refused.
        formats: which of "savedmodel", "onnx", "litert".
        recipe: what the model was trained by.
        figures: what `kerasgen.metrics.evaluate` gave of this very model.
        examples: test images for the card's pictures, in [0, 1].
        labels: the names of the classes.
    Raises:
        RunError: if a runtime answers something else than Keras; nothing is written.
    """
    for name in formats:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
    require(bool(formats), "formats", "one of " + ", ".join(FORMATS), formats)
    if figures:
        for line in Identity.of(model).belonging(figures)[1]:
            raise InputError(f"figures of another model are not shipped: {line}")
    scratch = tempfile.TemporaryDirectory()
    with manifest.new_folder(path) as folder, scratch as elsewhere:
        # LiteRT files are made from it, wherever it goes.
        saved = (folder if "savedmodel" in formats else Path(elsewhere)) / "1"
        unsupported = _write_formats(model, folder, saved, formats, recipe, labels)
        _refuse(operations.problems(folder))
        if not asked(model, folder):
            line = "{signature} to {runtime}: {reason}"
            _refuse([line.format(**entry) for entry in unsupported])
        model.save(folder / "model.keras")
        reproducible.settle_keras(folder / "model.keras")
        if hasattr(model, "codec"):
            write_json(folder / "tokenizer.json", model.codec.values())
        rows = parity(model, folder)
        exact = [row for row in rows if row["runtime"] in runtimes.RUNTIMES]
        _refuse(failures(exact))
        compared = {"rows": exact, **_variants(model, folder, saved, rows)}
        write_json(folder / "parity.json", compared | {"unsupported": unsupported})
        seed = recipe.train.seed if recipe else 0
        # Figures keep the seed and the versions that they were measured with.
        nothing = {"figures": {}, "seed": seed, "versions": manifest.versions()}
        write_json(folder / "metrics.json", figures or nothing)
        if recipe:
            (folder / "recipe.yaml").write_text(recipe.text(), encoding="utf-8")
        kind = kinds.of(model.signatures(), recipe)
        for title, samples in kind.pictures(model, examples).items():
            kind.publish(folder / title, samples)
        card.write(model, folder, recipe, examples, labels)
        about = {"formats": list(formats), "labels": list(labels), "seed": seed}
        about |= contents.about(model)
        manifest.write(folder, about | {"versions": manifest.versions()})
        _refuse(contents.problems(model, folder))


def _write_formats(model, folder, saved, formats, recipe, labels) -> list[dict]:
    """-> what can't be exported: {"signature", "runtime", "reason"}."""
    reasons = {}
    name = recipe.name if recipe else model.name
    served = {k: s for k, s in model.signatures().items() if s.serves("savedmodel")}
    if served:
        savedmodel.write(model, saved)
        requests = {key: FIXED[0].inputs(s) for key, s in served.items()}
        serving.write_warmup(saved, name, requests)
    elif "savedmodel" in formats:
        raise InputError("no signature is for savedmodel: leave that format out")
    if "onnx" in formats:
        about = {"name": name, "seed_rule": SEED_RULE}
        if recipe:
            about |= {"description": recipe.description, "data": str(recipe.data)}
        if labels:
            about["labels"] = json.dumps(labels, ensure_ascii=False)
        reasons["onnx"] = onnx.write(model, folder / "onnx", about)
    if "litert" in formats and served:
        names = [k for k, s in model.signatures().items() if s.serves("litert")]
        reasons["litert"] = litert.write(saved, names, folder)
    if "savedmodel" in formats:
        for runtime, reason in runtimes.left_out().items():
            reasons[runtime] = dict.fromkeys([*served, savedmodel.DEFAULT], reason)
    for runtime in formats:
        for name, signature in model.signatures().items():
            if not signature.serves(runtime):
                reasons.setdefault(runtime, {})[name] = signature.why
    return [
        {"signature": signature, "runtime": runtime, "reason": reason}
        for runtime, by_signature in reasons.items()
        for signature, reason in by_signature.items()
    ]


def _variants(model, folder, saved, rows) -> dict[str, list[dict]]:
    """The rows of "variants" that answer near enough; the files hold no others, and the
    reasons are what is "left_out"."""

    def pair(row):
        return row["signature"], row["runtime"]

    rows = [row for row in rows if row["runtime"] in runtimes.VARIANTS]
    reasons = {}
    while off := [row for row in rows if not row["ok"]]:
        for row in off:
            reason = row.get("error", f"differs by {row['rms_difference']}")
            reasons[pair(row)] = reason
        rows = [row for row in rows if pair(row) not in reasons]
        for name, runtime in {pair(row) for row in off}:
            if runtime != "litert-int8":
                runtimes.path(runtime, folder, name).unlink()
        if any(row["runtime"] == "litert-int8" for row in off):
            near = [
                name for name, runtime in map(pair, rows) if runtime == "litert-int8"
            ]
            litert.write_int8(saved, list(dict.fromkeys(near)), folder)
            rows = [row for row in rows if row["runtime"] != "litert-int8"]
            rows += parity(model, folder, only=["litert-int8"])
    for path in (folder / "onnx").glob("*.weights"):
        if path.name not in contents.weights(folder):
            path.unlink()
    there = asked(model, folder)
    for name, runtime in contents.variants(model):
        exact = (name, runtimes.format(runtime))
        if exact in there and (name, runtime) not in there:
            reasons.setdefault((name, runtime), "saves little")
    left_out = [
        {"signature": name, "runtime": runtime, "reason": reason}
        for (name, runtime), reason in reasons.items()
    ]
    return {"variants": rows, "left_out": left_out}


def _refuse(lines: list[str]) -> None:
    if lines:
        raise RunError(f"export failed: {'; '.join(lines)}")


def _write_savedmodel(model, path):
    with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as scratch:
        savedmodel.write(model, Path(scratch) / "1")
        _refuse(operations.problems(Path(scratch)))
        if path.exists():
            raise InputError(f"{path} exists already: remove it or give another path")
        shutil.move(Path(scratch) / "1", path)


def _write_onnx(model, path, signature=None):
    name = _signatures(model, signature, "onnx")[0]
    metadata = {"name": model.name, "signature": name, "seed_rule": SEED_RULE}
    proto = onnx.convert(model.signatures()[name], metadata)
    with atomic(path) as temporary:
        temporary.write_bytes(proto.SerializeToString(deterministic=True))


def _write_litert(model, path, signature=None):
    names = _signatures(model, signature, "litert")
    with tempfile.TemporaryDirectory() as scratch:
        savedmodel.write(model, Path(scratch) / "1")
        content, reasons = litert.convertible(Path(scratch) / "1", names)
    if not content:
        _refuse([f"{name}: {reason}" for name, reason in reasons.items()])
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def _signatures(model, name, format) -> list[str]:
    """All that a format has, or the one that is named."""
    known = [k for k, s in model.signatures().items() if s.serves(format)]
    if not known:
        raise InputError(f"no signature of {type(model).__name__} is for {format}")
    if name is not None and name not in known:
        raise unknown("signature", name, known)
    return [name] if name else known


# Those that `Model.export` finds, as entry points in setup.cfg.
WRITERS = {
    "artifact": write_artifact,
    "tf_saved_model": _write_savedmodel,
    "onnx": _write_onnx,
    "litert": _write_litert,
}
to_artifact, to_saved_model, to_onnx, to_litert = (
    functools.partial(export, format=format) for format in WRITERS
)
