"""A new kind is one file and touches no other: it trains, generates to a file of its
own, is judged by its own evaluation, and gets a card and a panel of the gallery."""

import json

import gallery
import numpy as np
import pytest
import tone

from kerasgen import kinds, recipe
from kerasgen.cli import main
from kerasgen.errors import InputError
from kerasgen.kinds import Kind
from kerasgen.kinds.music import Music
from kerasgen.kinds.text import Text

RECIPE = "tests/kinds/tone_digits.yaml"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = str(tmp_path_factory.mktemp("tones") / "run")
    assert main(["train", RECIPE, "--out", out, "--quiet"]) == 0
    return out


def tones(path):
    return np.loadtxt(path, delimiter=",")


def test_it_trains_and_shows_samples(run):
    assert tones(f"{run}/samples/epoch_0020.csv").shape == (64, 64)


def test_it_generates_to_a_file_of_its_own(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["generate", run, "-n", "1", "--seed", "3"]) == 0
    assert capsys.readouterr().out == "1 sample in run.csv\n"
    assert main(["generate", run, "-n", "2", "--seed", "3", "--out", "x.csv"]) == 0
    assert capsys.readouterr().out == "2 samples in x.csv\n"
    both = tones("x.csv")
    np.testing.assert_array_equal(both[0], tones("run.csv"))
    assert main(["generate", run, "--out", "x.png"]) == 2
    assert "samples go to a file that ends in .csv" in capsys.readouterr().err
    assert main(["generate", run, "--prompt", "a"]) == 2
    assert "this model takes no prompt" in capsys.readouterr().err


def test_it_is_judged_by_its_own_evaluation(run, capsys):
    assert main(["evaluate", run]) == 0
    with open(f"{run}/metrics.json") as file:
        found = json.load(file)["figures"]
    assert set(found) == {"loudness_gap"}  # images' own would want images
    assert found["loudness_gap"]["value"] < 0.02
    assert "training tones in place of samples give" in capsys.readouterr().out
    assert main(["evaluate", run, "--only", "tonne"]) == 2
    assert "did you mean tone" in capsys.readouterr().err


def test_it_gets_a_card_and_a_panel(run, tmp_path):
    zoo, site = tmp_path / "zoo", tmp_path / "site"
    site.mkdir()
    out = zoo / "tone_digits"
    arguments = ["--formats", "onnx", "--out", str(out), "--quiet"]
    assert main(["export", run, *arguments]) == 0
    assert main(["verify", str(out), "--quiet"]) == 0
    first = (out / "samples.csv").read_text().splitlines()[0]
    card = (out / "README.md").read_text()
    assert f"```\n{first}\n```\n\n[More samples](samples.csv)" in card
    entry = gallery.Entry(out)
    assert entry.panels == {"samples": "generate"} and first in entry.link()
    entry.write(site)
    page = site / "tone_digits"
    assert (page / "kind.js").read_text() == tone.Tone.script
    assert '"panels": {"samples": "generate"}' in (page / "index.html").read_text()
    assert (page / "onnx" / "generate.onnx").exists()
    assert (page / "samples.csv").exists()


def test_kinds_are_found_by_what_is_served():
    def served(outputs, **inputs):
        return {"serve": {"inputs": inputs, "outputs": outputs}}

    assert kinds.of(served(["tones"])).name == "tone"
    assert kinds.of(served(["probabilities"], images={})).name == "image"
    assert kinds.of(served(["output_ids"], images={})).name == "text"
    with pytest.raises(InputError, match="no input or output of a known kind: name"):
        kinds.of(served(["odours"], seed={}))


@pytest.mark.parametrize(
    ("name", "base", "values", "line"),
    [
        ("Image", Kind, {}, "kerasgen.kinds.image has one of that name: rename it"),
        (
            "Other",
            Kind,
            {"evaluations": ["mine.samples"]},
            "kerasgen.metrics.samples is the evaluation samples already",
        ),
        ("Poem", Text, {"names": Text.names}, "are of the kind text: name others, or"),
        ("Chant", Music, {"names": Text.names}, "are of the kind music: name others"),
        ("Silent", Kind, {"suffixes": ()}, "say by suffixes what files of its samples"),
    ],
)
def test_no_kind_takes_the_place_of_another(name, base, values, line):
    before = dict(Kind.known)
    values = {"names": frozenset(["tunes"]), "suffixes": [".tune"]} | values
    with pytest.raises(InputError, match=f"kind {name}: .*{line}"):
        type(name, (base,), values)
    assert Kind.known == before


def test_a_kind_may_be_defined_again():
    """As in a notebook."""
    try:
        for suffix in (".a", ".b"):
            values = {"names": frozenset(["tunes"]), "suffixes": [suffix]}
            again = type("Tune", (Kind,), values)
        assert isinstance(Kind.known["tune"], again)
    finally:
        del Kind.known["tune"]


def test_the_names_of_kinds_are_said_once():
    with pytest.raises(InputError) as caught:
        kinds.of({})
    assert str(caught.value).count("output_ids") == 1


def test_the_key_of_a_kind_is_a_value_of_recipes():
    class Verse(Text):
        key = "verses"

    try:
        with pytest.raises(InputError, match="recipe.evaluate has no verses, the key"):
            Kind.known["verse"].suits(recipe.read("gpt_jsb"))
    finally:
        del Kind.known["verse"]
