"""Put artifacts behind NVIDIA Triton, a real server, and check every answer.

    python tools/serving.py [NAME …] [--zoo DIR] [--seconds S] [--json FILE]

For each artifact the first signature is served: of the SavedModel through TensorFlow's
C loader, and of the ONNX files, which take no strings, through ONNX Runtime. 32 clients
ask by HTTP and gRPC for rows that Keras has computed before, in requests of mixed
sizes; then two clients for one row at a time, and for 32. Exit status 1 if a request
fails or a row is wrong. Needs `.venv-serving` (`make test-serving`).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from kerasgen import manifest
from kerasgen.errors import InputError, RunError
from kerasgen.export import runtimes, savedmodel
from kerasgen.models.loading import load_keras

PYTHON = Path(__file__).parents[1] / ".venv-serving" / "bin" / "python"
RUNTIMES = {"tensorflow_c": "savedmodel", "onnx": "onnx"}  # and their format
ROWS, LENGTH = 64, 8  # that requests are made of; equal lengths: they share batches


def prepare(artifact: Path, scratch: Path) -> list[dict]:
    """Rows and what Keras answers -> a service for each runtime."""
    model = load_keras(artifact / "model.keras")
    stem = scratch / artifact.name
    stem.mkdir()  # the artifact, and what the C loader needs
    for path in artifact.iterdir():
        (stem / path.name).symlink_to(path.resolve())
    savedmodel.write_endpoints(stem)
    services = []
    for runtime, format in RUNTIMES.items():
        every = model.signatures().items()
        name, signature = next((k, s) for k, s in every if s.serves(format))
        if not runtimes.path(runtime, artifact, name).exists():
            continue
        inputs = signature.example(ROWS, seed=0, length=LENGTH)
        rows = f"{stem}-{runtime}"
        np.savez(f"{rows}-inputs.npz", **inputs)
        outputs = runtimes.without_objects(model.serve(name, **inputs))
        np.savez(f"{rows}-outputs.npz", **outputs)
        service = {"name": Path(rows).name, "artifact": str(stem), "rows": rows}
        service |= {"runtime": runtime, "signature": name}
        services.append(service | {"tolerance": signature.tolerance})
    return services


def measure(services: list[dict], seconds: float, scratch: Path) -> dict:
    """Have Triton serve them under load, in an environment of its own."""
    import tensorflow as tf

    if not PYTHON.exists():
        raise InputError(f"there is no {PYTHON}: run `make test-serving`")
    job = {
        "services": services,
        "seconds": seconds,
        "runtimes": runtimes.__file__,
        "packages": str(Path(tf.__file__).parents[1]),  # for TensorFlow's C library
        "results": str(scratch / "results.json"),
    }
    (scratch / "job.json").write_text(json.dumps(job), encoding="utf-8")
    program = Path(__file__).parent / "serving_load.py"
    command = [PYTHON, program, "serve", scratch / "job.json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RunError(f"the server or its clients failed:\n{done.stderr[-2000:]}")
    return json.loads((scratch / "results.json").read_text(encoding="utf-8"))


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description="Check artifacts behind a server.")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--zoo", type=Path, default=Path("saved_models"))
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    every = sorted(path.parent.name for path in options.zoo.glob(f"*/{manifest.NAME}"))
    try:
        if not every:
            raise InputError(f"there are no artifacts in {options.zoo}")
        with tempfile.TemporaryDirectory() as scratch:
            services = []
            for name in options.names or every:
                manifest.read(options.zoo / name)
                services += prepare(options.zoo / name, Path(scratch))
            results = measure(services, options.seconds, Path(scratch))
    except InputError as error:
        print(f"serving: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"serving: {error}", file=sys.stderr)
        return 1
    for name, found in results.items():
        print(
            f"{name}: {found['requests']} requests, {found['errors']} errors, "
            f"{found['wrong']} wrong answers; p50 {found['p50_ms']:.1f} ms, p99 "
            f"{found['p99_ms']:.1f} ms; rows a second {found['rows_per_second']}"
        )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return int(any(found["errors"] or found["wrong"] for found in results.values()))


if __name__ == "__main__":
    sys.exit(main())
