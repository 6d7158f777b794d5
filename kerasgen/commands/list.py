"""List recipes, and which of them are trained in saved_models."""

import json
import shutil
import sys

from kerasgen import catalog


def run(options):
    rows = catalog.list_recipes()
    if options.json:
        print(json.dumps({"recipes": rows}, indent=1))
        return
    name, family = (max(len(row[key]) for row in rows) for key in ("name", "family"))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in rows:
        trained = "trained" if row["artifact"] else ""
        line = f"{row['name']:{name}}  {trained:7}  {row['family']:{family}}  "
        line += row["description"]
        print(line if width is None or len(line) <= width else line[: width - 1] + "…")
