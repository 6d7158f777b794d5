"""Translator: a Transformer that reads one text and writes another."""

import numpy as np
from keras import ops

from kerasgen import decoding, networks, tokenizers
from kerasgen import inputs as s
from kerasgen.backend import is_jax
from kerasgen.codec import Codec
from kerasgen.errors import InputError, require, require_at_least, require_positive
from kerasgen.ids import check_texts, tidy
from kerasgen.models.base import Model
from kerasgen.models.phase import Phase
from kerasgen.networks.attention import hiding
from kerasgen.tokenizers import END, marked


class Translator(Model):
    """An encoder-decoder Transformer (Vaswani et al., 2017) on one vocabulary.

    Trained on pairs of texts, `fit(sources, targets)`: translations, or a text and its
    title. Texts are token 1 and their tokens; targets end with token 1.

    Args:
        tokenizer: a `kerasgen.tokenizers.Tokenizer`, or its `values()`.
        context: the largest number of tokens of a text; in training longer ones are cut
            off.
        network: [source, target] tokens -> logits, and its parts: an `EncoderDecoder`,
            or what `kerasgen.networks.build` takes ("transformer").
        beam: how many sequences are looked at together; 1 takes the best token.
        length_penalty: see `kerasgen.decoding.beam_search`.
        label_smoothing: share of the target that all tokens get in equal parts, in
            [0, 1) (Szegedy et al., 2016), in training.
        **kwargs: see `kerasgen.models.base.Model`.
    Raises:
        InputError: if a value is out of range.
    """

    prefers_xla = True
    default_tokenizer, writes = "characters", "y"
    target_shape = (None,)

    def __init__(
        self,
        tokenizer,
        context: int,
        network="transformer",
        beam: int = 5,
        length_penalty: float = 1.0,
        label_smoothing: float = 0.1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        require_positive(context=context, beam=beam)
        require_at_least(0, length_penalty=length_penalty)
        within = 0.0 <= label_smoothing < 1.0
        require(within, "label_smoothing", "in [0, 1)", label_smoothing)
        self.tokenizer = tokenizers.restored(tokenizer)
        self._arguments["tokenizer"] = self.tokenizer.values()  # as it is saved
        most = self.tokenizer.size // 2 - 1
        require(beam <= most, "beam", f"at most {most}, of so many tokens", beam)
        self.context, self.beam = context, beam
        self.length_penalty, self.label_smoothing = length_penalty, label_smoothing
        self.codec = Codec(self.tokenizer, True, context)
        self.network = networks.build(
            "translator",
            network,
            self.dtype_policy,
            vocabulary=self.tokenizer.size,
            context=context,
        )
        self.build()

    def preprocess(self, x, y=None):
        """Texts, or token ids `(batch, T)`, of both sides -> {"source_ids",
        "target_ids"}, of which all but the first are predicted."""
        if isinstance(x, dict):
            return x
        x = ops.convert_to_tensor(x)
        text = x.dtype == "string"
        batch = {"source_ids": self.codec.tensor(x) if text else ops.cast(x, "int32")}
        if y is not None:
            y = ops.convert_to_tensor(y)
            ids = marked(self.tokenizer, y, self.context) if text else y
            batch["target_ids"] = ops.cast(ids, "int32")
        return batch

    def check(self, x, y=None, labelled=True):
        """See `kerasgen.models.base.Model`."""
        if isinstance(x, dict):
            return
        check_texts(x, self.tokenizer.size, "sources")
        if y is not None:
            check_texts(y, self.tokenizer.size, "targets")
        elif labelled:
            raise InputError("a translator learns from pairs: give (sources, targets)")

    def row_weights(self, batch):
        """Every token counts the same, however long its text is."""
        targets = self._targets(batch)
        return ops.sum(ops.cast(targets[:, 1:] != 0, "float32"), axis=1)

    def phases(self):
        return [Phase("translator", [self.network], self.example_losses, ["loss"])]

    def example_losses(self, batch, noise, training):
        """-log p(token | source, those before), nats, the mean of each row; in training
        the cross-entropy from smoothed targets."""
        target = self._targets(batch)
        inputs, target = target[:, :-1], target[:, 1:]
        logits = self.network([batch["source_ids"], inputs], training=training)
        nats = ops.sparse_categorical_crossentropy(target, logits, from_logits=True)
        a = self.label_smoothing
        if training and a:
            uniform = ops.logsumexp(logits, axis=-1) - ops.mean(logits, axis=-1)
            nats = (1.0 - a) * nats + a * uniform
        counts = ops.cast(target != 0, "float32")
        total = ops.maximum(ops.sum(counts, axis=1), 1.0)
        return {"loss": ops.sum(nats * counts, axis=1) / total}

    def _targets(self, batch):
        if "target_ids" not in batch:
            raise InputError(
                "a translator needs pairs, (sources, targets), but to `translate`"
            )
        return batch["target_ids"]

    def call(self, inputs, training=False):
        """A batch of `preprocess` -> logits of all target tokens but the first."""
        batch = inputs if isinstance(inputs, dict) else self.preprocess(inputs)
        both = [batch["source_ids"], self._targets(batch)[:, :-1]]
        return self.network(both, training=training)

    # Decoding.

    def translated(self, token_ids):
        """`(batch, S)` -> `(batch, T)`, right-padded with 0: no longer than the context
        and 10 tokens more than twice the source; of a source without text, nothing."""
        memories, seen = self.network.encode(token_ids)
        room = self.context if is_jax() else None  # JAX wants shapes that are known

        def step(last, t, past):
            return self.network.step(last, t, past, memories, seen, self.beam, room)

        found = decoding.beam_search(
            step,
            self.network.empty(memories, self.beam, room),
            self._limits(token_ids),
            self.beam,
            start=END,
            stop=END,
            length_penalty=self.length_penalty,
            room=room,
        )
        return ops.where(ops.max(token_ids, axis=1, keepdims=True) > END, found, 0)

    def _tidy(self, token_ids):
        return tidy(token_ids, self.context, starts=True)

    def _limits(self, token_ids):
        lengths = ops.sum(ops.cast(token_ids != 0, "int32"), axis=1)
        return ops.minimum(2 * lengths + 10, self.context)

    def serve(self, name, **inputs):
        """See `kerasgen.models.base.Model`; rows are as long as in TensorFlow."""
        outputs = super().serve(name, **inputs)
        if is_jax() and name == "translate_ids":
            token_ids = self._tidy(ops.convert_to_tensor(inputs["token_ids"], "int32"))
            longest = int(decoding.largest(self._limits(token_ids)))
            outputs = {key: ids[:, :longest] for key, ids in outputs.items()}
        return outputs

    def translate(self, texts) -> list[str]:
        """Translations of texts.

        Raises:
            InputError: for a text that doesn't fit the context, or has characters that
                the tokenizer doesn't know.
        """
        return translations(self.serve, self.codec, list(texts))

    def attention(self, text: str, translation: str | None = None):
        """What each token of a translation looked at, for `pictures.heatmap`.

        Args:
            text: the source.
            translation: any text; None, the model's own.
        Returns:
            float32 weights `(T, S)`, the mean over blocks and heads, each row of sum 1;
            the T parts that are written, the last of them "⏎", the end; and the S parts
            that are read, the first of them "⏎", the mark that a text begins with.
        Raises:
            InputError: as `translate`.
        """
        if translation is None:
            (translation,) = self.translate([text])
        source, target = self.codec.ids([text]), self.codec.ids([translation])
        looks = []
        self.network.read(target, *self.network.encode(source), looks.append)
        weights = ops.mean(ops.stack(looks), axis=(0, 2))[0]
        read, written = map(self.tokenizer.shown, (text, translation))
        return ops.convert_to_numpy(weights), [*written, MARK], [MARK, *read]

    def facts(self):
        return [
            f"Beam search: {self.beam}, length penalty {self.length_penalty:g}",
            f"Of a longer text it reads the first {self.context} tokens",
        ]

    def signatures(self):
        size = self.tokenizer.size
        ids = s.token_ids(size, self.context)

        def translate(text):
            import tensorflow as tf

            text = tf.where(tf.strings.strip(text) == "", "", text)
            output = self.translated(self.codec.tensor(text))
            return {"translation": self.tokenizer.strings(output)}

        def encode_source(token_ids):
            memories, _ = self.network.encode(token_ids)
            return _named("present", "encoder", memories)

        def decode_step(input_ids, encoder_attention_mask, **past):
            caches, memories = (
                [
                    tuple(past[f"past_key_values.{i}.{side}.{part}"] for part in PARTS)
                    for i in range(self.network.depth)
                ]
                for side in ("decoder", "encoder")
            )
            t = ops.shape(caches[0][0])[2]
            seen = hiding(encoder_attention_mask)[:, None, None]
            logits, caches = self.network.step(
                input_ids[:, 0], t, caches, memories, seen
            )
            return {"logits": logits} | _named("present", "decoder", caches)

        heads, width = self.network.heads, self.network.width
        cache = s.Input((heads, None, width // heads))
        every = [(cache, cache)] * self.network.depth
        own_loop = {"only": "onnx", "why": "made for a loop outside of the file"}
        return {
            "translate": self.signature(
                translate,
                {"text": s.Input((), "string")},
                ["translation"],
                examples=self._texts,
                loops=True,
                only="savedmodel",
                why="strings",
            ),
            "translate_ids": self.signature(
                lambda token_ids: {
                    "output_ids": self.translated(self._tidy(token_ids))
                },
                {"token_ids": s.token_ids(size)},
                ["output_ids"],
                examples=self._sources,
                loops=True,
                int8=True,
            ),
            "encode_source": self.signature(
                encode_source,
                {"token_ids": ids},
                [*_named("present", "encoder", every)],
                examples=self._sources,
                tolerance=1e-3,  # of numbers that have no bounds
                **own_loop,
            ),
            "decode_step": self.signature(
                decode_step,
                {
                    "input_ids": s.Input((1,), "int32", 0, size, outside=0),
                    "encoder_attention_mask": s.Input((None,), "int32", 0, 2),
                }
                | _named("past_key_values", "decoder", every)
                | _named("past_key_values", "encoder", every),
                ["logits", *_named("present", "decoder", every)],
                tolerance=1e-3,
                examples=self._steps,
                **own_loop,
            ),
        }

    # Examples for verification.

    def _sources(self, batch, rng, length):
        ids = rng.integers(2, self.tokenizer.size, (batch, length), dtype="int32")
        lengths = rng.integers(1, length + 1, batch)
        lengths[0] = length
        ids[:, 0] = END
        return {"token_ids": ids * (np.arange(length) < lengths[:, None])}

    def _steps(self, batch, rng, length):
        mask = rng.integers(0, 2, (batch, length), dtype="int32")
        mask[:, 0] = 1  # no text is empty: it begins with a mark
        return {"encoder_attention_mask": mask}

    def _texts(self, batch, rng, length):
        texts = self.codec.texts(self._sources(batch, rng, length)["token_ids"])
        return {"text": np.array([text.encode() for text in texts], "S")}


PARTS = ("key", "value")
MARK = "⏎"


def _named(kind: str, side: str, caches) -> dict:
    """Keys and values of every block, as Hugging Face's Optimum names them."""
    return {
        f"{kind}.{i}.{side}.{part}": tensor
        for i, cache in enumerate(caches)
        for part, tensor in zip(PARTS, cache, strict=True)
    }


def translations(serve, codec, texts, size: int = 32, progress=None) -> list[str]:
    """Translations of texts by a `translate_ids` signature, those of about one length
    together; of a blank text there is nothing to translate.

    Args:
        serve: computes signatures, `(name, **arrays) -> dict`.
        codec: the model's.
        texts: to be translated.
        size: how many at a time.
        progress: wraps an iterable in a bar: `(iterable, title, total)`.
    """
    ids = codec.ids([text if text.strip() else "" for text in texts])
    lengths = (ids != 0).sum(axis=1)
    order = np.argsort(lengths, kind="stable")
    order = [row for row in order if texts[row].strip()]
    starts = range(0, len(order), size)
    found = [""] * len(texts)
    for start in progress(starts, "translating", len(starts)) if progress else starts:
        rows = order[start : start + size]
        part = ids[rows, : max(1, lengths[rows].max())]
        outputs = serve("translate_ids", token_ids=part)["output_ids"]
        for row, text in zip(rows, codec.texts(outputs), strict=True):
            found[row] = text
    return found
