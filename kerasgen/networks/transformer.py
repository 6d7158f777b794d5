"""Transformers (Vaswani et al., 2017) that write: a token at a time, with a cache."""

import keras
from keras import ops

from kerasgen.errors import require_positive
from kerasgen.networks.attention import causal_mask
from kerasgen.networks.dropout import Dropout
from kerasgen.networks.embeddings import Embedding
from kerasgen.networks.transformer_block import (
    STYLES,
    Block,
    check_style,
    normalization,
)


class Transformer(keras.Model):
    """What Transformers that predict tokens share: the embedding, and how they read a
    text at once, or one more token.

    A subclass makes its blocks in `assemble`, and says in `writer` which of them write.

    Args:
        vocabulary: number of tokens; one table embeds all.
        context: largest number of positions that one sees.
        width, heads: of the blocks.
        depth: number of blocks, of each side where there are two.
        style: "modern", "gpt2" or "classic" (`transformer_block.STYLES`).
        hidden: see `transformer_block.Block`.
        dropout: in blocks and of embeddings.
        attention_dropout: see `transformer_block.Block`.
        tied: the table of tokens also scores them (Press & Wolf, 2017).
    Raises:
        InputError: if a value is out of range, or doesn't fit another.
    """

    def __init__(
        self,
        vocabulary,
        context,
        width=128,
        depth=4,
        heads=4,
        style="modern",
        hidden=None,
        dropout=0.0,
        attention_dropout=None,
        tied=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        require_positive(vocabulary=vocabulary, context=context, depth=depth)
        require_positive(width=width, heads=heads)
        check_style(style, width, heads)
        self.values = {
            "vocabulary": vocabulary,
            "context": context,
            "width": width,
            "depth": depth,
            "heads": heads,
            "style": style,
            "hidden": hidden,
            "dropout": dropout,
            "attention_dropout": attention_dropout,
            "tied": tied,
        }
        self.context, self.width = context, width
        self.depth, self.heads = depth, heads
        self.embedding = Embedding(
            vocabulary,
            width,
            context,
            STYLES[style]["positions"],
            tied,
            dtype=self.dtype_policy,
        )
        self.dropout = Dropout(dropout, dtype=self.dtype_policy)
        self.assemble(last_norm=STYLES[style]["pre_norm"])
        self.build((None, None))

    def assemble(self, last_norm: bool) -> None:
        """Make the blocks, and, if `last_norm`, what normalises after the last one;
        post-norm blocks end in that themselves."""
        raise NotImplementedError

    def writer(self) -> tuple:
        """The blocks that write, and the last normalisation or None."""
        raise NotImplementedError

    def new_blocks(self, cross: bool = False) -> list:
        """`depth` of them; see `transformer_block.Block`."""
        names = ("style", "hidden", "dropout", "attention_dropout", "depth")
        options = {name: self.values[name] for name in names}
        options |= {"cross": cross, "dtype": self.dtype_policy}
        return [Block(self.width, self.heads, **options) for _ in range(self.depth)]

    def new_norm(self):
        """A new normalisation layer."""
        return normalization(self, STYLES[self.values["style"]])

    def build(self, input_shape):
        for layer in self.layers:
            layer.build((None, None, self.width))
        self.built = True

    @property
    def limited(self) -> bool:
        """Whether there are no positions from `context` on."""
        return STYLES[self.values["style"]]["positions"] == "learned"

    def read(self, token_ids, **options):
        """Tokens `(batch, T)` -> the last layer at each `(batch, T, width)`, caches.

        `options` are those of `run`.
        """
        length = ops.shape(token_ids)[1]
        positions, mask = ops.arange(length)[None], causal_mask(length)
        return self.run(*self.writer(), token_ids, positions, mask, **options)

    def step(self, token_ids, positions, mask=None, **options):
        """One more token a row: logits `(rows, vocabulary)`, and a cache a block.

        Args:
            token_ids: int32 `(rows,)`.
            positions: int32 `(rows,)`, or `(1,)` where all rows have the same.
            mask: `(rows or 1, 1, 1, S)`, what the token may see: of `recent` or itself,
                then of `past`; None for all.
            **options: see `run`.
        """
        if self.limited:  # rows that are done stay at the last one
            positions = ops.minimum(positions, self.context - 1)
        positions = positions[:, None]
        x, caches = self.run(*self.writer(), token_ids, positions, mask, **options)
        return self.embedding.scores(x), caches

    def run(
        self,
        blocks,
        norm,
        token_ids,
        positions,
        mask,
        past=(),
        recent=(),
        memory=(),
        **options,
    ):
        """Tokens through blocks -> the last layer, and what each block has of them.

        Args:
            past: lists of caches, one a block; see `Block.call`.
            recent, memory: a cache a block, or none; see there.
            **options: the same for all blocks; see `Block.call`.
        """
        x = self.dropout(self.embedding(token_ids, positions))
        past = list(zip(*past, strict=True))
        each = {"past": past, "recent": recent, "memory": memory}
        caches = []
        for i, block in enumerate(blocks):
            own = {name: every[i] for name, every in each.items() if every}
            x, cache = block(
                x, attention_mask=mask, positions=positions, **own, **options
            )
            caches.append(cache)
        return (x if norm is None else norm(x)), caches

    def get_config(self):
        return super().get_config() | self.values


@keras.saving.register_keras_serializable("kerasgen")
class CausalTransformer(Transformer):
    """A decoder-only Transformer: each position sees itself and those before.

    Call: int32 `(batch, T)` -> logits of the next token `(batch, T, vocabulary)`. For
    the arguments see `Transformer`.
    """

    def assemble(self, last_norm):
        self.blocks = self.new_blocks()
        self.norm = self.new_norm() if last_norm else None

    def writer(self):
        return self.blocks, self.norm

    def call(self, token_ids):
        return self.embedding.scores(self.read(token_ids)[0])


transformer_language_model = CausalTransformer  # as `networks.build` finds it
