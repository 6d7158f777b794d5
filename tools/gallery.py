"""Build the gallery: a static site of all artifacts, in which the visitor generates.

    python tools/gallery.py [--zoo DIR] [--out DIR] [--budget MB]

The site (default: build/gallery) is files only; any web server can hold it. ONNX
Runtime's WebAssembly build, and what kinds of samples need to be shown, are fetched by
npm once and become part of it.
"""

import argparse
import html
import itertools
import json
import shutil
import sys
from pathlib import Path

from pages import card, page, plots
from playing import RUNTIME, copy_onnx, panels, vendored
from tables import headline

from kerasgen import kinds, manifest
from kerasgen import recipe as recipes
from kerasgen.errors import InputError

SITE = Path(__file__).parent / "site"
# Of a signature's ONNX files: the first that lets the site keep to its budget.
VARIANTS = {"": 32, ".fp16": 16, ".int8": 8}  # and the bits of a weight


class Entry:
    """An artifact, as the gallery shows it."""

    def __init__(self, folder: Path):
        self.folder, self.name = folder, folder.name
        self.manifest = manifest.read(folder)
        path = folder / "recipe.yaml"
        recipe = recipes.read(str(path)) if path.exists() else None
        self.description = recipe.description if recipe else ""
        self.paper = recipe.paper if recipe else {}
        self.family = recipe.family.replace("_", " ") if recipe else "model"
        metrics = (folder / "metrics.json").read_text(encoding="utf-8")
        self.figures = json.loads(metrics)["figures"]
        source, signatures = folder / "onnx", self.manifest["signatures"]
        self.kind = kinds.of(signatures, recipe)
        self.samples = folder / f"samples{self.kind.suffixes[0]}"
        there = {k: s for k, s in signatures.items() if (source / f"{k}.onnx").exists()}
        self.panels = panels(there, self.kind) if self.kind.script else {}
        files = self.panels.values()
        self.variants = [  # that its page may run; it runs the first
            variant
            for variant in VARIANTS
            if files and all((source / f"{k}{variant}.onnx").exists() for k in files)
        ]

    def chips(self) -> str:
        texts = [self.family, f"{self.manifest['parameters']:,} parameters"]
        name = headline(self.figures)
        if name:
            figure = self.figures[name]
            text = f"{name.replace('_', ' ')} <b>{figure['value']:.4g}</b>"
            texts.append(f"{text} {html.escape(figure['unit'])}")
        return '<ul class="chips">' + "".join(f"<li>{t}</li>" for t in texts) + "</ul>"

    def preview(self) -> str:
        if (self.folder / "samples.png").exists():
            return f'<img src="{self.name}/samples.png" alt="samples" loading="lazy">'
        text = self.kind.excerpt(self.samples) if self.samples.exists() else ""
        return f"<pre>{html.escape(text)}</pre>"

    def link(self) -> str:
        return (
            f'<a href="{self.name}/">{self.preview()}<div><h2>{self.name}</h2>'
            f"<p>{html.escape(self.description)}.</p>{self.chips()}</div></a>"
        )

    def playable(self, target: Path) -> tuple[dict | None, str]:
        """What the page's script needs to run the model, whose files are copied to
        `target`; and a note for the reader."""
        if not self.panels:
            return None, ""
        if not self.variants:
            return None, "<section>This model is too large to run in a page.</section>"
        variant, signatures = self.variants[0], self.manifest["signatures"]
        files = {name: f"{name}{variant}.onnx" for name in self.panels.values()}
        tokenizer = self.folder / "tokenizer.json"
        data = {
            "panels": self.panels,
            "variant": variant,
            "shared": copy_onnx(self.folder / "onnx", files, target / "onnx"),
            "signatures": {k: signatures[k] for k in files},
            "labels": self.manifest.get("labels", []),
            "constants": self.manifest.get("constants", {}),
            "prompt": self.kind.prompt(self.samples),
            "tokenizer": json.loads(tokenizer.read_text("utf-8"))
            if tokenizer.exists()
            else None,
        }
        note = (
            f"<p><small>Here the model has weights of {VARIANTS[variant]} bits: its "
            "answers differ a little from those of other runtimes.</small></p>"
        )
        return data, note if variant else ""

    def write(self, out: Path) -> None:
        """Write the page, and the files that run the model in it."""
        target = out / self.name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for pattern in ("*.png", f"*{self.samples.suffix}", "recipe.yaml"):
            for path in self.folder.glob(pattern):
                shutil.copy(path, target)
        (target / "kind.js").write_text(self.kind.script, encoding="utf-8")
        data, note = self.playable(target)
        body = (
            '<header><a href="../">All models</a></header>\n<main>\n'
            f"<h1>{self.name}</h1>\n"
            f'<p class="lead">{html.escape(self.description)}.</p>\n'
            f'{self.chips()}\n<div id="panels"></div>\n{note}\n'
            f"{plots(self.figures, self.paper)}\n"
            f'<section class="card">{card(self.folder)}</section>\n</main>'
        )
        text = page(f"{self.name} · kerasgen", body, "../", data)
        (target / "index.html").write_text(text, encoding="utf-8")


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def build(zoo: Path, out: Path, budget: int, cache: Path = Path("build/npm")) -> int:
    """Write the site; -> its size in bytes. Where that is above `budget`, the largest
    models get smaller weights, one after the other, or don't run in their pages.

    Raises:
        InputError: if there is no artifact, or npm can't fetch the runtime.
    """
    folders = sorted(path.parent for path in zoo.glob(f"*/{manifest.NAME}"))
    if not folders:
        raise InputError(
            f"there are no artifacts in {zoo}: run `kerasgen export` first"
        )
    entries, packages = [Entry(folder) for folder in folders], dict(RUNTIME)
    for entry in entries:
        packages |= entry.kind.packages
    libraries = [vendored(*package, cache) for package in packages.items()]
    shutil.rmtree(out, ignore_errors=True)
    (out / "lib").mkdir(parents=True)
    for path in itertools.chain(*libraries):
        shutil.copy(path, out / "lib")
    for path in SITE.iterdir():
        shutil.copy(path, out)
    links = "\n".join(entry.link() for entry in entries)
    body = (
        "<header>kerasgen</header>\n<main>\n"
        "<h1>Models that generate, in this page</h1>\n"
        '<p class="lead">Each was trained with Keras and verified to give the same '
        "answers in every runtime. Open one: your browser draws the samples.</p>\n"
        f'<div class="zoo">{links}</div>\n</main>'
    )
    (out / "index.html").write_text(page("kerasgen", body, ""), encoding="utf-8")
    for entry in entries:
        entry.write(out)
    while size(out) > budget and any(entry.variants for entry in entries):
        largest = max(
            (entry for entry in entries if entry.variants),
            key=lambda entry: size(out / entry.name / "onnx"),
        )
        largest.variants.pop(0)
        largest.write(out)
    return size(out)


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description="Build the gallery of all artifacts.")
    parser.add_argument("--zoo", type=Path, default=Path("saved_models"))
    parser.add_argument("--out", type=Path, default=Path("build/gallery"))
    parser.add_argument("--budget", type=float, default=60.0, help="megabytes")
    options = parser.parse_args(arguments)
    try:
        total = build(options.zoo, options.out, int(options.budget * 1e6))
    except InputError as error:
        print(f"gallery: {error}", file=sys.stderr)
        return 2
    print(
        f"{options.out}: {total / 1e6:.1f} MB; python -m http.server -d {options.out}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
