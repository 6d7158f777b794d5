"""BLEU and chrF of translations, against sacreBLEU itself and a count by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import sacrebleu

from kerasgen import recipe
from kerasgen.codec import Codec
from kerasgen.data import Split
from kerasgen.data.text import texts
from kerasgen.metrics.translation import figures, tokenized
from kerasgen.tokenizers import Bytes

WANTED = ["Ein Mann fährt Rad.", "Zwei Hunde spielen im Schnee, heute."]
FOUND = ["Ein Mann fährt ein Rad.", "zwei Hunde spielen im Schnee, heute."]


def test_figures_are_those_of_sacrebleu():
    codec = Codec(Bytes(), True, 64)
    model = SimpleNamespace(codec=codec, beam=5, length_penalty=1.0)
    answers = {"a b c": FOUND[0], "longer": FOUND[1]}

    def serve(name, token_ids):
        assert name == "translate_ids"
        return {"output_ids": codec.ids([answers[t] for t in codec.texts(token_ids)])}

    split = Split(texts(list(answers)), texts(WANTED))
    values = recipe.read("translator_multi30k")
    found = figures(model, serve, split, None, values, lambda steps, *_: steps)
    bleu = sacrebleu.corpus_bleu(FOUND, [WANTED]).score
    assert found["sacrebleu"][0] == pytest.approx(bleu)
    assert "tok:13a" in found["sacrebleu"][3] and "beam 5" in found["sacrebleu"][3]
    chrf = sacrebleu.corpus_chrf(FOUND, [WANTED]).score
    assert found["chrf"][0] == pytest.approx(chrf)

    # By hand: of 6 + 8 tokens, and n-grams within them.
    precisions = [13 / 14, 10 / 12, 7 / 10, 5 / 8]
    expected = 100 * math.exp(np.mean(np.log(precisions)))
    assert found["bleu_tokenized"][0] == pytest.approx(expected)
    assert "tok:none" in found["bleu_tokenized"][3]


def test_tokens_are_those_of_moses():
    assert tokenized(['Er sagt: Das "A&B"-Spiel!'], "de") == [
        'er sagt : das " a & b " -spiel !'
    ]
