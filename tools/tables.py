"""Write the tables of README.md and docs/: trained models, from their metrics.json, a
GAN beside its plain twin and samplers of a diffusion model beside each other, from what
`kerasgen evaluate --json` wrote, the worth of samples, from what `tools/augment.py`
wrote, and the speed of backends and of runtimes, from what `tools/benchmark.py` wrote.

    python tools/tables.py [--check]

With --check nothing is written; exit status 1 if one isn't up to date.
"""

import json
import sys
from pathlib import Path
from statistics import mean

import yaml

PAGES = [Path("README.md"), *sorted(Path("docs").rglob("*.md"))]
RESULTS = Path("tools/results")
BACKENDS = RESULTS / "backends.json"
AUGMENT = RESULTS / "augment.json"
RUNTIMES = RESULTS / "runtimes.json"
PLAIN = {  # column -> figures
    "dcgan_fashion_mnist": Path("saved_models/dcgan_fashion_mnist/metrics.json"),
    "profile plain": RESULTS / "dcgan_plain.json",
}
SAMPLERS = {
    "DPM-Solver++, 25 steps": RESULTS / "ddpm_25.json",
    "ancestral, 250 steps": RESULTS / "ddpm_250.json",
    "DPM-Solver++, no average": RESULTS / "ddpm_no_ema.json",
}
SIZES = "MB: SavedModel · ONNX · LiteRT"
SIDES = ("fcd", "precision", "density", "recall", "coverage", "label_agreement")
# The figure that a row shows: the first of these that the model has.
HEADLINES = (
    "nll",
    "nll_k500",
    "fcd",
    "fid",
    "bleu_tokenized",
    "accuracy",
    "validity",
    "nats_per_frame",
    "nats_per_char",
    "reconstruction_error",
)


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
    value = f"{name} **{figure['value']:.4g}** {figure['unit']}".strip()
    if figure["split"] != "test":
        value += f" ({figure['split']})"
    elif "the epoch was chosen on these" in figure["protocol"]:
        value += " (which chose the epoch)"
    place = folder.as_posix()
    shown = (folder / "samples.png").exists()
    picture = f'<img src="{place}/samples.png" width="120">' if shown else ""
    sizes = " · ".join(megabytes(folder / part) for part in ("1", "onnx", "litert"))
    return (
        f"| {picture} | [{folder.name}]({place}): {recipe['description']} | {value} | "
        f"{recipe['paper'].get(name, '')} | {manifest['parameters']:,} | {sizes} |"
    )


def megabytes(folder: Path) -> str:
    """The size of all files below a folder."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{size / 1e6:.1f}"


def zoo() -> str:
    """All trained models."""
    head = "| samples | model | figure (test) | paper | parameters | " + SIZES + " |"
    folders = sorted(
        path.parent for path in Path("saved_models").glob("*/manifest.json")
    )
    rows = [head, "|---|---|---|---|---|---|", *map(row, folders)]
    return "\n".join(rows) + "\n"


def plain() -> str:
    """The DCGAN beside one of the same networks and steps, trained plainly."""
    return side_by_side(PLAIN)


def samplers() -> str:
    """A diffusion model's samples by other samplers, and of its last weights."""
    return side_by_side(SAMPLERS)


def side_by_side(columns: dict[str, Path]) -> str:
    """What samples are like, a column each, as far as it is measured."""
    paths = {name: path for name, path in columns.items() if path.exists()}
    if len(paths) < 2:
        return ""
    found = {
        name: json.loads(path.read_text(encoding="utf-8"))["figures"]
        for name, path in paths.items()
    }
    (first, *_), rest = found.values(), "---|" * len(found)
    rows = [f"| {first['fcd']['samples']:,} samples | {' | '.join(found)} |"]
    rows.append("|---|" + rest)
    for figure in (name for name in SIDES if name in first):
        values = (f"{figures[figure]['value']:.3f}" for figures in found.values())
        rows.append(f"| {figure} | {' | '.join(values)} |")
    return "\n".join(rows) + "\n"


def augment() -> str:
    """How well classifiers of real and of drawn images do, where measured."""
    if not AUGMENT.exists():
        return ""
    measured = json.loads(AUGMENT.read_text(encoding="utf-8"))
    about = measured["per_class"]
    sizes = {"real": f"{about['real']} real", "samples": f"{about['samples']} drawn"}
    sizes["real and samples"] = " and ".join(sizes.values())
    head = f"| images a class, drawn by {measured['model']} | accuracy |"
    rows = [head + " runs |", "|---|---|---|"]
    for kind, values in measured["accuracy"].items():
        span = f"{min(values):.4f} … {max(values):.4f}"
        rows.append(f"| {sizes[kind]} | {mean(values):.4f} | {span} |")
    return "\n".join(rows) + f"\n\n({about['protocol']}.)\n"


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


def runtimes() -> str:
    """How fast each runtime is beside Keras's compiled function, where measured."""
    if not RUNTIMES.exists():
        return ""
    measured = json.loads(RUNTIMES.read_text(encoding="utf-8"))
    ratios = {tuple(k.split("/")[1:]): v["ratio"] for k, v in measured.items()}
    columns = list(dict.fromkeys((runtime, batch) for _, runtime, batch in ratios))
    heads = [f"{runtime}, batch {batch}" for runtime, batch in columns]
    rows = [f"| family | {' | '.join(heads)} |", "|---" * (1 + len(columns)) + "|"]
    for family in dict.fromkeys(family for family, _, _ in ratios):
        found = (ratios.get((family, *column)) for column in columns)
        cells = ("" if ratio is None else f"{ratio:.1f}×" for ratio in found)
        rows.append(f"| {family} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def filled(text: str, name: str, table: str) -> str:
    """`text` with `table` between the marks of `name`, if it has them."""
    begin = f"<!-- {name}: written by tools/tables.py -->\n"
    end = f"<!-- /{name} -->"
    if begin not in text:
        return text
    before, rest = text.split(begin)
    return before + begin + table + end + rest.split(end)[1]


def main() -> int:
    stale = 0
    tables = (zoo, plain, samplers, augment, backends, runtimes)
    for page in PAGES:
        text = fresh = page.read_text(encoding="utf-8")
        for table in tables:
            fresh = filled(fresh, table.__name__, table())
        if "--check" not in sys.argv[1:]:
            page.write_text(fresh, encoding="utf-8")
        elif fresh != text:
            print(f"{page} is not up to date: run python tools/tables.py")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
