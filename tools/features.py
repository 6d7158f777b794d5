"""Ship a trained classifier as features that come with kerasgen.

    python tools/features.py [NAME …]

NAME as in `evaluate.features`; default: every finished run runs/features_NAME. Its best
weights, averaged and without an optimizer, go into kerasgen/metrics/weights.
"""

import sys
from pathlib import Path

import kerasgen
from kerasgen.files import atomic
from kerasgen.metrics.features import WEIGHTS

PREFIX = "features_"


def every() -> list[str]:
    """Names of the finished runs."""
    runs = Path("runs").glob(f"{PREFIX}*/model.keras")
    return sorted(path.parent.name.removeprefix(PREFIX) for path in runs)


if __name__ == "__main__":
    WEIGHTS.mkdir(exist_ok=True)
    for name in sys.argv[1:] or every():
        with atomic(WEIGHTS / f"{name}.keras") as temporary:
            kerasgen.load(f"runs/{PREFIX}{name}").baked().save(temporary)
        size = (WEIGHTS / f"{name}.keras").stat().st_size
        print(f"{name}: {size / 1e6:.2f} MB")
