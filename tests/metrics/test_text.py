"""Nats of a whole split, against a model whose scores are known."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from kerasgen import kinds, recipe
from kerasgen.codec import Codec
from kerasgen.data.text import _split
from kerasgen.kinds import music
from kerasgen.kinds.molecule import Molecule
from kerasgen.metrics import molecules, text
from kerasgen.tokenizers import Characters

SHARES = np.array([0.0, 0.1, 0.2, 0.3, 0.4])  # of padding, the end, "a", "b" and "c"


class Unigram:
    """Predicts every token with its share, whatever came before."""

    writes = "x"

    def __init__(self, windows, context=5, letters="abc"):
        self.codec = Codec(Characters(letters), not windows, context)
        self.windows, self.seen = windows, []

    def signatures(self):
        return {"logits": {"inputs": {"token_ids": {}}, "outputs": ["logits"]}}

    def serve(self, name, token_ids):
        assert name == text.SIGNATURE
        self.seen.append(token_ids)
        with np.errstate(divide="ignore"):
            scores = np.log(SHARES).clip(-1e9) + 3.0
        return {"logits": np.broadcast_to(scores, (*token_ids.shape, 5))}


def figures(model, texts, known=("aab",), **more):
    values = recipe.read("gpt_python_docs", {"evaluate.batch_size": 2} | more)
    values.input.windows = model.windows
    arguments = (_split(texts), _split(known), values, lambda steps, *_: steps)
    return text.figures(model, model.serve, *arguments)


def test_every_token_of_a_long_text_is_predicted_once():
    long = "abccba" * 7  # 41 to predict: nine windows of 5, the last of one
    found = figures(Unigram(True), [long])
    nats = -sum(math.log({"a": 0.2, "b": 0.3, "c": 0.4}[c]) for c in long[1:])
    for suffix in ("", "_strided"):
        value, unit, count, _ = found[f"nats_per_token{suffix}"]
        assert (value, unit, count) == (pytest.approx(nats / 41), "nats", 41)
        assert found[f"nats_per_char{suffix}"][0] == pytest.approx(nats / 42)
        assert found[f"perplexity{suffix}"][0] == pytest.approx(math.exp(nats / 41))


def test_strided_windows_overlap():
    model = Unigram(True, context=6)
    figures(model, ["abc" * 10])
    rows = [row for ids in model.seen for row in ids if (row != 0).all()]
    starts = [row[:4].tolist() for row in rows]
    assert len(model.seen) > 4 and len(starts) > 8


def test_texts_end():
    found = figures(Unigram(False), ["a", "bc"])
    nats = -math.log(0.2) - math.log(0.3) - math.log(0.4) - 2 * math.log(0.1)
    assert found["nats_per_token"][0] == pytest.approx(nats / 5)
    assert found["nats_per_char"][0] == pytest.approx(nats / 5)
    assert set(found) == {"nats_per_token", "nats_per_char", "perplexity"}


def test_single_characters_are_what_nats_stand_beside():
    nats = math.log(4 / 2) + 2 * math.log(4)  # of "c", as if it had been there once
    assert text.by_frequency(["aa", "b"], ["abc"]) == pytest.approx(nats / 3)
    nats = (math.log(5 / 2) + math.log(5 / 2)) / 2  # of one letter and one end
    assert text.by_frequency(["aa", "b"], ["a"], [1]) == pytest.approx(nats)
    found = figures(Unigram(True), ["abc"], known=["aa", "b"])
    line = "single characters, as often as in the training texts, cost 1.155"
    assert found["nats_per_char"][3].endswith(line)
    assert not found["nats_per_token"][3].endswith(line)


def test_of_music_steps_are_counted_too():
    model = Unigram(True, letters="a\nb")
    found = figures(model, ["ab\nab\n"], **{"evaluate.frames": True})
    characters, steps = found["nats_per_char"], found["nats_per_frame"]
    assert steps[0] == pytest.approx(characters[0] * 6 / 2) and steps[2] == 2
    assert "nats_per_frame" not in figures(model, ["ab\nab\n"])


def test_molecules_are_valid_different_and_new():
    pytest.importorskip("rdkit")
    drawn = ["CCO", "OCC", "c1ccccc1", "CC(", "", "CCN"]  # the first two are one

    class Coded:
        def ids(self, prompts):
            return np.ones((1, 1), "int32")

        def texts(self, ids):
            return [drawn[i] for i in ids[:, 0]]

    signature = SimpleNamespace(
        describe=lambda: {
            "inputs": {
                "token_ids": {"dtype": "int32", "range": [0, 9]},
                "seed": {"dtype": "int32", "range": [0, 9]},
            },
            "outputs": ["output_ids"],
        }
    )
    model = SimpleNamespace(signatures=lambda: {"generate": signature}, codec=Coded())

    def serve(name, token_ids, seed):
        return {"output_ids": np.arange(6)[:, None]}

    settings = {"evaluate.molecules": True, "evaluate.samples": 6}
    values = recipe.read("gpt_python_docs", settings)
    known = _split(["CCN", "CCC"])
    arguments = (None, known, values, lambda steps, *_: steps)
    found = molecules.figures(model, serve, *arguments)
    assert found["validity"][0] == pytest.approx(4 / 6)
    assert found["uniqueness"][0] == pytest.approx(3 / 4)
    assert found["novelty"][0] == pytest.approx(2 / 3)
    for value, name in ((True, "molecule"), (False, "text")):
        values.evaluate.molecules = value
        assert kinds.of(model.signatures(), values).name == name


def test_molecules_are_drawn():
    pytest.importorskip("rdkit")
    formula, none = map(Molecule().picture, (["CCO", "CC(", ""], ["CC("]))
    assert formula.shape[2] == 3 and formula.dtype == np.uint8
    assert formula.min() < 128 and none.min() == 255


def test_chorales_are_text_and_music(tmp_path):
    piece = [[60, 55, 48], [60, 55, 48], [], [62, 55]]
    written = music.text(piece)
    assert written.count("\n") == 4
    assert music.steps(written) == [sorted(step) for step in piece]
    music.midi(written).save(tmp_path / "a.mid")
    import mido

    read = mido.MidiFile(tmp_path / "a.mid")
    notes = [m for track in read.tracks for m in track if m.type == "note_on"]
    assert sorted(m.note for m in notes) == [48, 55, 55, 60, 62]  # held, not struck
    ticks = sum(m.time for track in read.tracks for m in track)
    assert ticks == 4 * music.TICKS
