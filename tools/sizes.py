"""How many megabytes the zoo has, by artifact and format, and a shallow clone takes.

    python tools/sizes.py [--zoo DIR] [--check]

A megabyte is 10^6 bytes. The clone is made anew, of the last commit, as a server sends
it. With --check nothing is cloned, and the exit status is 1 if the zoo or an artifact
has more than it may.
"""

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from kerasgen import manifest

LARGEST, ALL = 100, 280  # megabytes of an artifact, and of the zoo
KINDS = {  # how the names of files begin or end
    "keras": lambda name: name == "model.keras",
    "savedmodel": lambda name: name.startswith("1/"),
    "onnx-fp16": lambda name: ".fp16." in name,
    "onnx-int8": lambda name: name.endswith(".int8.onnx"),
    "onnx": lambda name: name.startswith("onnx/"),
    "litert-int8": lambda name: name.endswith(".int8.tflite"),
    "litert": lambda name: name.startswith("litert/"),
    "other": lambda name: True,
}


def sizes(artifact: Path) -> Counter:
    """Kind of file -> megabytes."""
    found = Counter()
    for path in artifact.rglob("*"):
        if path.is_file():
            name = path.relative_to(artifact).as_posix()
            kind = next(kind for kind, is_it in KINDS.items() if is_it(name))
            found[kind] += path.stat().st_size / 1e6
    return found


def zoo(folder: Path) -> dict[str, Counter]:
    """Artifact -> its sizes."""
    paths = sorted(folder.glob(f"*/{manifest.NAME}"))
    return {path.parent.name: sizes(path.parent) for path in paths}


def too_large(artifacts: dict[str, Counter]) -> list[str]:
    """A line for each artifact, and for the zoo, above its limit."""
    totals = {name: (found.total(), LARGEST) for name, found in artifacts.items()}
    totals["the zoo"] = sum(total for total, _ in totals.values()), ALL
    return [
        f"{name} has {total:.1f} MB, more than {most}"
        for name, (total, most) in totals.items()
        if total > most
    ]


def table(artifacts: dict[str, Counter]) -> str:
    rows = artifacts | {"all": sum(artifacts.values(), Counter())}
    width = max(map(len, rows))
    lines = [" " * width + "".join(f"{kind:>12}" for kind in [*KINDS, "all"])]
    for name, found in rows.items():
        numbers = [*(found[kind] for kind in KINDS), found.total()]
        lines.append(f"{name:{width}}" + "".join(f"{n:12.1f}" for n in numbers))
    return "\n".join(lines)


def clone(repository: Path) -> float:
    """Megabytes of what git sends for a shallow clone."""
    with tempfile.TemporaryDirectory() as scratch:
        command = ["git", "clone", "--quiet", "--bare", "--depth", "1"]
        command += [f"file://{repository.resolve()}", scratch]
        subprocess.run(command, check=True)
        packs = Path(scratch).glob("objects/pack/*.pack")
        return sum(path.stat().st_size for path in packs) / 1e6


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description="The size of the zoo.")
    parser.add_argument("--zoo", type=Path, default=Path("saved_models"))
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    artifacts = zoo(options.zoo)
    print(table(artifacts))
    lines = too_large(artifacts)
    for line in lines:
        print(line, file=sys.stderr)
    if options.check:
        return 1 if lines else 0
    print(f"a shallow clone: {clone(Path(__file__).parents[1]):.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
