"""What a page of the gallery shows: its frame, plots of figures, the card."""

import html
import json
import re
from pathlib import Path

from markdown_it import MarkdownIt


def bars(rows: list[tuple[str, str, float, str]]) -> str:
    """A plot: (name, text, share of the full width, class) a row."""
    lines = []
    for i, (name, text, share, kind) in enumerate(rows):
        y = 34 * i
        lines += [
            f'<text x="0" y="{y + 19}">{html.escape(name)}</text>',
            f'<rect class="track" x="140" y="{y + 4}" width="190" height="20" rx="5"/>',
            f'<rect class="{kind}" x="140" y="{y + 4}" width="{190 * share:.1f}" '
            'height="20" rx="5"/>',
            f'<text class="soft" x="342" y="{y + 19}">{html.escape(text)}</text>',
        ]
    height = 34 * len(rows)
    return f'<svg viewBox="0 0 420 {height}" role="img">{"".join(lines)}</svg>'


def plots(figures: dict, paper: dict) -> str:
    """Fractions on one scale; figures that a paper has, beside the paper's."""
    parts = []
    for name, about in paper.items():
        value = re.match(r"-?\d+(\.\d+)?", str(about))
        if name in figures and value:
            pair = [figures[name]["value"], float(value[0])]
            largest = max(map(abs, pair)) or 1.0
            parts.append(
                bars(
                    [
                        (name, f"{pair[0]:.4g}", abs(pair[0]) / largest, "ours"),
                        ("paper", value[0], abs(pair[1]) / largest, "theirs"),
                    ]
                )
                + f"<p><small>{html.escape(str(about))}</small></p>"
            )
    fractions = [
        (name.replace("_", " "), f"{f['value']:.3f}", f["value"], "ours")
        for name, f in figures.items()
        if f["unit"] == "fraction"
    ]
    parts += [bars(fractions)] if fractions else []
    if not parts:
        return ""
    return f'<section class="figures"><h2>At a glance</h2>{"".join(parts)}</section>'


def page(title: str, body: str, root: str, data: dict | None = None) -> str:
    script = ""
    if data is not None:
        text = json.dumps(data).replace("<", "\\u003c")  # no tag ends within a script
        script = (
            f'<script type="application/json" id="model">{text}</script>\n'
            f'<script type="module" src="{root}site.js"></script>\n'
        )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n"
        f'<link rel="icon" href="data:,">\n'
        f'<link rel="stylesheet" href="{root}style.css">\n</head>\n<body>\n'
        f"{body}\n<footer>Made by kerasgen. Nothing leaves this page: models run in "
        f"your browser.</footer>\n{script}</body>\n</html>\n"
    )


def card(folder: Path) -> str:
    """The artifact's card, as HTML; tables may be wider than a phone."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    text = markdown.render((folder / "README.md").read_text(encoding="utf-8"))
    text = text.replace("<table>", '<div class="scroll"><table>')
    return text.replace("</table>", "</table></div>")
