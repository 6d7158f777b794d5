"""Translator: a Transformer that reads one text and writes another."""

from keras import ops

from kerasgen import decoding, inputs, networks
from kerasgen.backend import is_jax
from kerasgen.codec import translations
from kerasgen.decoding.outside import loop_served, named, past, present, unnamed
from kerasgen.decoding.scores import largest
from kerasgen.errors import (
    InputError,
    require,
    require_at_least,
    require_positive,
    require_share,
)
from kerasgen.ids import check_texts, tidy
from kerasgen.models.base import Model
from kerasgen.models.phase import Phase
from kerasgen.models.texts import (
    PredictsTokens,
    mean_of_tokens,
    reads_first,
    string_served,
)
from kerasgen.networks.attention import hiding
from kerasgen.signature import served
from kerasgen.tokenizers import END

MARK = "⏎"  # stands for END where tokens are shown


class Translator(PredictsTokens, Model):
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
    writes = "y"
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
        require_positive(beam=beam)
        require_at_least(0, length_penalty=length_penalty)
        require_share(label_smoothing=label_smoothing)
        self.take_texts(tokenizer, context)
        most = self.tokenizer.size // 2 - 1
        require(beam <= most, "beam", f"at most {most}, of so many tokens", beam)
        self.beam, self.length_penalty = beam, length_penalty
        self.label_smoothing = label_smoothing
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
        batch = {"source_ids": self.ids(x)}
        return batch if y is None else batch | {"target_ids": self.ids(y, whole=True)}

    def check(self, x, y=None, labelled=True):
        """See `kerasgen.models.base.Model`."""
        if isinstance(x, dict):
            return
        check_texts(x, self.tokenizer.size, "sources")
        if y is not None:
            check_texts(y, self.tokenizer.size, "targets")
        elif labelled:
            raise InputError("a translator learns from pairs: give (sources, targets)")

    def sequence(self, batch):
        if "target_ids" not in batch:
            raise InputError(
                "a translator needs pairs, (sources, targets), but to `translate`"
            )
        return batch["target_ids"]

    def phases(self):
        return [Phase("translator", [self.network], self.example_losses, ["loss"])]

    def example_losses(self, batch, noise, training):
        """-log p(token | source, those before), nats, the mean of each row; in training
        the cross-entropy from smoothed targets."""
        logits, targets = self.call(batch, training), self.sequence(batch)[:, 1:]
        nats = ops.sparse_categorical_crossentropy(targets, logits, from_logits=True)
        a = self.label_smoothing
        if training and a:
            uniform = ops.logsumexp(logits, axis=-1) - ops.mean(logits, axis=-1)
            nats = (1.0 - a) * nats + a * uniform
        return {"loss": mean_of_tokens(nats, targets)}

    def call(self, inputs, training=False):
        """A batch of `preprocess` -> logits of all target tokens but the first."""
        batch = inputs if isinstance(inputs, dict) else self.preprocess(inputs)
        both = [batch["source_ids"], self.sequence(batch)[:, :-1]]
        return self.network(both, training=training)

    # What it serves.

    @string_served(
        {"text": inputs.text},
        ["translation"],
        name="translate",
        loops=True,
        about=lambda model: (
            f"Beam search: {model.beam}, length penalty {model.length_penalty:g}"
        ),
    )
    def translated(self, text):
        """Strings `(batch,)` -> strings `(batch,)`."""
        import tensorflow as tf

        text = tf.where(tf.strings.strip(text) == "", "", text)
        return self.tokenizer.strings(self.searched(self.codec.tensor(text)))

    @served(
        {"token_ids": inputs.prompt},
        ["output_ids"],
        name="translate_ids",
        loops=True,
        int8=True,
        about=reads_first,
    )
    def translated_ids(self, token_ids):
        """As `searched`, of rows as clients send them."""
        return self.searched(self._tidy(token_ids))

    def searched(self, token_ids):
        """`(batch, S)` -> `(batch, T)`, right-padded with 0: no longer than the context
        and 10 tokens more than twice the source; of a source without text, nothing."""
        room = self.context if is_jax() else None  # JAX wants shapes that are known
        found = decoding.beam_search(
            *self.decoder(**self.network.encode(token_ids)).beams(self.beam, room),
            self._limits(token_ids),
            self.beam,
            start=END,
            stop=END,
            length_penalty=self.length_penalty,
            room=room,
        )
        return ops.where(ops.max(token_ids, axis=1, keepdims=True) > END, found, 0)

    @loop_served({"token_ids": inputs.token_ids}, [present("encoder")])
    def encode_source(self, token_ids):
        """The caches of what is read, for a loop outside of the file."""
        return named(self.network.encode(token_ids)["memory"], "encoder")

    @loop_served(
        {
            "input_ids": inputs.last_token,
            "encoder_attention_mask": inputs.mask,
            "past": past("decoder"),
            "memory": past("encoder"),
        },
        ["logits", present("decoder")],
    )
    def decode_step(self, input_ids, encoder_attention_mask, **past):
        """One more token a row: its logits `(batch, vocabulary)`, and longer caches."""
        caches, memory = (
            unnamed(past, self.network.depth, side) for side in ("decoder", "encoder")
        )
        seen = hiding(encoder_attention_mask)[:, None, None]
        decoder = self.decoder(memory=memory, memory_attention_mask=seen)
        position = ops.reshape(ops.shape(caches[0][0])[2], (1,))
        logits, caches = decoder.step(input_ids[:, 0], position, caches)
        return {"logits": logits} | named(caches, "decoder")

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
            longest = int(largest(self._limits(token_ids)))
            outputs = {key: ids[:, :longest] for key, ids in outputs.items()}
        return outputs

    def translate(self, texts) -> list[str]:
        """Translations of texts.

        Raises:
            InputError: for a text that doesn't fit the context, or has characters that
                the tokenizer doesn't know.
        """
        return translations(self.serve, self.codec, texts)

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
        looks, memory = [], self.network.encode(source)
        self.network.read(target, **memory, watch=looks.append)
        weights = ops.mean(ops.stack(looks), axis=(0, 2))[0]
        read, written = map(self.tokenizer.shown, (text, translation))
        return ops.convert_to_numpy(weights), [*written, MARK], [MARK, *read]
