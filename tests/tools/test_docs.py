"""What documents point at is there."""

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
WRITTEN = {"zoo.md", "python.md", "commands.md", "recipes.md"}  # by tools/docs.py


def exists(path: Path) -> bool:
    return path.exists() or path.name in WRITTEN


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    targets += re.findall(r'src="([^"]+)"', text)
    for target in targets:
        if not target.startswith("http"):
            assert exists(page.parent / target), target


def test_the_site_has_every_page():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = re.findall(r"[\w/-]+\.(?:md|ipynb)", str(config["nav"]))
    assert all(exists(ROOT / "docs" / name) for name in named)
    pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.ipynb")]
    assert {page.relative_to(ROOT / "docs").as_posix() for page in pages} <= set(named)


def test_readme_is_short():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 160


@pytest.mark.parametrize(
    "path", (ROOT / "docs" / "tutorials").glob("*.ipynb"), ids=lambda path: path.name
)
def test_tutorials_have_no_outputs(path):
    """They are made when the site is."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells)
    assert any(cell["cell_type"] == "code" for cell in cells)
