"""Networks that read a text for a classifier: tokens -> a vector for each."""

import keras
from keras import ops

from kerasgen import random
from kerasgen.errors import require, require_at_least, require_positive
from kerasgen.networks.attention import SingleHeadAttention, hiding
from kerasgen.networks.dropout import Dropout
from kerasgen.networks.transformer_block import (
    STYLES,
    Block,
    check_style,
    normalization,
)


@keras.saving.register_keras_serializable("kerasgen")
class TextEncoder(keras.Model):
    """Embeddings of tokens and of the n-grams that end at each, summed; and attention.

    N-grams share a table, in places that a hash gives them (Joulin et al., 2017).

    Call: int32 `(batch, T)`, right-padded with 0 -> `(batch, T, width)`.

    Args:
        vocabulary: number of tokens.
        width: of the vectors.
        ngrams: the longest n-grams; 1 for tokens alone.
        buckets: places in the table of n-grams.
        dropout: of the numbers in vectors.
        token_dropout: of whole embeddings of tokens and n-grams.
        attention: adds one layer with a single head.
        depth, heads, hidden: then come so many Transformer blocks, with rotary
            positions; see `transformer_block.Block`.
    """

    def __init__(
        self,
        vocabulary,
        width=64,
        ngrams=1,
        buckets=65_536,
        dropout=0.0,
        token_dropout=0.0,
        attention=False,
        depth=0,
        heads=4,
        hidden=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        require_positive(vocabulary=vocabulary, width=width)
        require_positive(ngrams=ngrams, buckets=buckets)
        require(buckets <= 2**23, "buckets", "at most 2^23", buckets)
        require_at_least(0, dropout=dropout, token_dropout=token_dropout)
        self.values = {
            "vocabulary": vocabulary,
            "width": width,
            "ngrams": ngrams,
            "buckets": buckets,
            "dropout": dropout,
            "token_dropout": token_dropout,
            "attention": attention,
            "depth": depth,
            "heads": heads,
            "hidden": hidden,
        }
        self.width, self.ngrams, self.buckets = width, ngrams, buckets
        options = {"dtype": self.dtype_policy}
        self.dropout = Dropout(dropout, **options)
        self.token_dropout = Dropout(token_dropout, **options)
        small = {"initializer": keras.initializers.RandomNormal(stddev=0.02)}
        self.table = self.add_weight(name="table", shape=(vocabulary, width), **small)
        if ngrams > 1:
            shape = (buckets, width)
            self.ngram_table = self.add_weight(name="ngrams", shape=shape, **small)
        self.attention = SingleHeadAttention(width, **options) if attention else None
        self.blocks, self.norm = [], None
        if depth:
            style = "modern"
            check_style(style, width, heads)
            options |= {"hidden": hidden, "dropout": dropout, "depth": depth}
            self.blocks = [Block(width, heads, style, **options) for _ in range(depth)]
            self.norm = normalization(self, STYLES[style])
        self.build((None, None))

    def build(self, input_shape):
        for layer in (self.attention, *self.blocks, self.norm):
            if layer is not None:
                layer.build((*input_shape, self.width))
        self.built = True

    def call(self, token_ids):
        x = self._embedded(self.table, token_ids)
        grams = [token_ids]
        for n in range(2, self.ngrams + 1):
            grams.append(ops.pad(grams[-1], [[0, 0], [1, 0]])[:, :-1])
            place = random.hashed(self.buckets, *grams, n)
            x += self._embedded(self.ngram_table, place)
        x, seen = self.dropout(x), hiding(token_ids != 0)[:, None]
        if self.attention is not None:
            x += self.dropout(self.attention(x, attention_mask=seen))
        for block in self.blocks:
            x, _ = block(x, attention_mask=seen[:, None])
        return x if self.norm is None else self.norm(x)

    def _embedded(self, table, ids):
        x = ops.take(ops.cast(table, self.compute_dtype), ids, axis=0)
        if self.token_dropout.rate:
            x *= self.token_dropout(ops.ones_like(x[..., :1]))
        return x

    def get_config(self):
        return super().get_config() | self.values


def ngrams_text_encoder(
    vocabulary, width=64, ngrams=2, buckets=65_536, dropout=0.0, token_dropout=0.0
):
    """The embeddings alone."""
    return TextEncoder(**locals())


def attention_text_encoder(
    vocabulary, width=64, ngrams=1, buckets=65_536, dropout=0.0, token_dropout=0.0
):
    """And a layer of attention."""
    return TextEncoder(**locals(), attention=True)


def transformer_text_encoder(
    vocabulary,
    width=64,
    depth=2,
    heads=4,
    hidden=None,
    ngrams=1,
    buckets=65_536,
    dropout=0.0,
    token_dropout=0.0,
):
    """And a small Transformer."""
    return TextEncoder(**locals())
