"""Speed of models of text: training steps, generation and beam search."""

import functools
import time
from collections.abc import Callable, Iterator

import keras
import numpy as np
from benchmarks.common import Case, endless, exported, gemm_peak, opened, other_python

import kerasgen
from kerasgen import decoding
from kerasgen.export import onnx
from kerasgen.random import row_seeds
from kerasgen.tokenizers import Bytes, Characters

GPT = {"vocabulary": 258, "context": 1024, "width": 384, "depth": 6, "heads": 6}


def gpt2_shaped(**options) -> kerasgen.LanguageModel:
    """A language model on bytes, of the shape `GPT`."""
    shape = {key: GPT[key] for key in ("width", "depth", "heads")}
    network = {"name": "transformer", "style": "gpt2", **shape}
    model = kerasgen.LanguageModel(Bytes(), GPT["context"], network, opening="\n")
    model.compile(**options)
    return model


def lm_generate() -> Iterator[Case]:
    """200 greedy tokens after 12, at batch 1 and 8.

    Keras against keras_hub's GPT-2, compiled by XLA, and against PyTorch transformers;
    ONNX Runtime against transformers; and Keras at position 1,000 against itself at 100
    (`position`: the ratio is the share of time that a token takes there).
    """
    prompt, new = 12, 200
    model = gpt2_shaped(jit_compile=True)
    session = exported(model, "generate")
    rng = np.random.default_rng(0)

    def inputs(batch, prompt, new):
        ids = rng.integers(2, GPT["vocabulary"], (batch, prompt), dtype="int32")
        options = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "max_new_tokens": new}
        values = {key: np.full(batch, value) for key, value in options.items()}
        values |= {"token_ids": ids, "seed": row_seeds(0, batch)}
        return model.signatures()["generate"].check(values)

    for batch in (1, 8):
        feeds = inputs(batch, prompt, new)

        def ours(feeds=feeds):
            model.serve("generate", **feeds)

        def ours_onnx(feeds=feeds):
            session.run(None, feeds)

        unit = "s/token", batch * new
        yield f"lm_generate/keras_hub/{batch}", ours, keras_hub_gpt2(feeds, new), *unit
        values = GPT | {"mode": "generate", "batch": batch, "prompt": prompt}
        with other_python("lm.py", values) as (_, run):
            peer = functools.partial(run, new)
            yield f"lm_generate/transformers/{batch}", ours, peer, *unit
            yield f"lm_generate/onnx/{batch}", ours_onnx, peer, *unit

    def at(position):
        """40 tokens there, less the time of the prompt and the first."""
        feeds = [inputs(1, position - 20, n) for n in (1, 41)]

        def run() -> float:
            ends = [time.perf_counter()]
            for values in feeds:
                model.serve("generate", **values)
                ends.append(time.perf_counter())
            return (ends[2] - ends[1]) - (ends[1] - ends[0])

        return run

    yield "lm_generate/position", at(1000), at(100), "s/token", 40


def keras_hub_gpt2(feeds: dict, new: int) -> Callable:
    """keras_hub's `generate` of the same shape, at its best setting."""
    import keras_hub

    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=GPT["vocabulary"],
        num_layers=GPT["depth"],
        num_heads=GPT["heads"],
        hidden_dim=GPT["width"],
        intermediate_dim=4 * GPT["width"],
        max_sequence_length=GPT["context"],
    )
    peer = keras_hub.models.GPT2CausalLM(backbone, preprocessor=None)
    peer.compile(sampler="greedy", jit_compile=True)
    ids = np.pad(feeds["token_ids"], [[0, 0], [0, new]])
    rows = {"token_ids": ids, "padding_mask": (ids != 0).astype("int32")}
    return lambda: peer.generate(rows, stop_token_ids=None)


def lm_sample() -> Iterator[Case]:
    """64 tokens after 16, at batch 8, of GPT-2's vocabulary and shape: drawn with
    top_k, top_p and a repetition penalty, against the best ones without."""
    batch, prompt, new, size = 8, 16, 64, 50_257
    tokenizer = Characters("".join(chr(0x20000 + i) for i in range(size - 2)))
    network = {"name": "transformer", "style": "gpt2"}
    network |= {"width": 768, "depth": 12, "heads": 12}
    best = kerasgen.LanguageModel(
        tokenizer, 1024, network, opening=tokenizer.characters[0]
    )
    drawn = best.changed(repetition_penalty=1.2)
    ids = np.random.default_rng(0).integers(2, size, (batch, prompt), dtype="int32")

    def generate(model, **options):
        values = {"max_new_tokens": new, **options}
        rows = {name: np.full(batch, value) for name, value in values.items()}
        model.serve("generate", token_ids=ids, seed=row_seeds(0, batch), **rows)

    ours = functools.partial(generate, drawn, temperature=1.0, top_k=50, top_p=0.9)
    peer = functools.partial(generate, best, temperature=0.0)
    yield "lm_sample", ours, peer, "s/token", batch * new


def lm_step() -> Iterator[Case]:
    """Training steps, context 256, batch 8, against nanoGPT in PyTorch, eager."""
    batch, length, steps = 8, 256, 2
    model = gpt2_shaped(optimizer=keras.optimizers.AdamW(1e-4, global_clipnorm=1.0))
    ids = np.random.default_rng(0).integers(2, GPT["vocabulary"], (batch, length + 1))
    batches = endless(ids.astype("int32"))

    def ours():
        model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)

    values = GPT | {"mode": "train", "batch": batch, "prompt": length + 1}
    with other_python("lm.py", values) as (parameters, run):

        def about(found):
            flops = 6 * (parameters - GPT["context"] * GPT["width"]) * batch * length
            share = flops / found["ours"] / gemm_peak()
            return {
                "parameters": model.count_params(),
                "peer_parameters": parameters,
                "share_of_gemm_peak": share,
            }

        yield "lm_step", ours, lambda: run(steps), "s/step", steps, about


# The shape of translator_multi30k, on sentences of its length.
TRANSLATOR = {"width": 160, "depth": 4, "heads": 4, "hidden": 432}
SENTENCES = {"batch": 32, "source": 16, "target": 20, "beam": 5}


def translate() -> Iterator[Case]:
    """Beam search of forced length, as served (and in ONNX Runtime), against PyTorch
    transformers' MarianMT."""
    tokenizer = Characters("".join(map(chr, range(0x4E00, 0x4E00 + 5998))))
    network = {"name": "transformer", **TRANSLATOR}
    model = kerasgen.Translator(tokenizer, 64, network, beam=SENTENCES["beam"])

    def forced(token_ids):
        decoder = model.decoder(**model.network.encode(token_ids))
        limits = 0 * token_ids[:, 0] + SENTENCES["target"]
        options = {"start": 1, "stop": 1, "forbidden": (0, 1)}  # so that none ends
        found = decoding.beam_search(
            *decoder.beams(model.beam), limits, model.beam, **options
        )
        return {"output_ids": found}

    inputs = model.signatures()["translate_ids"].inputs
    signature = model.signature(forced, inputs, ["output_ids"])
    proto = onnx.convert(signature, {})
    session = opened(proto)
    shape = SENTENCES["batch"], SENTENCES["source"]
    ids = np.random.default_rng(0).integers(2, tokenizer.size, shape, dtype="int32")

    def ours():
        signature(token_ids=ids)

    def ours_onnx():
        session.run(None, {"token_ids": ids})

    values = TRANSLATOR | SENTENCES | {"vocabulary": tokenizer.size}
    with other_python("translation.py", values) as (parameters, run):

        def peer():
            run(1)

        def about(found):
            both = {"parameters": model.count_params(), "peer_parameters": parameters}
            return both | {"sentences_per_second": 1.0 / found["ours"]}

        unit = "s/sentence", SENTENCES["batch"]
        yield "translate", ours, peer, *unit, about
        yield "translate/onnx", ours_onnx, peer, *unit, about
