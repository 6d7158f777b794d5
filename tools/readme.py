"""Write the table of trained models into README.md, from their metrics.json.

    python tools/readme.py [--check]

With --check nothing is written; exit status 1 if README.md isn't up to date.
"""

import json
import sys
from pathlib import Path

import yaml

README = Path("README.md")
BEGIN, END = "<!-- zoo: written by tools/readme.py -->\n", "<!-- /zoo -->"
# The figure that a row shows: the first of these that the model has.
HEADLINES = ("nll", "nll_k500", "fcd", "fid", "accuracy", "reconstruction_error")


def headline(figures: dict) -> str | None:
    """The name of the figure that says most."""
    return next((name for name in HEADLINES if name in figures), None)


def row(folder: Path) -> str:
    """One trained model as a row of the table."""
    figures = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))[
        "figures"
    ]
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    name = headline(figures)
    figure = figures[name]
    value = f"{name} **{figure['value']:.4g}** {figure['unit']}"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return (
        f"| [{folder.name}]({folder.as_posix()}) | {recipe['description']} | {value} | "
        f"{recipe['paper'].get(name, '')} | {manifest['parameters']:,} | "
        f"{size / 1e6:.1f} MB |"
    )


def table() -> str:
    """All trained models."""
    head = "| model | what | figure (test) | paper | parameters | artifact |"
    folders = sorted(
        path.parent for path in Path("saved_models").glob("*/manifest.json")
    )
    rows = [head, "|---|---|---|---|---|---|", *map(row, folders)]
    return "\n".join(rows) + "\n"


def main() -> int:
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    fresh = before + BEGIN + table() + END + after
    if "--check" in sys.argv[1:]:
        if fresh != text:
            print("README.md is not up to date: run python tools/readme.py")
        return int(fresh != text)
    README.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
