"""What the gallery needs to run a model in a page: panels, files, ONNX Runtime."""

import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx

from kerasgen.errors import InputError
from kerasgen.export import loops
from kerasgen.export.onnx import share_weights
from kerasgen.kinds import Kind

# npm's package -> the files of its dist/ that the site has in its folder lib/.
RUNTIME = {
    "onnxruntime-web@1.30.0": (
        "ort.wasm.min.mjs",
        "ort-wasm-simd-threaded.mjs",
        "ort-wasm-simd-threaded.wasm",
    ),
}


def panels(signatures: dict, kind: Kind) -> dict[str, str]:
    """What a visitor can do with a model of a kind, by its signatures: panel ->
    signature."""
    found = {}
    for name, signature in signatures.items():
        needs = {k for k, v in signature["inputs"].items() if "default" not in v}
        outputs = signature["outputs"]
        if signature.get("only") not in (None, "onnx"):
            continue
        takes, gives = len(needs) == 1 and needs <= kind.names, outputs[0] in kind.names
        if needs == {"seed"} and gives:
            found.setdefault("samples", name)
        elif needs == {"latents"} and gives:
            found.setdefault("latents", name)
        elif takes and outputs[0] in ("mean", "latents"):
            found.setdefault("encoder", name)
        elif "timestep" in needs and outputs == ["noise"]:
            found.setdefault("denoiser", name)
        elif needs == {"token_ids", "seed"} and outputs == ["output_ids"]:
            found.setdefault("text", name)
        elif needs == {"token_ids"} and outputs == ["output_ids"]:
            found.setdefault("translation", name)
    if "latents" not in found:
        found.pop("encoder", None)
    return found


def copy_onnx(source: Path, files: dict[str, str], folder: Path) -> list[str]:
    """Copy signature -> file, with the weights that they need; -> signatures of which
    these are in a file of their own, shared."""
    folder.mkdir()
    protos = {name: onnx.load(source / file) for name, file in files.items()}
    for proto in protos.values():
        loops.without_copies(proto.graph)
    # ONNX Runtime's web build looks for no other file from within a loop.
    flat = [p for p in protos.values() if len([*loops.with_subgraphs(p.graph)]) == 1]
    share_weights(flat, folder)
    for name, proto in protos.items():
        onnx.save(proto, folder / f"{name}.onnx")
    return [
        name
        for name, proto in protos.items()
        for graph in loops.with_subgraphs(proto.graph)
        if any(tensor.external_data for tensor in graph.initializer)
    ]


def vendored(package: str, names: Sequence[str], cache: Path) -> list[Path]:
    """Files of a package, fetched by npm if they aren't there.

    Raises:
        InputError: if npm can't fetch it.
    """
    files = [cache / package.replace("@", "-") / name for name in names]
    if all(path.exists() for path in files):
        return files
    files[0].parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        command = ["npm", "pack", package, "--silent", "--pack-destination", scratch]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise InputError(f"npm can't fetch {package}: {error}") from error
        with tarfile.open(next(Path(scratch).glob("*.tgz"))) as archive:
            for path in files:
                member = archive.extractfile(f"package/dist/{path.name}")
                path.write_bytes(member.read())
    return files
