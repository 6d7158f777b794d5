"""What models of texts share: texts, or rows of token ids -> a batch."""

import functools

from keras import ops

from kerasgen import tokenizers
from kerasgen.codec import Codec
from kerasgen.decoding import Cached
from kerasgen.errors import require_positive
from kerasgen.ids import check_texts
from kerasgen.signature import served

# How a model serves strings, which other formats have not.
string_served = functools.partial(served, only="savedmodel", why="strings")


class TakesTexts:
    """Mixin of models that read texts; their constructors call `take_texts`."""

    default_tokenizer = "characters"  # of recipes that name none
    writes: str | None = None  # "x" or "y", the side of an example that it predicts

    def take_texts(self, tokenizer, context: int, ends: bool = True, **options) -> None:
        """Set `tokenizer`, `context` and `codec`.

        Args:
            tokenizer: a `kerasgen.tokenizers.Tokenizer`, or its `values()`.
            context, ends, **options: see `kerasgen.codec.Codec`.
        Raises:
            InputError: if a value is out of range.
        """
        require_positive(context=context)
        self.tokenizer = tokenizers.restored(tokenizer)
        self._arguments["tokenizer"] = self.tokenizer.values()  # as it is saved
        self.context = context
        self.codec = Codec(self.tokenizer, ends, context, **options)

    def ids(self, x, whole: bool = False):
        """Texts, or token ids `(batch, T)` -> int32 `(batch, T)`; texts are cut off at
        the context. If `whole`, a text has its end too: see `tokenizers.marked`."""
        x = ops.convert_to_tensor(x)
        if x.dtype != "string":
            return ops.cast(x, "int32")
        if whole:
            return tokenizers.marked(self.tokenizer, x, self.context)
        return self.codec.tensor(x)

    def check(self, x, y=None, labelled=True):
        """See `kerasgen.models.base.Model`."""
        if not isinstance(x, dict):
            check_texts(x, self.tokenizer.size)


class PredictsTokens(TakesTexts):
    """Mixin of models of sequences: each token is predicted from those before.

    Such a model is its loss, and a `network` that `kerasgen.decoding.Cached` decodes.
    """

    def sequence(self, batch):
        """Of a batch the token ids `(batch, 1 + T)` that are predicted, but the first;
        0 where there is none."""
        raise NotImplementedError

    def row_weights(self, batch):
        """Every token counts the same, however long its text is."""
        return ops.sum(ops.cast(self.sequence(batch)[:, 1:] != 0, "float32"), axis=1)

    def decoder(self, **memory) -> Cached:
        """The network, to be decoded; for `memory` see `Cached`."""
        return Cached(self.network, self.context, **memory)


def reads_first(model) -> str:
    """How much of a text a model reads, for cards."""
    return f"Of a longer text it reads the first {model.context} tokens"


def mean_of_tokens(values, token_ids):
    """Of values `(batch, T)` the mean of each row, where there are tokens: `(batch,)`.
    Of no token it is 0."""
    counts = ops.cast(token_ids != 0, "float32")
    return ops.sum(values * counts, axis=1) / ops.maximum(ops.sum(counts, axis=1), 1.0)
