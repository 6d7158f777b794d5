"""Language model: a Transformer that predicts the next token, and writes on."""

import numpy as np
from keras import ops

from kerasgen import decoding, inputs, networks, tokenizers
from kerasgen.decoding.outside import loop_served, named, past, present, unnamed
from kerasgen.decoding.rooms import Rooms
from kerasgen.errors import InputError, require, require_positive
from kerasgen.ids import tidy
from kerasgen.models.base import GenerativeModel
from kerasgen.models.phase import Phase
from kerasgen.models.texts import PredictsTokens, mean_of_tokens, string_served
from kerasgen.rows import generate_inputs, in_parts
from kerasgen.signature import served


class LanguageModel(PredictsTokens, GenerativeModel):
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
    writes = "x"

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
        require_positive(max_new_tokens=max_new_tokens)
        fits = 0 <= temperature <= 100
        require(fits, "temperature", "at least 0 and at most 100", temperature)
        if max_new_tokens_limit is None:
            max_new_tokens_limit = max(4 * context, max_new_tokens)
        within = f"at least max_new_tokens, {max_new_tokens}"
        enough = max_new_tokens_limit >= max_new_tokens
        require(enough, "max_new_tokens_limit", within, max_new_tokens_limit)
        above = repetition_penalty > 0
        require(above, "repetition_penalty", "above 0", repetition_penalty)
        self.has_ends = opening is None
        self.take_texts(tokenizer, context, self.has_ends)
        first = self.codec.start or self.tokenizer.encode(opening)
        require(len(first) == 1, "opening", "one token", opening)
        self.first = first[0]
        self.max_new_tokens, self.temperature = max_new_tokens, temperature
        self.max_new_tokens_limit = max_new_tokens_limit
        self.repetition_penalty = repetition_penalty
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
        return x if isinstance(x, dict) else {"token_ids": self.ids(x, whole=True)}

    def check(self, x, y=None, labelled=True):
        """See `kerasgen.models.base.Model`."""
        super().check(x)
        if labelled and y is not None and not np.array_equal(x, y):
            raise InputError("a language model learns from texts alone: give no labels")

    def sequence(self, batch):
        return batch["token_ids"]

    def phases(self):
        return [Phase("language_model", [self.network], self.example_losses, ["loss"])]

    def example_losses(self, batch, noise, training):
        """-log p(token | those before), nats, the mean of each row."""
        inputs, targets = batch["token_ids"][:, :-1], batch["token_ids"][:, 1:]
        logits = self.network(inputs, training=training)
        nats = ops.sparse_categorical_crossentropy(targets, logits, from_logits=True)
        return {"loss": mean_of_tokens(nats, targets)}

    def call(self, inputs, training=False):
        """Token ids `(batch, T)`, texts, or a batch of `preprocess` -> logits."""
        batch = inputs if isinstance(inputs, dict) else self.preprocess(inputs)
        return self.network(batch["token_ids"], training=training)

    # What it serves.

    @served(
        {"token_ids": inputs.prompt, "options": inputs.sampling},
        ["output_ids"],
        name="generate",
        loops=True,
        about=lambda model: (
            f"Temperature {model.temperature:g}, and at most {model.max_new_tokens} "
            "new tokens, where none are given; at most "
            f"{model.max_new_tokens_limit} ever"
        ),
    )
    def continued(self, token_ids, **options):
        """Prompts `(batch, T)`, padded with 0, of which the last `context` tokens count
        -> them and what follows."""
        token_ids = tidy(token_ids, self.context, self.has_ends, keep_last=True)
        empty = ops.logical_and(
            ops.arange(ops.shape(token_ids)[1])[None] == 0, token_ids == 0
        )
        return decoding.sample(
            self.decoder(),
            ops.where(empty, self.first, token_ids),
            stop=tokenizers.END if self.has_ends else None,
            forbidden=(0,) if self.has_ends else (0, tokenizers.END),
            limit=self.context if self.network.limited else None,
            repetition_penalty=self.repetition_penalty,
            **options,
        )

    @string_served(
        {"prompt": inputs.text, "options": inputs.sampling},
        ["text"],
        name="complete",
        loops=True,
        about=lambda model: (
            f"Of a longer prompt it reads the last {model.context} tokens"
        ),
    )
    def completed(self, prompt, **options):
        """As `continued`, of strings `(batch,)`."""
        token_ids = self.codec.tensor(prompt, keep_last=True)
        return self.tokenizer.strings(self.continued(token_ids, **options))

    @served(
        {"token_ids": inputs.token_ids},
        ["logits"],
        tolerance=1e-3,  # of numbers that have no bounds
    )
    def logits(self, token_ids):
        """`(batch, T)` -> logits of what follows each token, `(batch, T, …)`."""
        return self.network(token_ids)

    @loop_served({"input_ids": inputs.token_ids}, ["logits", present()])
    def prefill(self, input_ids):
        """`logits`, and the caches of a loop outside of the file."""
        logits, caches = self.decoder().prefill(input_ids)
        return {"logits": logits} | named(caches)

    @loop_served(
        {
            "input_ids": inputs.last_token,
            "attention_mask": inputs.mask_with_last,
            "position_ids": inputs.position,
            "past": past(),
        },
        ["logits", present()],
    )
    def decode_step(self, input_ids, attention_mask, position_ids, **past):
        """One more token a row: its logits `(batch, 1, vocabulary)`, longer caches."""
        logits, caches = self.decoder().step(
            input_ids[:, 0],
            position_ids[:, 0],
            unnamed(past, self.network.depth),
            attention_mask[:, None, None] > 0,
        )
        return {"logits": logits[:, None]} | named(caches)

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
        prompts = [prompt] if isinstance(prompt, (str, bytes)) else prompt
        signature = self.signatures()["generate"].describe()
        conditions["token_ids"] = self.codec.ids(prompts)
        rows = generate_inputs(signature["inputs"], n, seed, conditions)
        parts = in_parts(self.serve, "generate", rows)
        return [text for part in parts for text in self.codec.texts(part["output_ids"])]

    def serve(self, name, **values):
        """As in `Model`; but after `compile(jit_compile=True)` XLA generates."""
        if name != "generate" or not self.wants_xla:
            return super().serve(name, **values)
        if "_rooms" not in self.__dict__:
            rooms = Rooms(self.signatures()[name], self.by_xla, self.context)
            object.__setattr__(self, "_rooms", rooms)
        return self._rooms(values)
