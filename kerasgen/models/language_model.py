"""Language model: a Transformer that predicts the next token, and writes on."""

import functools

import numpy as np
from keras import ops

from kerasgen import decoding, networks, tokenizers
from kerasgen import inputs as s
from kerasgen.codec import Codec
from kerasgen.errors import InputError, require, require_positive
from kerasgen.ids import check_texts, tidy
from kerasgen.models.base import GenerativeModel
from kerasgen.models.phase import Phase
from kerasgen.networks.attention import folded, hiding, joined, updated, written
from kerasgen.rows import generate_inputs, in_parts


class LanguageModel(GenerativeModel):
    """A decoder-only Transformer (Radford et al., 2018).

    Texts begin and end with token 1 (`kerasgen.tokenizers.END`), unless `opening` says
    that it was trained on a text without beginning: then generation starts with that.

    Args:
        tokenizer: a `kerasgen.tokenizers.Tokenizer`, or its `values()`.
        context: the largest number of tokens that one is predicted from.
        network: tokens -> logits, with a cache: a `CausalTransformer`, or what
            `kerasgen.networks.build` takes ("transformer").
        opening: what an empty prompt stands for, one token; None: the beginning.
        max_new_tokens, temperature: the defaults of `generate`; a temperature in
            [0, 100].
        max_new_tokens_limit: the most tokens that a row may ask for, in exported files
            too; None: four contexts, or the default where that is more.
        repetition_penalty: see `kerasgen.decoding.sample`.
        **kwargs: see `kerasgen.models.base.Model`.
    Raises:
        InputError: if a value is out of range.
    """

    prefers_xla = True
    default_tokenizer, writes = "characters", "x"

    def __init__(
        self,
        tokenizer,
        context: int,
        network="transformer",
        opening: str | None = None,
        max_new_tokens: int = 200,
        temperature: float = 1.0,
        repetition_penalty: float = 1.0,
        max_new_tokens_limit: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        require_positive(context=context, max_new_tokens=max_new_tokens)
        fits = 0 <= temperature <= 100
        require(fits, "temperature", "at least 0 and at most 100", temperature)
        if max_new_tokens_limit is None:
            max_new_tokens_limit = max(4 * context, max_new_tokens)
        require_positive(max_new_tokens_limit=max_new_tokens_limit)
        within = f"at least max_new_tokens, {max_new_tokens}"
        enough = max_new_tokens_limit >= max_new_tokens
        require(enough, "max_new_tokens_limit", within, max_new_tokens_limit)
        self.max_new_tokens_limit = max_new_tokens_limit
        above = repetition_penalty > 0
        require(above, "repetition_penalty", "above 0", repetition_penalty)
        self.tokenizer = tokenizers.restored(tokenizer)
        self._arguments["tokenizer"] = self.tokenizer.values()  # as it is saved
        self.context, self.max_new_tokens = context, max_new_tokens
        self.temperature, self.repetition_penalty = temperature, repetition_penalty
        self.has_ends = opening is None
        first = [tokenizers.END] if opening is None else self.tokenizer.encode(opening)
        require(len(first) == 1, "opening", "one token", opening)
        self.first = first[0]
        self.codec = Codec(self.tokenizer, self.has_ends, context)
        object.__setattr__(self, "_by_room", {})  # what XLA has compiled
        self.network = networks.build(
            "language_model",
            network,
            self.dtype_policy,
            vocabulary=self.tokenizer.size,
            context=context,
        )
        self.build()

    def preprocess(self, x, y=None):
        """Texts, or token ids `(batch, T)` -> {"token_ids"}, of which all but the first
        are predicted; texts are cut off at the context."""
        if isinstance(x, dict):
            return x
        x = ops.convert_to_tensor(x)
        if x.dtype == "string":
            return {"token_ids": tokenizers.marked(self.tokenizer, x, self.context)}
        return {"token_ids": ops.cast(x, "int32")}

    def check(self, x, y=None, labelled=True):
        """See `kerasgen.models.base.Model`."""
        if not isinstance(x, dict):
            check_texts(x, self.tokenizer.size)
        if labelled and y is not None and not np.array_equal(x, y):
            raise InputError("a language model learns from texts alone: give no labels")

    def row_weights(self, batch):
        """Every token counts the same, however long its text is."""
        return ops.sum(ops.cast(batch["token_ids"][:, 1:] != 0, "float32"), axis=1)

    def phases(self):
        return [Phase("language_model", [self.network], self.example_losses, ["loss"])]

    def example_losses(self, batch, noise, training):
        """-log p(token | those before), nats, the mean of each row."""
        inputs, targets = batch["token_ids"][:, :-1], batch["token_ids"][:, 1:]
        logits = self.network(inputs, training=training)
        nats = ops.sparse_categorical_crossentropy(targets, logits, from_logits=True)
        counts = ops.cast(targets != 0, "float32")
        total = ops.maximum(ops.sum(counts, axis=1), 1.0)
        return {"loss": ops.sum(nats * counts, axis=1) / total}

    def call(self, inputs, training=False):
        """Token ids `(batch, T)`, texts, or a batch of `preprocess` -> logits."""
        batch = inputs if isinstance(inputs, dict) else self.preprocess(inputs)
        return self.network(batch["token_ids"], training=training)

    # Decoding.

    def begin(self, token_ids, lengths):
        x, caches = self.network.read(token_ids)
        last = ops.take_along_axis(x, (lengths - 1)[:, None, None], axis=1)[:, 0]
        return self.network.embedding.scores(last), (0 * ops.sum(lengths), caches)

    def empty(self, past):
        return self.network.empty(past[1][0][0], decoding.BLOCK)

    def absorb(self, past, recent):
        """Rotary positions have no end, but the cache has: the last `context` ones."""
        forgotten, caches = past
        caches = [joined(a, b) for a, b in zip(caches, recent, strict=True)]
        more = ops.maximum(ops.shape(caches[0][0])[2] - self.context, 0)
        caches = [tuple(part[:, :, more:] for part in cache) for cache in caches]
        return forgotten + more, caches

    def advance(self, token_ids, lengths, t, columns, past, recent):
        forgotten, caches = past
        place, places = t % decoding.BLOCK, ops.arange(decoding.BLOCK)
        before = forgotten + ops.arange(ops.shape(caches[0][0])[2])
        recently = places <= place
        if self.context < decoding.BLOCK:
            recently = ops.logical_and(recently, places > place - self.context)
        seen = [
            ops.logical_and(recently, lengths[:, None] > 0),  # of every row
            self._seen(before, lengths, t, columns),
        ]
        seen = hiding(ops.concatenate(seen, axis=1))[:, None, None]
        here = ops.cast(places == place, recent[0][0].dtype)[:, None]
        options = {"recent": recent, "write": functools.partial(written, here=here)}
        return self.network.step(token_ids, lengths + t, seen, caches, **options)

    def spacious(self, past, room):
        pad = [[0, 0], [0, 0], [0, room], [0, 0]]
        return [tuple(folded(ops.pad(x, pad)) for x in cache) for cache in past[1]]

    def advance_in_place(self, token_ids, lengths, t, columns, cache):
        column = ops.arange(ops.shape(cache[0][0])[1])
        seen = self._seen(column, lengths, t, columns)
        seen = hiding(ops.logical_and(seen, column <= columns + t))[:, None, None]
        write = functools.partial(updated, place=columns + t)
        options = {"recent": cache, "write": write}
        return self.network.step(token_ids, lengths + t, seen, **options)

    def _seen(self, column, lengths, t, columns):
        """What of a long cache the t-th new token may look at: no padding, and of what
        it has the last `context` positions.

        A row's prompt is in the first columns, with padding after it; what is new is in
        those from `columns` on.
        """
        lengths = lengths[:, None]
        seen = ops.logical_or(column < lengths, column >= columns)
        if self.network.limited:  # rows are done at the context
            return seen
        position = ops.where(column < columns, column, lengths + column - columns)
        return ops.logical_and(seen, position > lengths + t - self.context)

    def continued(self, token_ids, seed, **options):
        """Prompts `(batch, T)`, padded with 0, of which the last `context` tokens count
        -> them and what follows."""
        token_ids = tidy(token_ids, self.context, self.has_ends, keep_last=True)
        empty = ops.logical_and(
            ops.arange(ops.shape(token_ids)[1])[None] == 0, token_ids == 0
        )
        token_ids = ops.where(empty, self.first, token_ids)
        return decoding.sample(
            self,
            token_ids,
            seed,
            stop=tokenizers.END if self.has_ends else None,
            forbidden=(0,) if self.has_ends else (0, tokenizers.END),
            limit=self.context if self.network.limited else None,
            repetition_penalty=self.repetition_penalty,
            **options,
        )

    def generate(self, n: int, seed: int = 0, prompt="", **conditions) -> list[str]:
        """n texts.

        Args:
            n, seed: as in `GenerativeModel.generate`.
            prompt: what they begin with, one text or one a row.
            **conditions: temperature (0 takes the best token), top_k (0 for all),
                top_p, max_new_tokens: one value, or one a row.
        Returns:
            The texts, prompts included.
        Raises:
            InputError: for a value out of range, or a prompt that doesn't fit.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        signature = self.signatures()["generate"].describe()
        conditions["token_ids"] = self.codec.ids(prompts)
        rows = generate_inputs(signature["inputs"], n, seed, conditions)
        parts = in_parts(self.serve, "generate", rows)
        return [text for part in parts for text in self.codec.texts(part["output_ids"])]

    def serve(self, name, **values):
        """As in `Model`; but after `compile(jit_compile=True)` XLA generates.

        It compiles for shapes, so rows, prompts and room are rounded up to powers of 2.
        """
        if name != "generate" or not self.wants_xla:
            return super().serve(name, **values)
        signature = self.signatures()[name]
        rows = signature.check(values)
        n, length = rows["token_ids"].shape
        steps = int(rows["max_new_tokens"].max(initial=0))
        room = max(32, _power_of_2(steps))
        if room not in self._by_room:

            def generate(**rows):
                return signature.function(**rows, room=room)

            self._by_room[room] = self.by_xla(generate)
        more = [[0, _power_of_2(n) - n]]
        padded = {key: np.pad(row, more) for key, row in rows.items() if row.ndim == 1}
        columns = [[0, max(16, _power_of_2(length)) - length]]
        padded["token_ids"] = np.pad(rows["token_ids"], more + columns)
        ids = ops.convert_to_numpy(self._by_room[room](**padded)["output_ids"])
        return {"output_ids": ids[:n, : min(max(length, 1), self.context) + steps]}

    def facts(self):
        return [
            f"Temperature {self.temperature:g}, and at most {self.max_new_tokens} new "
            f"tokens, where none are given; at most {self.max_new_tokens_limit} ever",
            f"Of a longer prompt it reads the last {self.context} tokens",
        ]

    def signatures(self):
        size = self.tokenizer.size
        most = self.max_new_tokens_limit
        ids = s.token_ids(size, self.context)
        options = {
            "seed": s.seed(),
            "temperature": s.Input(low=0.0, high=100.0, default=self.temperature),
            "top_k": s.Input((), "int32", low=0, default=0),
            "top_p": s.Input(
                low=1e-6, high=1.0, default=1.0, within="above 0 and at most 1"
            ),
            "max_new_tokens": s.Input(
                (), "int32", low=0, high=most + 1, default=self.max_new_tokens
            ),
        }

        def complete(prompt, **options):
            token_ids = self.codec.tensor(prompt, keep_last=True)
            return {
                "text": self.tokenizer.strings(self.continued(token_ids, **options))
            }

        def prefill(input_ids):
            x, caches = self.network.read(input_ids)
            return {"logits": self.network.embedding.scores(x)} | _named(
                "present", caches
            )

        def decode_step(input_ids, attention_mask, position_ids, **past):
            caches = [
                tuple(past[f"past_key_values.{i}.{part}"] for part in ("key", "value"))
                for i in range(self.network.depth)
            ]
            seen = attention_mask > 0
            seen = ops.concatenate([seen[:, -1:], seen[:, :-1]], axis=1)[:, None, None]
            logits, new = self.network.step(
                input_ids[:, 0], position_ids[:, 0], seen, caches
            )
            caches = [joined(a, b) for a, b in zip(caches, new, strict=True)]
            return {"logits": logits[:, None]} | _named("present", caches)

        heads, width = self.network.heads, self.network.width
        cache = s.Input((heads, None, width // heads))
        past = _named("past_key_values", [(cache, cache)] * self.network.depth)
        present = list(_named("present", [("", "")] * self.network.depth))
        own_loop = {"only": "onnx", "why": "made for a loop outside of the file"}
        return {
            "generate": self.signature(
                lambda **inputs: {"output_ids": self.continued(**inputs)},
                {"token_ids": s.token_ids(size)} | options,
                ["output_ids"],
                examples=self._prompts,
                loops=True,
            ),
            "complete": self.signature(
                complete,
                {"prompt": s.Input((), "string")} | options,
                ["text"],
                examples=self._texts,
                loops=True,
                only="savedmodel",
                why="strings",
            ),
            "logits": self.signature(
                lambda token_ids: {"logits": self.network(token_ids)},
                {"token_ids": ids},
                ["logits"],
                tolerance=1e-3,  # of numbers that have no bounds
            ),
            "prefill": self.signature(
                prefill,
                {"input_ids": ids},
                ["logits", *present],
                tolerance=1e-3,
                **own_loop,
            ),
            "decode_step": self.signature(
                decode_step,
                {
                    "input_ids": s.Input((1,), "int32", 0, size, outside=0),
                    "attention_mask": s.Input((None,), "int32", 0, 2),
                    "position_ids": s.Input((1,), "int32", 0),
                }
                | past,
                ["logits", *present],
                tolerance=1e-3,
                examples=self._steps,
                **own_loop,
            ),
        }

    # Examples for verification.

    def _options(self, batch, rng):
        return {
            "temperature": rng.choice([0.0, 0.7, 1.0], batch).astype("float32"),
            "top_k": rng.choice([0, 3, 10], batch).astype("int32"),
            "top_p": rng.choice([0.8, 1.0], batch).astype("float32"),
            "max_new_tokens": rng.integers(1, 13, batch, dtype="int32"),
        }

    def _prompts(self, batch, rng, length):
        ids = rng.integers(2, self.tokenizer.size, (batch, length), dtype="int32")
        lengths = rng.integers(1, length + 1, batch)
        lengths[0] = length
        return {
            "token_ids": ids * (np.arange(length) < lengths[:, None])
        } | self._options(batch, rng)

    def _texts(self, batch, rng, length):
        ids = self._prompts(batch, rng, length)["token_ids"]
        texts = [text.encode() for text in self.codec.texts(ids)]
        return {"prompt": np.array(texts, "S")} | self._options(batch, rng)

    def _steps(self, batch, rng, length):
        return {
            "attention_mask": np.ones((batch, length + 1), "int32"),
            "position_ids": np.full((batch, 1), length, "int32"),
        }


def _power_of_2(n: int) -> int:
    """The next one: at least n."""
    return 1 << max(0, n - 1).bit_length()


def _named(kind: str, caches) -> dict:
    """Keys and values of every block, as onnxruntime-genai names them."""
    return {
        f"{kind}.{i}.{part}": tensor
        for i, cache in enumerate(caches)
        for part, tensor in zip(("key", "value"), cache, strict=True)
    }
