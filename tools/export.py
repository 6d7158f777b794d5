"""Export finished runs, or export artifacts anew, and verify them.

    python tools/export.py [NAME …]

NAME is a recipe; default: every finished run in runs/ and every artifact in
saved_models/. A run comes before an artifact of the same name. Then writes
saved_models/models.config and batching.config, which serve all of them, and
index.json, which makes a hub of the folder.
"""

import sys
from pathlib import Path

from kerasgen.cli import main
from kerasgen.export.serving import write_configs
from kerasgen.hub import write_index


def source(name: str) -> Path:
    """The finished run of a recipe, or else its artifact."""
    run = Path("runs") / name
    return run if (run / "model.keras").exists() else Path("saved_models") / name


def every() -> list[str]:
    """Names of all that can be exported."""
    files = [*Path("runs").glob("*/model.keras")]
    files += Path("saved_models").glob("*/model.keras")
    return sorted({file.parent.name for file in files})


if __name__ == "__main__":
    failed = 0
    for name in sys.argv[1:] or every():
        failed |= main(["export", str(source(name)), "--out", f"saved_models/{name}"])
        failed |= failed or main(["verify", f"saved_models/{name}", "--quiet"])
    write_configs(Path("saved_models"))
    write_index(Path("saved_models"))
    sys.exit(failed)
