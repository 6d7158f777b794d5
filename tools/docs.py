"""Build the site of documents: build/site, by `make docs`.

    python tools/docs.py [--notebooks]

Copies docs/ to build/docs and writes there what follows from the code: the reference
of public names and of commands, the recipes, a page of each trained model. Tutorials
are run, once for each state of their text, and shown with their outputs; with
--notebooks that is all. Then mkdocs builds the site; a link to nowhere is an error.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml
from nbclient import NotebookClient
from tables import headline

import kerasgen
from kerasgen import cli
from kerasgen import recipe as recipes

ROOT = Path(__file__).resolve().parents[1]
BUILD, NOTEBOOKS = ROOT / "build" / "docs", ROOT / "build" / "notebooks"
# What TensorFlow writes when it starts, and nothing else.
LOGS = re.compile(r"((WARNING: All log|[IWE]0000 ).*\n?)+\Z")
ZOO, GALLERY = ROOT / "saved_models", ROOT / "build" / "gallery"


def reference() -> str:
    """The public names, from their docstrings."""
    stub = (ROOT / "kerasgen" / "__init__.pyi").read_text(encoding="utf-8")
    homes = {}
    for module, names in re.findall(r"^from \.(\S+) import (.+)$", stub, re.M):
        homes |= {name.strip(): f"kerasgen.{module}" for name in names.split(",")}
    models = [n for n in homes if isinstance(getattr(kerasgen, n), type)]
    models = [n for n in models if issubclass(getattr(kerasgen, n), kerasgen.Model)]
    lines = ["# Python", "", "What `dir(kerasgen)` lists."]
    for title, names in (
        ("Models", sorted(models)),
        ("Functions and other classes", sorted(homes.keys() - set(models))),
    ):
        lines += ["", f"## {title}", ""]
        lines += [f"::: {homes[name]}.{name}\n" for name in names]
    return "\n".join(lines)


def commands() -> str:
    """What `--help` says of each."""
    lines = ["# Commands", "", "Exit status 0: done. 1: it failed. 2: bad input."]
    parser = cli.parser()
    (entries,) = (a for a in parser._actions if hasattr(a, "choices") and a.metavar)
    for name, entry in entries.choices.items():
        help = entry.format_help().replace(Path(sys.argv[0]).name, "kerasgen")
        lines += ["", f"## kerasgen {name}", "", "```", help.strip(), "```"]
    return "\n".join(lines) + "\n"


def recipe_pages() -> str:
    """Every recipe: what it needs, how long it is, and what it reached."""
    lines = [
        "# Recipes",
        "",
        "`kerasgen train NAME`. The figure is that of the model in `saved_models/`,",
        "where there is one; what papers reach is on [its page](../zoo.md).",
        "",
        "| recipe | what it is | data | epochs × batch | figure |",
        "|---|---|---|---|---|",
    ]
    for name in recipes.names():
        recipe = recipes.read(name)
        train = recipe.train
        length = f"{train.epochs} × {train.batch_size}"
        lines.append(
            f"| `{name}` | {recipe.description} | `{recipe.data}` | {length} | "
            f"{figure(ZOO / name)} |"
        )
    return "\n".join(lines) + "\n"


def figure(folder: Path) -> str:
    """The figure that says most of a trained model."""
    if not (folder / "metrics.json").exists():
        return ""
    figures = json.loads((folder / "metrics.json").read_text())["figures"]
    name = headline(figures)
    found = figures[name]
    return f"[{name} {found['value']:.4g} {found['unit']}](../zoo/{folder.name}.md)"


def zoo(target: Path) -> None:
    """A page of each trained model, its card, and one of all."""
    target.mkdir()
    about = "Each is an artifact in `saved_models/`; its page is its card."
    lines = ["# Trained models", "", about, ""]
    for card in sorted(ZOO.glob("*/README.md")):
        name, text = card.parent.name, card.read_text(encoding="utf-8")
        for picture in card.parent.glob("*.png"):
            shutil.copy(picture, target / f"{name}_{picture.name}")
        text = re.sub(r"(!\[[^\]]*\]\()([^)/]+\.png)\)", rf"\1{name}_\2)", text)
        text = re.sub(r"\[([^\]]*)\]\((?!http|#|[^)]*\.png)[^)]*\)", r"`\1`", text)
        (target / f"{name}.md").write_text(text, encoding="utf-8")
        about = yaml.safe_load((card.parent / "recipe.yaml").read_text("utf-8"))
        shown = (card.parent / "samples.png").exists()
        lines += [f"## [{name}](zoo/{name}.md)", "", about["description"] + ".", ""]
        lines += [f"![samples](zoo/{name}_samples.png)", ""] if shown else []
    (target.parent / "zoo.md").write_text("\n".join(lines), encoding="utf-8")


def executed(path: Path) -> Path:
    """A tutorial with its outputs; run where its text is another than the last time."""
    text = path.read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    done = NOTEBOOKS / f"{path.stem}-{digest}.ipynb"
    if not done.exists():
        print(f"running {path.relative_to(ROOT)}", flush=True)
        notebook = nbformat.reads(text, as_version=4)
        home = NOTEBOOKS / path.stem  # what it writes
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        resources = {"metadata": {"path": str(home)}}
        NotebookClient(notebook, timeout=1200, resources=resources).execute()
        for cell in notebook.cells:
            if cell.cell_type == "code":
                shown = [o for o in cell.outputs if not LOGS.match(o.get("text", ""))]
                cell.outputs = shown
        nbformat.write(notebook, done)
    return done


def main() -> int:
    scripts = str(Path(sys.executable).parent)  # where tutorials find `kerasgen`
    os.environ["PATH"] = os.pathsep.join([scripts, os.environ["PATH"]])
    tutorials = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))
    outputs = {path.name: executed(path) for path in tutorials}
    if "--notebooks" in sys.argv[1:]:
        return 0
    shutil.rmtree(BUILD, ignore_errors=True)
    shutil.copytree(ROOT / "docs", BUILD)
    for name, path in outputs.items():
        shutil.copy(path, BUILD / "tutorials" / name)
    for name, text in (
        ("python", reference()),
        ("commands", commands()),
        ("recipes", recipe_pages()),
    ):
        (BUILD / "reference" / f"{name}.md").write_text(text, encoding="utf-8")
    zoo(BUILD / "zoo")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    done = subprocess.run(command, cwd=ROOT).returncode
    if done == 0 and GALLERY.exists():
        shutil.copytree(GALLERY, ROOT / "build/site/gallery", dirs_exist_ok=True)
    return done


if __name__ == "__main__":
    sys.exit(main())
