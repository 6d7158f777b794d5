"""Measure finished runs or artifacts again.

    python tools/evaluate.py [NAME …]

NAME is a recipe; default: every finished run in runs/. The figures go into the run's
metrics.json; `tools/export.py` then writes them into the artifact.
"""

import sys
from pathlib import Path

from kerasgen.cli import main


def every() -> list[str]:
    """Names of the finished runs."""
    return sorted(path.parent.name for path in Path("runs").glob("*/model.keras"))


if __name__ == "__main__":
    sys.exit(
        max([main(["evaluate", f"runs/{n}"]) for n in sys.argv[1:] or every()] or [0])
    )
