"""Verification: an artifact gives the same answers in every runtime."""

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from kerasgen.backend import require_tensorflow
from kerasgen.errors import InputError, RunError
from kerasgen.export import manifest, operations, runtimes, savedmodel, serving
from kerasgen.models.base import Model
from kerasgen.signature import Signature

BATCHES = {1: 5, 3: 8}  # of these lengths, where inputs have one


def parity(model: Model, folder: Path) -> list[dict]:
    """Compare every exported signature with Keras, at two batch sizes.

    A single row is that of the warm-up requests for TF Serving, where there are any.
    Each runtime answers in a process of its own that can't import kerasgen or Keras.

    Returns:
        Rows {"signature", "runtime", "batch", "max_abs_difference",
        "max_relative_difference" (of values beyond 1 to their size), "tolerance",
        "ok"}; not ok where names, shapes or dtypes differ as well. Variants have no
        tolerance: their difference is a loss that is stated; of "tokens", the share
        that is another.
    """
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        calls, warmup = [], serving.read_warmup(folder / "1")
        for name, signature in model.signatures().items():
            for batch in BATCHES:
                replayed = warmup.get(name) if batch == 1 else None
                inputs = replayed or example(signature, batch)
                expected = model.serve(name, **inputs)
                stem = Path(scratch) / f"{name}-{batch}"
                np.savez(f"{stem}-inputs.npz", **inputs)
                call = {
                    "signature": name,
                    "batch": batch,
                    "inputs": f"{stem}-inputs.npz",
                    "outputs": f"{stem}-outputs.npz",
                }
                calls.append((call, expected, signature))
        for runtime in [*runtimes.RUNTIMES, *runtimes.VARIANTS]:
            jobs = [
                job
                for job in calls
                if job[2].serves(runtimes.format(runtime))
                and runtimes.path(runtime, folder, job[0]["signature"]).exists()
            ]
            rows += _compare(runtime, folder, jobs, Path(scratch))
    return rows


def example(signature: Signature, batch: int) -> dict:
    """The inputs that a signature is compared at."""
    return signature.example(batch, seed=batch, length=BATCHES[batch])


def _compare(runtime: str, folder: Path, jobs: list, scratch: Path) -> list[dict]:
    """The rows of one runtime."""
    if not jobs:
        return []
    view = scratch / f"view-{runtime}"  # the artifact, and what tensorflow_c needs
    view.mkdir()
    for path in folder.iterdir():
        (view / path.name).symlink_to(path.resolve())
    if runtime == "tensorflow_c":
        savedmodel.write_endpoints(view)
    error = _answer(runtime, view, [call for call, _, _ in jobs], scratch)
    rows = []
    for call, expected, signature in jobs:
        path = Path(call["outputs"])
        found = {}
        if path.exists():
            with np.load(path, allow_pickle=False) as file:
                found = {key: file[key] for key in file.files}
            path.unlink()
        variant = runtime in runtimes.VARIANTS
        compare = _loss if variant else _difference
        difference, relative = compare(expected, found)
        tolerance = None if variant else signature.tolerance
        most = math.inf if tolerance is None else tolerance
        row = {
            "signature": call["signature"],
            "runtime": runtime,
            "batch": call["batch"],
            "max_abs_difference": difference,
            "max_relative_difference": relative,
            "tolerance": tolerance,
            "ok": relative is not None and relative <= most,
        }
        if variant and any(array.dtype.kind == "i" for array in expected.values()):
            row["tokens"] = True
        if not found:
            row["error"] = error or "no answer"
        rows.append(row)
    return rows


def _answer(runtime: str, folder: Path, calls: list, scratch: Path) -> str:
    """Have a fresh process answer; -> its last line of error output."""
    request = scratch / f"{runtime}.json"
    job = {"artifact": str(folder), "runtime": runtime, "calls": calls}
    request.write_text(json.dumps(job), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", runtimes.__file__, str(request)],
        capture_output=True,
        text=True,
        env={"TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=scratch,
    )
    return (done.stderr.strip().splitlines() or [""])[-1] if done.returncode else ""


def _difference(expected: dict, found: dict) -> tuple:
    """The largest absolute difference, and the largest |a - b| / max(1, |a|): float32
    has so many digits, however large a value is. None where more than values differs.
    """
    largest, relative, unequal = 0.0, 0.0, (None, None)
    for name, array in expected.items():
        other = found.get(name)
        if array.dtype == object and other is not None:  # strings
            if array.tolist() != other.tolist():
                return unequal
            continue
        if other is None or other.shape != array.shape or other.dtype != array.dtype:
            return unequal
        array = array.astype("float64")
        difference = np.abs(array - other.astype("float64"))
        scaled = difference / np.maximum(1.0, np.abs(array))
        largest = max(largest, float(difference.max(initial=0.0)))
        relative = max(relative, float(scaled.max(initial=0.0)))
        if not np.isfinite(difference).all():
            return unequal
    return (largest, relative) if set(found) == set(expected) else unequal


def _loss(expected: dict, found: dict) -> tuple:
    """`_difference` of a variant, whose texts may be others, and of other length."""
    largest, expected, found = 0.0, dict(expected), dict(found)
    for name in [k for k, v in expected.items() if v.dtype.kind == "i" and k in found]:
        ours, theirs = expected.pop(name), found.pop(name)
        if ours.ndim != theirs.ndim or ours.dtype != theirs.dtype:
            return None, None
        shape = np.maximum(ours.shape, theirs.shape)
        ours, theirs = (
            np.pad(a, [(0, n) for n in shape - a.shape]) for a in (ours, theirs)
        )
        largest = max(largest, float(np.mean(ours != theirs)))
    rest = _difference(expected, found)
    return rest if rest[0] is None else tuple(max(largest, value) for value in rest)


def failures(rows: list[dict]) -> list[str]:
    """A line for each row that isn't ok; variants are judged by what is recorded."""
    return [
        f"{row['signature']} in {row['runtime']}, batch {row['batch']}: "
        + row.get("error", f"differs by {row['max_abs_difference']}")
        for row in rows
        if not row["ok"] and row["tolerance"] is not None
    ]


def verify(path) -> list[dict]:
    """Check an artifact: every file's hash, then every signature in every runtime.

    Args:
        path: an artifact folder.
    Returns:
        The parity rows, all ok.
    Raises:
        InputError: if `path` is no artifact.
        RunError: naming the file, the operation or the signature that is off.
    """
    from kerasgen.zoo import load_keras

    require_tensorflow("verification")
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    if (
        not (folder / manifest.DIGEST).exists()
        and not (folder / manifest.NAME).exists()
    ):
        raise InputError(f"{folder} is no artifact: it has no {manifest.NAME}")
    wrong = manifest.differences(folder) or operations.problems(folder)
    if wrong:
        raise RunError(f"{folder}: {'; '.join(wrong)}")
    rows = parity(load_keras(folder / "model.keras"), folder)
    recorded = json.loads((folder / "parity.json").read_text(encoding="utf-8"))
    keys = ("signature", "runtime", "batch")
    found = {tuple(row[key] for key in keys): row for row in rows}
    lines = failures(rows)
    for row in recorded["rows"] + recorded.get("variants", []):
        key = tuple(row[key] for key in keys)
        now = found.get(key, {})
        difference = now.get("max_abs_difference")
        # Other processors round other numbers to the same whole ones, and one other
        # token may be followed by any.
        most = math.inf if "tokens" in now else 2 * row["max_abs_difference"] + 1e-3
        if key not in found:
            lines.append(f"{' '.join(map(str, key))}: not there")
        elif row["tolerance"] is None and (difference is None or difference > most):
            lines.append(f"{' '.join(map(str, key))}: differs by {difference}")
    if lines:
        raise RunError(f"{folder}: {'; '.join(lines)}")
    return rows
