"""Networks that read a text for a classifier: tokens -> a vector for each."""

import keras
from keras import ops

from kerasgen import random
from kerasgen.errors import require, require_at_least, require_positive
from kerasgen.networks.attention import SingleHeadAttention, bias
from kerasgen.networks.dropout import Dropout
from kerasgen.networks.transformer import STYLES, Block, check_style, normalization


class TextEncoder(keras.Model):
    """Embeddings of tokens, and of the n-grams that end at each, summed.

    Joulin et al. (2017): n-grams share a table, in places that a hash gives them.

    Call: int32 `(batch, T)`, right-padded with 0 -> `(batch, T, width)`.

    Args:
        vocabulary: number of tokens.
        width: of the vectors.
        ngrams: the longest n-grams; 1 for tokens alone.
        buckets: places in the table of n-grams.
        dropout: of the numbers in vectors.
        token_dropout: of whole embeddings of tokens and n-grams.
    """

    def __init__(
        self,
        vocabulary,
        width=64,
        ngrams=1,
        buckets=65_536,
        dropout=0.0,
        token_dropout=0.0,
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
        }
        self.vocabulary, self.width = vocabulary, width
        self.ngrams, self.buckets = ngrams, buckets
        self.dropout = Dropout(dropout, dtype=self.dtype_policy)
        self.token_dropout = Dropout(token_dropout, dtype=self.dtype_policy)
        small = {"initializer": keras.initializers.RandomNormal(stddev=0.02)}
        self.table = self.add_weight(name="table", shape=(vocabulary, width), **small)
        if ngrams > 1:
            shape = (buckets, width)
            self.ngram_table = self.add_weight(name="ngrams", shape=shape, **small)
        self.build((None, None))

    def call(self, token_ids):
        x = self._embedded(self.table, token_ids)
        before = token_ids
        shifted = [token_ids]
        for n in range(2, self.ngrams + 1):
            before = ops.pad(before, [[0, 0], [1, 0]])[:, :-1]
            shifted.append(before)
            place = random.hashed(self.buckets, *shifted, n)
            x += self._embedded(self.ngram_table, place)
        return self.dropout(x)

    def _embedded(self, table, ids):
        x = ops.take(ops.cast(table, self.compute_dtype), ids, axis=0)
        if self.token_dropout.rate:
            x *= self.token_dropout(ops.ones_like(x[..., :1]))
        return x

    def get_config(self):
        return super().get_config() | self.values


@keras.saving.register_keras_serializable("kerasgen")
class NgramEncoder(TextEncoder):
    """These embeddings alone."""


@keras.saving.register_keras_serializable("kerasgen")
class AttentionEncoder(TextEncoder):
    """And what one layer of attention, with a single head, adds to them."""

    def build(self, input_shape):
        self.attention = SingleHeadAttention(self.width, dtype=self.dtype_policy)
        self.attention.build((*input_shape, self.width))
        self.built = True

    def call(self, token_ids):
        x = super().call(token_ids)
        seen = bias(token_ids != 0)[:, None]
        return x + self.dropout(self.attention(x, attention_mask=seen))


@keras.saving.register_keras_serializable("kerasgen")
class TransformerEncoder(TextEncoder):
    """And Transformer blocks on them, with rotary positions.

    Args:
        depth, heads, hidden: of the blocks; see `transformer.Block`.
    """

    def __init__(
        self,
        vocabulary,
        width=64,
        depth=2,
        heads=4,
        hidden=None,
        ngrams=1,
        buckets=65_536,
        dropout=0.0,
        token_dropout=0.0,
        **kwargs,
    ):
        options = (width, ngrams, buckets, dropout, token_dropout)
        super().__init__(vocabulary, *options, **kwargs)
        require_positive(depth=depth, heads=heads)
        style = "modern"
        check_style(style, width, heads)
        self.values |= {"depth": depth, "heads": heads, "hidden": hidden}
        options = {"hidden": hidden, "dropout": dropout, "dtype": self.dtype_policy}
        self.blocks = [
            Block(width, heads, style, depth=depth, **options) for _ in range(depth)
        ]
        self.norm = normalization(self, STYLES[style])
        for layer in [*self.blocks, self.norm]:
            layer.build((None, None, width))

    def call(self, token_ids):
        x = super().call(token_ids)
        seen = bias(token_ids != 0)[:, None, None]
        for block in self.blocks:
            x, _ = block(x, attention_mask=seen)
        return self.norm(x)


ngrams_text_encoder = NgramEncoder
attention_text_encoder = AttentionEncoder
transformer_text_encoder = TransformerEncoder
