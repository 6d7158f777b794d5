"""What isn't installed is said in one line, with what installs it."""

import ast
import configparser
import importlib.metadata
from pathlib import Path

import pytest

import kerasgen
from kerasgen import cli, extras
from kerasgen.errors import InputError
from kerasgen.kinds import music

ROOT = Path(kerasgen.__file__).parent


@pytest.fixture
def lean(monkeypatch):
    """An installation without any extra."""
    monkeypatch.setattr(extras, "_installed", lambda name: False)
    extras.need.cache_clear()
    yield
    extras.need.cache_clear()


def test_nothing_is_missing_where_all_is_installed():
    for extra in ("export", "text", "molecules", "music", "data", "hub"):
        extras.need(extra)


def test_the_line_names_the_extra_and_installs_what_is_missing(lean):
    expected = r"extra 'music' of kerasgen-zoo: pip install 'mido.*'$"
    with pytest.raises(InputError, match=expected):
        extras.need("music")
    with pytest.raises(InputError, match="'tensorflow-text.*' 'sentencepiece"):
        extras.need("text")


def test_it_comes_before_the_import(lean):
    with pytest.raises(InputError, match="'music'"):
        music.midi("abc")


def test_the_command_line_ends_with_2(lean, capsys, tmp_path):
    out = str(tmp_path / "run")
    assert cli.main(["train", "vae_mnist", "--out", out]) == 2
    assert "the extra 'data'" in capsys.readouterr().err
    assert not Path(out).exists()


def test_every_package_that_is_imported_is_declared():
    """In setup.cfg; those of extras are asked for (`need`) where they are imported."""
    config = configparser.ConfigParser()
    config.read(ROOT.parent / "setup.cfg")
    if "options" not in config:
        pytest.skip("not a checkout")
    required = config["options"]["install_requires"]
    optional = dict(config["options.extras_require"])
    owners = importlib.metadata.packages_distributions()
    for path in ROOT.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            for name in _imported(node):
                if name in ("kerasgen", "__future__") or name in _STANDARD:
                    continue
                names = [_plain(owner) for owner in owners.get(name, [name])]
                if any(_declares(required, each) for each in names):
                    continue
                found = [k for k, v in optional.items() if _declares(v, *names)]
                assert found, f"{path}: {name} is not declared in setup.cfg"


_STANDARD = __import__("sys").stdlib_module_names


def _imported(node):
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [node.module.partition(".")[0]]
    return []


def _plain(name):
    return name.lower().replace("_", "-").replace(".", "-")


def _declares(lines, *names):
    declared = {_plain(line.split(">=")[0].split("[")[0]) for line in lines.split()}
    return any(name in declared for name in names)
