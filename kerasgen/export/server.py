"""A model's signatures in one of its runtimes, for whoever asks."""

from kerasgen import manifest
from kerasgen.errors import InputError
from kerasgen.export import runtimes
from kerasgen.extras import need
from kerasgen.models.loading import load_keras
from kerasgen.places import Place


def server(
    place: Place,
    runtime: str,
    signature: str | None = None,
    settings: dict | None = None,
):
    """Compute a model's signatures in one of its runtimes.

    Args:
        place: see `find`; an artifact, for any other runtime than "keras".
        runtime: "keras", "savedmodel", "onnx", "litert", or with smaller weights
            "onnx-fp16", "onnx-int8", "litert-int8".
        signature: one that must be there.
        settings: values of the model to change, in "keras" only.
    Returns:
        A function `(signature, **arrays) -> dict` of arrays, and the descriptions of
        all signatures.
    Raises:
        InputError: if it is no artifact, lacks `signature`, or can't be changed.
    """
    if runtime == "keras":
        model = load_keras(place.keras, settings)
        serve = model.serve
        described = {name: s.describe() for name, s in model.signatures().items()}
    else:
        if not place.is_artifact:
            raise InputError(
                f"{place.name} is no artifact: run `kerasgen export` first"
            )
        if settings:
            raise InputError(
                f"{next(iter(settings))} is fixed in exported files: choose it when "
                "you export, or use --runtime keras"
            )
        need("export")
        from kerasgen.export import operations

        format = runtimes.format(runtime)
        wrong = manifest.differences(place.folder, manifest.PARTS[format])
        wrong = wrong or operations.problems(place.folder, [format])
        if wrong:  # a graph can do what any program can
            raise InputError(f"{place.folder}: {'; '.join(wrong)}: nothing is run")
        serve = runtimes.server(runtime, place.folder)
        described = {
            name: entry
            for name, entry in manifest.read(place.folder)["signatures"].items()
            if entry.get("only") in (None, format)
        }
        answered = runtimes.answered(runtime, place.folder, described)
        described = {name: described[name] for name in answered}
    if signature is not None and signature not in described:
        have = ", ".join(described) or "none"
        raise InputError(
            f"{place.name} can't {signature} in {runtime}: its signatures are {have}"
        )
    return serve, described
