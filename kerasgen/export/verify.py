"""Verification: an artifact gives the same answers in every runtime."""

import dataclasses
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from kerasgen import manifest
from kerasgen.backend import require_tensorflow
from kerasgen.conventions import FORMATS
from kerasgen.errors import InputError, RunError, unknown
from kerasgen.export import contents, operations, runtimes, savedmodel
from kerasgen.export.questions import FIXED, Example, asked, fresh
from kerasgen.export.savedmodel import DEFAULT
from kerasgen.models.base import Model
from kerasgen.models.loading import load_keras
from kerasgen.signature import Signature

# What smaller weights may cost: the root mean square of differences, in proportion to
# values beyond 1. The same for every processor, unlike what one of them gave.
LOSS = {"onnx-fp16": 0.005, "onnx-int8": 0.03, "litert-int8": 0.1}
PATIENCE = 300.0, 50  # seconds a runtime may take, or so many times what Keras took


@dataclasses.dataclass(frozen=True)
class _Case:
    """A question, and what Keras answers; `name` is what runtimes are asked for."""

    name: str
    signature: Signature
    example: Example
    inputs: dict
    expected: dict


def parity(
    model: Model,
    folder: Path,
    examples: Sequence[Example] = FIXED,
    only: Sequence[str] | None = None,
) -> list[dict]:
    """Compare every exported signature with Keras, in all runtimes or `only` in some.

    Each runtime answers in a process of its own that can't import kerasgen or Keras.

    Returns:
        Rows {"signature", "runtime", "batch", "max_abs_difference",
        "max_relative_difference" (of values beyond 1 to their size), "tolerance",
        "ok"}; not ok where names, shapes or dtypes differ as well. Variants, with
        smaller weights, have "rms_difference" (relative too), which their tolerance is
        for; their "tokens", of which the share that is another is stated, have none, as
        one other token may be followed by any. An example that is "fresh" says its
        seed.
    """
    start = time.monotonic()
    cases = list(_cases(model, examples))
    seconds, times = PATIENCE
    limit = max(seconds, times * (time.monotonic() - start))
    rows, pairs = [], asked(model, folder, only)
    for runtime in dict.fromkeys(runtime for _, runtime in pairs):
        its = [case for case in cases if (case.name, runtime) in pairs]
        with tempfile.TemporaryDirectory() as scratch:
            answers, error = _ask(runtime, folder, its, Path(scratch), limit)
        for case, answer in zip(its, answers, strict=True):
            row = _row(case, runtime, answer)
            rows.append(row if answer else row | {"error": error or "no answer"})
    return rows


def _cases(model: Model, examples: Sequence[Example]) -> Iterator[_Case]:
    """Raises `RunError` where a row of several isn't answered as it is alone."""
    served = [k for k, s in model.signatures().items() if s.serves("savedmodel")]
    for name, signature in model.signatures().items():
        for example in examples:
            inputs = example.inputs(signature)
            case = _Case(name, signature, example, inputs, model.serve(name, **inputs))
            if example.batch > 1 and not example.fresh:  # rounding may turn a token
                _require_independent(model, case)
            yield case
            if name in served[:1]:  # what a server takes by default
                yield dataclasses.replace(case, name=DEFAULT)


def _require_independent(model: Model, case: _Case) -> None:
    """Raise `RunError` unless the first row has the same answer without the others."""
    inputs = {key: array[:1] for key, array in case.inputs.items()}
    alone = model.serve(case.name, **inputs)
    for key, array in case.expected.items():
        row, nothing = alone[key], b"" if array.dtype == object else 0
        sizes = zip(array[:1].shape, row.shape, strict=True)
        more = [(0, max(0, n - m)) for n, m in sizes]  # up to the longest of the batch
        alone[key] = np.pad(row, more, constant_values=nothing)
    together = {key: array[:1] for key, array in case.expected.items()}
    differs = _difference(together, alone)["max_relative_difference"]
    if differs is None or differs > case.signature.tolerance:
        raise RunError(
            f"{case.name}: a row's answer depends on the others of its batch, and "
            f"differs by {differs} without them: rows must not see each other"
        )


def _ask(runtime, folder, cases, scratch, limit) -> tuple[list[dict], str]:
    """The answers of one runtime, {} where there is none, and its last line of error
    output."""
    view = scratch / "artifact"  # and what tensorflow_c needs
    view.mkdir()
    for path in folder.iterdir():
        (view / path.name).symlink_to(path.resolve())
    if runtime == "tensorflow_c":
        savedmodel.write_endpoints(view)
    calls = []
    for i, case in enumerate(cases):
        files = {key: str(scratch / f"{key}-{i}.npz") for key in ("inputs", "outputs")}
        np.savez(files["inputs"], **case.inputs)
        calls.append({"signature": case.name, **files})
    error = _run(runtime, view, calls, scratch, limit)
    return [_read(Path(call["outputs"])) for call in calls], error


def _run(runtime: str, artifact: Path, calls: list, scratch: Path, limit: float) -> str:
    """Have a fresh process answer; -> what kept it from it."""
    request = scratch / "request.json"
    job = {"artifact": str(artifact), "runtime": runtime, "calls": calls}
    request.write_text(json.dumps(job), encoding="utf-8")
    try:
        done = subprocess.run(
            [sys.executable, "-I", runtimes.__file__, str(request)],
            capture_output=True,
            text=True,
            errors="replace",
            env={"TF_CPP_MIN_LOG_LEVEL": "3"},
            cwd=scratch,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {limit:.0f} s"
    return (done.stderr.strip().splitlines() or [""])[-1] if done.returncode else ""


def _read(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def _row(case: _Case, runtime: str, answer: dict) -> dict:
    row = {
        "signature": case.name,
        "runtime": runtime,
        "batch": case.example.batch,
    }
    if case.example.fresh:
        row["fresh"] = case.example.seed
    if runtime in LOSS:
        compare, judged, tolerance = _loss, "rms_difference", LOSS[runtime]
        if any(array.dtype.kind == "i" for array in case.expected.values()):
            row["tokens"], tolerance = True, None
    else:
        compare, judged = _difference, "max_relative_difference"
        tolerance = case.signature.tolerance
    row |= compare(case.expected, answer)
    most = math.inf if tolerance is None else tolerance
    ok = row[judged] is not None and row[judged] <= most
    return row | {"tolerance": tolerance, "ok": ok}


UNEQUAL = {"max_abs_difference": None, "max_relative_difference": None}


def _difference(expected: dict, found: dict) -> dict:
    """The largest |a - b| and the largest |a - b| / max(1, |a|): float32 has so many
    digits, however large a value is. None where more than values differs.
    """
    absolute = relative = 0.0
    for name, array in expected.items():
        other = found.get(name)
        if array.dtype == object and other is not None:  # strings
            if array.tolist() != other.tolist():
                return UNEQUAL
            continue
        if other is None or other.shape != array.shape or other.dtype != array.dtype:
            return UNEQUAL
        difference, scaled = _differences(array, other)
        if not np.isfinite(difference).all():
            return UNEQUAL
        absolute = max(absolute, float(difference.max(initial=0.0)))
        relative = max(relative, float(scaled.max(initial=0.0)))
    if set(found) != set(expected):
        return UNEQUAL
    return {"max_abs_difference": absolute, "max_relative_difference": relative}


def _loss(expected: dict, found: dict) -> dict:
    """`_difference` of a variant, and the root mean square of relative differences: the
    largest of an output. Its texts may be others, and of other length.
    """
    expected, found = dict(expected), dict(found)
    unequal, shares = UNEQUAL | {"rms_difference": None}, 0.0
    for name in [k for k, v in expected.items() if v.dtype.kind == "i" and k in found]:
        ours, theirs = expected.pop(name), found.pop(name)
        if ours.ndim != theirs.ndim or ours.dtype != theirs.dtype:
            return unequal
        shape = np.maximum(ours.shape, theirs.shape)
        ours, theirs = (
            np.pad(a, [(0, n) for n in shape - a.shape]) for a in (ours, theirs)
        )
        shares = max(shares, float(np.mean(ours != theirs)))
    largest = _difference(expected, found)
    if largest["max_abs_difference"] is None:
        return unequal
    squares = [
        float(np.mean(np.square(_differences(array, found[name])[1])))
        for name, array in expected.items()
        if array.size and array.dtype != object
    ]
    row = {key: max(shares, value) for key, value in largest.items()}
    return row | {"rms_difference": math.sqrt(max(squares, default=0.0))}


def _differences(ours, theirs) -> tuple[np.ndarray, np.ndarray]:
    """|a - b|, and the same in proportion to |a| where that is beyond 1."""
    ours = ours.astype("float64")
    difference = np.abs(ours - theirs.astype("float64"))
    return difference, difference / np.maximum(1.0, np.abs(ours))


def failures(rows: list[dict]) -> list[str]:
    """A line for each row that isn't ok."""
    lines = []
    for row in rows:
        if not row["ok"]:
            judged = row.get("rms_difference", row["max_relative_difference"])
            lines.append(
                f"{row['signature']} in {row['runtime']}, batch {row['batch']}"
                + (f", seed {row['fresh']}: " if "fresh" in row else ": ")
                + row.get("error", f"differs by {judged}")
            )
    return lines


def verify(path, runtime: str | None = None) -> list[dict]:
    """Check an artifact: every file's hash, that all is there that follows from its
    model and nothing else, then every signature in every runtime.

    Args:
        path: an artifact folder.
        runtime: the one whose files, and model.keras, are looked at alone, so that no
            others need be there; "savedmodel", "onnx", "litert", or a smaller one.
    Returns:
        The parity rows, all ok; those of a fresh example among them.
    Raises:
        InputError: if `path` is no artifact.
        RunError: naming the file, the operation or the signature that is off.
    """
    require_tensorflow("verification")
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    if not any((folder / name).exists() for name in (manifest.DIGEST, manifest.NAME)):
        raise InputError(f"{folder} is no artifact: it has no {manifest.NAME}")
    alone, parts, formats = {}, "", FORMATS
    if runtime is not None:
        if runtime not in runtimes.RUNTIMES | runtimes.VARIANTS:
            raise unknown("runtime", runtime, runtimes.RUNTIMES | runtimes.VARIANTS)
        format = runtimes.format(runtime)
        parts, formats = (manifest.PARTS["keras"], manifest.PARTS[format]), [format]
        every = [*runtimes.RUNTIMES, *runtimes.VARIANTS]
        alone = {"only": [name for name in every if runtimes.format(name) == format]}
    wrong = manifest.differences(folder, parts)
    _refuse(folder, wrong or operations.problems(folder, formats))
    if manifest.read(folder).get("formats") == []:
        raise InputError(
            f"{folder} has no exported files to compare: run `kerasgen export`"
        )
    model = load_keras(folder / "model.keras")
    if runtime is None:
        _refuse(folder, contents.problems(model, folder))
    rows = parity(model, folder, [*FIXED, fresh()], **alone)
    if not rows:
        raise InputError(f"{folder} has no files for {runtime} to compare")
    lines = failures(rows)
    if lines and all("fresh" in row for row in rows if not row["ok"]):
        # Where two tokens are all but equally likely, rounding may choose the other.
        # That hardly happens twice, while a wrong file is wrong again.
        again = parity(model, folder, [fresh()], **alone)
        lines = failures(again)
        rows = [row for row in rows if "fresh" not in row] + again
    _refuse(folder, lines)
    return rows


def _refuse(folder: Path, lines: list[str]) -> None:
    if lines:
        raise RunError(f"{folder}: {'; '.join(lines)}")
