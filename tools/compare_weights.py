"""Compare the weights of two trained models.

    python tools/compare_weights.py A B [--atol X]

A and B are .keras files or run directories (their model.keras). Optimizer state is left
out. Exit status 0 if the largest absolute difference is at most X (default 0), 1 if it
is larger or the models have other weights, 2 for bad input.
"""

import argparse
import io
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np


def weights(path: Path) -> dict[str, np.ndarray]:
    """Name -> array of a .keras file."""
    path = path / "model.keras" if path.is_dir() else path
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read("model.weights.h5")
    except (OSError, KeyError, zipfile.BadZipFile):
        print(f"compare_weights: {path} is not a .keras file", file=sys.stderr)
        raise SystemExit(2) from None
    found = {}
    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(
            lambda name, item: (
                found.update({name: np.asarray(item)})
                if isinstance(item, h5py.Dataset) and not name.startswith("optimizer")
                else None
            )
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare two models' weights.")
    parser.add_argument("a", type=Path, metavar="A")
    parser.add_argument("b", type=Path, metavar="B")
    parser.add_argument("--atol", type=float, default=0.0, metavar="X")
    options = parser.parse_args()
    a, b = weights(options.a), weights(options.b)
    if {k: v.shape for k, v in a.items()} != {k: v.shape for k, v in b.items()}:
        print("the models have different weights")
        return 1
    differences = {
        name: float(np.abs(a[name].astype("f8") - b[name]).max(initial=0.0))
        for name in a
    }
    worst = max(differences, key=differences.get)
    print(f"largest difference {differences[worst]} in {worst}, of {len(a)} weights")
    return 0 if differences[worst] <= options.atol else 1


if __name__ == "__main__":
    sys.exit(main())
