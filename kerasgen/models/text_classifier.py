"""Text classifier: what is it about, and which words said so?"""

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from kerasgen import inputs, networks
from kerasgen.errors import InputError, require, require_share
from kerasgen.labels import check_labels, label_named, label_numbers
from kerasgen.models.base import Model
from kerasgen.models.phase import Phase
from kerasgen.models.texts import TakesTexts, reads_first, string_served
from kerasgen.models.trainers.feeding import Feed, is_text
from kerasgen.models.user_loss import UserLoss
from kerasgen.networks.attention import hiding
from kerasgen.networks.dropout import Dropout
from kerasgen.rows import in_parts
from kerasgen.signature import served
from kerasgen.tokenizers import END, PAD


def _read_ids(model) -> inputs.Input:
    """The tokens that count, and a mark before them."""
    return dataclasses.replace(inputs.prompt(model), longest=1 + model.context)


class TextClassifier(TakesTexts, UserLoss, Model):
    """A network of tokens, and attention pooling (Yang et al., 2016, eq. 5 to 7).

    A plain Keras classifier of texts: `compile(loss=, metrics=)` and `fit(texts,
    labels, class_weight=, sample_weight=)` do what they do everywhere. Labels are int32
    `(batch,)`, predictions probabilities `(batch, classes)`. Without `loss=` it
    minimises the cross-entropy of labels, in nats.

    Args:
        tokenizer: a `kerasgen.tokenizers.Tokenizer`, or its `values()`.
        context: texts are cut off at this number of tokens.
        labels: names of the classes, at least 2, each another.
        network: tokens -> a vector each: a `keras.Model`, or what
            `kerasgen.networks.build` takes ("ngrams", "attention", "transformer").
        dropout: of the pooled vector.
        label_smoothing: share of the target that all classes get in equal parts, in
            [0, 1), where there is no `loss=`.
        **kwargs: see `kerasgen.models.base.Model`.
    Raises:
        InputError: if a value is out of range, or texts to train on have no labels.
    """

    default_tokenizer = "words"

    def __init__(
        self,
        tokenizer,
        context: int,
        labels,
        network="attention",
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.labels = _names(labels)
        require_share(label_smoothing=label_smoothing)
        self.label_smoothing = label_smoothing
        self.take_texts(tokenizer, context, False, cut=True, labels=self.labels)
        self.network = networks.build(
            "text_encoder", network, self.dtype_policy, vocabulary=self.tokenizer.size
        )
        width = self.network(keras.Input((None,), dtype="int32")).shape[-1]
        self.hidden = layers.Dense(width, activation="tanh", dtype=self.dtype_policy)
        self.score = layers.Dense(1, use_bias=False, dtype="float32")
        self.dropout = Dropout(dropout, dtype=self.dtype_policy)
        self.logits = layers.Dense(len(self.labels), dtype="float32")
        for layer in (self.hidden, self.score, self.logits):
            layer.build((None, width))
        fixed = {"name": "temperature", "trainable": False}
        self.temperature = self.add_weight((), "ones", **fixed)
        self.build()

    def preprocess(self, x, y=None):
        """Texts, or token ids `(batch, T)`, and labels -> {"token_ids"[, "label"]}."""
        batch = x if isinstance(x, dict) else {"token_ids": self.ids(x)}
        return batch if y is None else batch | {"label": ops.convert_to_tensor(y)}

    def check(self, x, y=None, labelled=True):
        """See `kerasgen.models.base.Model`."""
        super().check(x)
        if isinstance(x, dict) and "label" in x:
            return
        if labelled and y is None:
            raise InputError("a classifier learns from labels: give (texts, labels)")
        if labelled:
            check_labels(y, len(self.labels), least=0, names=self.labels)

    def read(self, x, y=None):
        """Labels stay beside what they label: Keras looks there for `class_weight`."""
        if y is not None and is_text(y):
            y = label_named(y, self.labels)
        return self.preprocess(x), y

    def phases(self):
        parts = [self.network, self.hidden, self.score, self.logits]
        return [Phase("classifier", parts, self.example_losses, ["loss", "accuracy"])]

    def example_losses(self, batch, noise, training):
        """Cross-entropy, or the loss of `compile`, and whether the label is the most
        probable class. Training is not calibrated."""
        label, classes = batch["label"], len(self.labels)
        logits, _ = self._read(batch["token_ids"], training)
        probabilities = ops.softmax(logits)
        if self.loss is None:
            a = self.label_smoothing
            target = (1.0 - a) * _one_hot(label, classes) + a / classes
            loss = -ops.sum(target * ops.log_softmax(logits), axis=1)
        else:
            loss = self.user_loss(label, probabilities)
        best = ops.argmax(logits, axis=1)
        right = ops.equal(best, ops.argmax(_one_hot(label, classes), axis=1))
        return {
            "loss": loss,
            "accuracy": ops.cast(right, "float32"),
            "label": label,  # these two for the metrics of `compile`
            "probabilities": probabilities,
        }

    def _read(self, token_ids, training=False):
        """-> logits `(batch, classes)`, attention `(batch, T)`."""
        x = self.network(token_ids, training=training)
        # u = tanh(W h + b), a = softmax(u v), s = sum of a h
        score = self.score(self.hidden(x))[..., 0] - hiding(token_ids != 0)
        attention = ops.softmax(score)
        weights = ops.cast(attention, x.dtype)[:, None]
        pooled = ops.matmul(weights, x)[:, 0]
        return self.logits(self.dropout(pooled, training=training)), attention

    def probabilities(self, token_ids):
        """-> calibrated probabilities, attention; both `(batch, …)` float32."""
        logits, attention = self._read(token_ids)
        attention *= ops.cast(token_ids != 0, "float32")  # of no token: none
        return ops.softmax(logits / self.temperature), attention

    @string_served(
        {"text": inputs.text},
        ["probabilities", "attention", "tokens"],
        about=lambda model: f"Classes: {', '.join(model.labels)}",
    )
    def classify(self, text):
        """Strings `(batch,)` -> as `probabilities`, and what each token stands for."""
        ids = self.codec.tensor(text)
        tokens = ops.take(ops.convert_to_tensor(self.tokenizer.pieces), ids, axis=0)
        return *self.probabilities(ids), tokens

    @served(
        {"token_ids": _read_ids},
        ["probabilities", "attention"],
        int8=True,
        about=reads_first,
    )
    def classify_ids(self, token_ids):
        """As `probabilities`, of rows as clients send them: the mark that they may
        begin with, and what servers fill up, is padding."""
        return self.probabilities(ops.where(token_ids > END, token_ids, PAD))

    def call(self, inputs, training=False):
        """Texts, token ids, or a batch of `preprocess` -> `(batch, classes)`."""
        batch = inputs if isinstance(inputs, dict) else self.preprocess(inputs)
        logits, _ = self._read(batch["token_ids"], training)
        return ops.softmax(logits / self.temperature)

    def calibrate(self, x, y) -> float:
        """Set the temperature that logits are divided by (Guo et al., 2017, section
        4.2) to the one with the least cross-entropy on held-out data.

        Args:
            x: texts, or token ids `(n, T)`.
            y: labels `(n,)`, one-hot rows, or names.
        Returns:
            The temperature, between 0.05 and 20.
        Raises:
            InputError: for what `fit` doesn't take.
        """
        from scipy.optimize import minimize_scalar

        x, y = Feed(self).checked(x, y)
        y = np.asarray(label_numbers(y, self.labels))
        ids = self.codec.ids(x) if is_text(x) else np.asarray(x)
        found = in_parts(self.serve, "classify_ids", {"token_ids": ids})
        p = np.concatenate([part["probabilities"] for part in found]).astype("float64")
        # Logits but for a constant, which softmax takes no notice of.
        logits = np.log(np.maximum(p, 1e-30)) * float(self.temperature)
        rows = np.arange(len(ids))

        def nats(log_temperature):
            z = logits / np.exp(log_temperature)
            top = z.max(axis=1)
            return np.mean(top + np.log(np.exp(z.T - top).sum(axis=0)) - z[rows, y])

        best = minimize_scalar(nats, bounds=np.log([0.05, 20]), method="bounded").x
        self.temperature.assign(np.exp(best))
        return float(self.temperature)


def _names(labels) -> list[str]:
    """The names of classes, checked."""
    listed = isinstance(labels, (Sequence, np.ndarray))
    several = listed and not isinstance(labels, (str, bytes))
    require(several, "labels", "a list of names", labels)
    names = [str(label) for label in labels]
    require(len(names) > 1, "labels", "at least 2", labels)
    require(len({*names}) == len(names), "labels", "each another name", labels)
    return names


def _one_hot(label, classes: int):
    """float32 `(batch, classes)`, of labels `(batch,)`, `(batch, 1)` or one-hot."""
    if len(label.shape) == 2 and label.shape[1] == classes:
        return ops.cast(label, "float32")
    return ops.one_hot(ops.cast(ops.reshape(label, (-1,)), "int32"), classes)
