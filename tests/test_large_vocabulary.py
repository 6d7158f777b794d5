"""Generation with GPT-2's vocabulary: what grows with it is rows of scores alone."""

import resource
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import kerasgen
from kerasgen import backend
from kerasgen.decoding import drawing
from kerasgen.random import row_seeds
from kerasgen.tokenizers import Characters

VOCABULARY = 50_257
TOKENIZER = Characters("".join(chr(0x20000 + i) for i in range(VOCABULARY - 2)))
OPENING = TOKENIZER.characters[0]


def language_model(repetition_penalty, **network):
    network = {"name": "transformer", "style": "gpt2", **network}
    options = {"opening": OPENING, "repetition_penalty": repetition_penalty}
    return kerasgen.LanguageModel(TOKENIZER, 1024, network, **options)


def operations(graph):
    """Of a graph and all functions that it calls: kind, attributes, outputs' shapes."""
    library = graph.as_graph_def(add_shapes=True).library
    for function in library.function:
        for node in function.node_def:
            shapes = [
                [size.size for size in shape.dim]
                for shape in node.attr["_output_shapes"].list.shape
            ]
            yield function.signature.name, node, shapes


@pytest.mark.skipif(backend.is_jax(), reason="looks at TensorFlow's graph")
def test_nothing_in_the_graph_is_larger_than_the_scores():
    model = language_model(1.2, width=8, depth=1, heads=1)
    signature = model.signatures()["generate"]
    function = tf.function(signature.positional(), input_signature=signature.specs())
    graph = function.get_concrete_function().graph
    weights = {VOCABULARY * 8, 1024 * 8}
    sorts, seen = [], 0
    for name, node, shapes in operations(graph):
        assert node.op != "OneHot", name
        if node.op == "TopKV2":
            sorts += [shape[-1] for shape in shapes[:1] if "cond" not in name]
        if node.op == "Const":
            size = np.prod([d.size for d in node.attr["value"].tensor.tensor_shape.dim])
            assert size <= VOCABULARY, (name, node.name)
        for shape in shapes:
            known = np.prod([size for size in shape if size > 0], dtype="int64")
            if VOCABULARY in shape and known not in weights:
                seen += 1
                assert known <= 2 * VOCABULARY, (name, node.name, shape)
    assert seen and set(sorts) == {1}  # sorts are for some rows, in branches


@pytest.mark.skipif(backend.is_jax(), reason="JAX traces both branches")
@pytest.mark.parametrize(
    ("top_k", "top_p", "expected"),
    [(50, 0.9, [256, 1, 1]), (0, 0.9, [256, 1, 1]), (0, 1.0, [1, 1])],
)
def test_a_few_are_sought_where_they_are_enough(monkeypatch, top_k, top_p, expected):
    scores = np.random.default_rng(0).normal(0.0, 8.0, (2, VOCABULARY))
    asked = []

    def top(scores, k, top=drawing.top):
        asked.append(k)
        return top(scores, k)

    monkeypatch.setattr("kerasgen.decoding.scores.top", top)
    monkeypatch.setattr(drawing, "top", top)
    values = np.ones(2, "float32"), np.int32([top_k] * 2), np.float32([top_p] * 2)
    drawing.next_tokens(scores.astype("float32"), row_seeds(0, 2), 0, *values)
    assert asked == expected


def run(*arguments) -> int:
    """The peak of a process of its own, in bytes."""
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return 1024 * int(done.stdout)


@pytest.mark.slow
def test_options_take_hardly_more_memory_than_the_best_token():
    """Batch 8, to 1,024 positions; a one-hot row for each of them would be 1.6 GB."""
    best, drawn = run(0.0, 0, 1.0, 1.0), run(1.0, 50, 0.9, 1.2)
    assert drawn - best <= 200e6


def main(temperature, top_k, top_p, repetition_penalty):
    """Tokens 961 to 1,024 of eight rows."""
    model = language_model(float(repetition_penalty), width=512, depth=4, heads=8)
    ids = np.random.default_rng(0).integers(2, VOCABULARY, (8, 960), dtype="int32")
    values = {"temperature": float(temperature), "top_k": int(top_k)}
    values |= {"top_p": float(top_p), "max_new_tokens": 64}
    rows = {name: np.full(8, value) for name, value in values.items()}
    model.serve("generate", token_ids=ids, seed=row_seeds(0, 8), **rows)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    main(*sys.argv[1:])
