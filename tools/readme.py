"""Write tables into README.md: the trained models, from their metrics.json, and the
speed of backends, from tools/results/backends.json.

    python tools/readme.py [--check]

With --check nothing is written; exit status 1 if README.md isn't up to date.
"""

import json
import sys
from pathlib import Path

import yaml

README = Path("README.md")
BACKENDS = Path("tools/results/backends.json")
# The figure that a row shows: the first of these that the model has.
HEADLINES = (
    "nll",
    "nll_k500",
    "fcd",
    "fid",
    "bleu_tokenized",
    "accuracy",
    "reconstruction_error",
)


def row(folder: Path) -> str:
    """One trained model as a row of the table."""
    figures = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))[
        "figures"
    ]
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    name = next(name for name in HEADLINES if name in figures)
    figure = figures[name]
    value = f"{name} **{figure['value']:.4g}** {figure['unit']}".strip()
    if figure["split"] != "test":
        value += f" ({figure['split']})"
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


def backends() -> str:
    """Step times of every family, TensorFlow's ÷ JAX's; nothing if none are known."""
    if not BACKENDS.exists():
        return ""
    head = "| model | recipe | parameters | step time, TensorFlow ÷ JAX | in rounds |"
    rows = [head, "|---|---|---|---|---|"]
    for name, found in json.loads(BACKENDS.read_text(encoding="utf-8")).items():
        what = f"{found['recipe']} | {found['parameters']:,} | {found['ratio']:.2f}"
        span = f"{min(found['runs']):.2f} … {max(found['runs']):.2f}"
        rows.append(f"| {name.removeprefix('backends/')} | {what} | {span} |")
    return "\n".join(rows) + "\n"


def written(text: str, name: str, table: str) -> str:
    """README with a table in its place."""
    begin, end = f"<!-- {name}: written by tools/readme.py -->\n", f"<!-- /{name} -->"
    before, rest = text.split(begin)
    return before + begin + table + end + rest.split(end)[1]


def main() -> int:
    text = README.read_text(encoding="utf-8")
    fresh = written(written(text, "zoo", table()), "backends", backends())
    if "--check" in sys.argv[1:]:
        if fresh != text:
            print("README.md is not up to date: run python tools/readme.py")
        return int(fresh != text)
    README.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
