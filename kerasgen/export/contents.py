"""What an artifact must hold, which follows from its model, and nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx.external_data_helper import ExternalDataInfo

from kerasgen import manifest
from kerasgen.conventions import FORMATS
from kerasgen.errors import InputError
from kerasgen.export import loops, runtimes, savedmodel, serving
from kerasgen.export.questions import FIXED, asked
from kerasgen.files import read_json
from kerasgen.identity import Identity
from kerasgen.models.base import Model

SAVEDMODEL = (
    "saved_model.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
    serving.WARMUP.as_posix(),
)
EARLIER = {"1/fingerprint.pb"}  # in artifacts until version 0.1
OWN = {"README.md", "metrics.json", "model.keras", "parity.json"}
OWN |= {manifest.NAME, manifest.DIGEST}
SEED_RULE = "row i of generate(n, seed) has seed (seed * 2654435761 + i) mod 2^32"


def about(model: Model) -> dict:
    """What a manifest says of a model."""
    signatures = model.signatures()
    constants = [entry.constants for entry in signatures.values()]
    return {
        "signatures": {name: s.describe() for name, s in signatures.items()},
        "seed_rule": SEED_RULE,
        "parameters": model.count_params(),
        "constants": {k: v.tolist() for part in constants for k, v in part.items()},
    }


def problems(model: Model, folder: Path) -> list[str]:
    """A line for each thing in an artifact that isn't what follows from its model.

    Hashes and operations are checked before; answers afterwards.
    """
    said = manifest.read(folder)
    lines = [
        f"{manifest.NAME}: {key} not those of model.keras"
        for key, value in about(model).items()
        if said.get(key) != json.loads(json.dumps(value))
    ]
    formats = said.get("formats")
    if not isinstance(formats, list) or not set(formats) <= set(FORMATS):
        return [*lines, f"{manifest.NAME}: formats must be of {', '.join(FORMATS)}"]
    try:
        recorded = read_json(folder / "parity.json")
        compared = {
            (row["signature"], row["runtime"], row["batch"])
            for row in [*recorded["rows"], *recorded["variants"]]
        }
        gone = [*recorded["unsupported"], *recorded["left_out"]]
        left_out = {(entry["signature"], entry["runtime"]) for entry in gone}
    except (InputError, LookupError, TypeError):
        return [*lines, "parity.json: missing or damaged"]
    lines += _files(model, folder, formats, left_out)
    pairs = asked(model, folder)
    if not pairs:
        lines.append("no signature is in any format: there is nothing to compare")
    must = {(*pair, e.batch) for pair in pairs if pair not in left_out for e in FIXED}
    elsewhere = {key for key in compared if key[1] in runtimes.left_out()}
    for key in sorted(must ^ (compared - elsewhere), key=str):
        off = "missing" if key in must else "of no file"
        lines.append(f"parity.json: {' '.join(map(str, key))}: {off}")
    if hasattr(model, "codec") and not _codec_is_own(model, folder):
        lines.append("tokenizer.json: not that of model.keras")
    if "savedmodel" in formats and not lines:
        lines += _signatures(model, folder / "1") + _warmup(model, folder / "1")
    return lines + _figures(model, folder)


def _codec_is_own(model, folder) -> bool:
    try:
        written = read_json(folder / "tokenizer.json")
    except InputError:
        return False
    return written == json.loads(json.dumps(model.codec.values()))


def _files(model, folder, formats, left_out) -> list[str]:
    """Every file there must be is, and no other file or folder is."""
    must, lines = set(OWN), []
    if hasattr(model, "codec"):
        must.add("tokenizer.json")
    if "savedmodel" in formats:
        must |= {f"1/{name}" for name in SAVEDMODEL}
    exact = [(k, f) for k in model.signatures() for f in ("onnx", "litert")]
    held = {"litert": set(), "litert-int8": set()}  # signatures that files must hold
    for name, runtime in [*exact, *variants(model)]:
        format = runtimes.format(runtime)
        serves = format in formats and model.signatures()[name].serves(format)
        if serves and not {(name, format), (name, runtime)} & left_out:
            path = runtimes.path(runtime, folder, name)
            must.add(path.relative_to(folder).as_posix())
            held.get(runtime, set()).add(name)
    must |= {f"onnx/{name}" for name in weights(folder)}
    card = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
    found = set(manifest.files(folder)) | {manifest.NAME, manifest.DIGEST}
    lines += [f"{name}: missing" for name in sorted(must - found)]
    for name in sorted(found - must - EARLIER):
        linked = "/" not in name and f"]({name})" in card
        if not linked:
            lines.append(f"{name}: no file of such an artifact")
    lines += _held(folder, held)
    parents = {parent for name in found for parent in (folder / name).parents}
    parents.add(folder / "1" / "assets")  # empty
    strange = {path for path in folder.rglob("*") if path.is_dir()} - parents
    for path in sorted(strange):
        lines.append(f"{path.relative_to(folder)}/: no folder of such an artifact")
    return lines


def _held(folder, held: dict[str, set[str]]) -> list[str]:
    """Files that hold several signatures hold those of the model, and no others."""
    lines = []
    for runtime, names in held.items():
        file = runtimes.FILES[runtime]
        if (folder / file).exists():
            there = set(runtimes.held_by(folder / file))
            lines += [f"{file}: no signature {name}" for name in sorted(names - there)]
            for name in sorted(there - names):
                lines.append(f"{file}: signature {name} is not the model's")
    return lines


def variants(model: Model) -> Iterator[tuple[str, str]]:
    """(signature, runtime) of files with smaller weights that a model may have."""
    for name, signature in model.signatures().items():
        for runtime in runtimes.VARIANTS:
            served = signature.serves(runtimes.format(runtime))
            if served and (signature.int8 or runtime != "onnx-int8"):
                yield name, runtime


def weights(folder: Path) -> set[str]:
    """The files in which ONNX files keep what they share."""
    names = set()
    for path in (folder / "onnx").glob("*.onnx"):
        proto = onnx.load(path, load_external_data=False)
        for graph in loops.with_subgraphs(proto.graph):
            for tensor in graph.initializer:
                if tensor.external_data:
                    names.add(ExternalDataInfo(tensor).location)
    return names


def _signatures(model, folder) -> list[str]:
    """A SavedModel has the model's signatures, and the first by default."""
    served = {k: s for k, s in model.signatures().items() if s.serves("savedmodel")}
    must = {name: _spec(signature) for name, signature in served.items()}
    must[savedmodel.DEFAULT] = next(iter(must.values()))
    found = savedmodel.specs(folder)
    lines = [f"1: no signature {name}" for name in must if name not in found]
    lines += [f"1: signature {name} is not the model's" for name in found.keys() - must]
    for name, spec in must.items():
        if name in found and found[name] != spec:
            lines.append(f"1: inputs or outputs of {name} are not the model's")
    return lines


def _spec(signature) -> tuple:
    """Input -> (dtype, shape), and the names of the outputs."""
    inputs = {
        name: (entry.dtype, (None, *entry.shape))
        for name, entry in signature.inputs.items()
    }
    return inputs, set(signature.outputs)


def _warmup(model, folder) -> list[str]:
    """A request for each signature, which it can answer."""
    name = serving.WARMUP.as_posix()
    try:
        requests = serving.read_warmup(folder)
    except Exception:  # TensorFlow, protobuf and NumPy raise all kinds
        return [f"1/{name}: damaged"]
    served = {k: s for k, s in model.signatures().items() if s.serves("savedmodel")}
    lines = []
    if set(requests) != set(served):
        lines.append(f"1/{name}: not one request for each signature")
    for key, inputs in requests.items():
        if key in served and not _answers(served[key], inputs):
            lines.append(f"1/{name}: {key} can't answer its request")
    return lines


def _answers(signature, inputs: dict[str, np.ndarray]) -> bool:
    """Whether inputs are of a signature's names, dtypes and shapes, and few."""
    if set(inputs) != set(signature.inputs):
        return False
    for name, entry in signature.inputs.items():
        array = inputs[name]
        dtype = "string" if array.dtype.kind in "SO" else array.dtype.name
        shape = (None, *entry.shape)
        fits = len(shape) == array.ndim and all(
            must in (None, size) for must, size in zip(shape, array.shape, strict=True)
        )
        if dtype != entry.dtype or not fits or array.size > 10_000_000:
            return False
        if not 1 <= len(array) <= serving.LARGEST_BATCH:
            return False
    return True


def _figures(model, folder) -> list[str]:
    """Figures are of this model."""
    try:
        content = read_json(folder / "metrics.json")
        others = Identity.of(model).belonging(content)[1]
    except (InputError, LookupError, TypeError, AttributeError):
        return ["metrics.json: damaged"]
    return [f"metrics.json: figures of another model: {line}" for line in others]
