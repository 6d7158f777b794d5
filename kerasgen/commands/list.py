"""List recipes, and which of them are trained in saved_models; or models of the hub."""

import json
import shutil
import sys

from kerasgen import catalog, hub


def run(options):
    if options.hub:
        rows, line = hub.index(), _model
    else:
        rows, line = catalog.list_recipes(), _recipe
    if options.json:
        print(json.dumps({"models" if options.hub else "recipes": rows}, indent=1))
        return
    table = [line(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for cells in table:
        padded = [f"{c:{w}}" for c, w in zip(cells[:-1], widths[:-1], strict=True)]
        text = "  ".join([*padded, cells[-1]])
        print(text if width is None or len(text) <= width else text[: width - 1] + "…")


def _recipe(row: dict) -> list[str]:
    trained = "trained" if row["artifact"] else ""
    return [row["name"], trained, row["family"], row["description"]]


def _model(row: dict) -> list[str]:
    sizes = "  ".join(f"{k} {v / 1e6:.1f}" for k, v in row["bytes"].items() if v)
    return [row["name"], f"v{row['version']}", f"{sizes} MB", row["description"]]
