"""Train, measure and export recipes, one after the other; resumable.

    python tools/train_zoo.py NAME [NAME …] [--steps train,evaluate,export]

A run that was interrupted continues, a finished one is kept: start the same command
again after whatever stopped it, `nohup … &` for the night. A recipe that fails is told
at the end and does not stop the others.
"""

import argparse
import sys
from pathlib import Path

from kerasgen.cli import main as kerasgen

STEPS = ("train", "evaluate", "export")


def work(name: str, steps: list[str]) -> bool:
    """All steps of one recipe that are not done yet; -> whether they went well."""
    run = Path("runs") / name
    if "train" in steps and kerasgen(["train", name, "--resume"]):
        return False
    measured = run / "metrics.json"
    fresh = measured.exists() and newer(measured, run / "model.keras")
    if "evaluate" in steps and not fresh and kerasgen(["evaluate", str(run)]):
        return False
    return not ("export" in steps and kerasgen(["export", str(run)]))


def newer(path: Path, other: Path) -> bool:
    """Whether `path` was written after `other`."""
    return path.stat().st_mtime_ns > other.stat().st_mtime_ns


def main() -> int:
    parser = argparse.ArgumentParser(description="Train, measure and export recipes.")
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--steps", default=",".join(STEPS))
    options = parser.parse_args()
    steps = options.steps.split(",")
    if not set(steps) <= set(STEPS):
        parser.error(f"--steps takes some of {', '.join(STEPS)}")
    failed = [name for name in options.names if not work(name, steps)]
    if failed:
        print(f"failed: {' '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
