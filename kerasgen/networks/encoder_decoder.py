"""The Transformer of Vaswani et al. (2017), whole: an encoder and a decoder."""

import keras
from keras import ops

from kerasgen.networks.attention import hiding
from kerasgen.networks.transformer import Transformer


@keras.saving.register_keras_serializable("kerasgen")
class EncoderDecoder(Transformer):
    """Reads a text, and predicts each token of another from it and those before.

    Call: [source int32 `(batch, S)`, target int32 `(batch, T)`], right-padded with 0 ->
    logits of the next target token `(batch, T, vocabulary)`. For the arguments see
    `Transformer`.
    """

    def assemble(self, last_norm):
        self.encoder = self.new_blocks()
        self.decoder = self.new_blocks(cross=True)
        self.norms = [self.new_norm() for _ in range(2 * last_norm)]

    def writer(self):
        return self.decoder, self.norms[1] if self.norms else None

    def call(self, inputs):
        source, target = inputs
        return self.embedding.scores(self.read(target, **self.encode(source))[0])

    def encode(self, source) -> dict:
        """`(batch, S)` -> what `read` and `step` look at: "memory", a cache for each
        block that writes; and "memory_attention_mask", `(batch, 1, 1, S)`, to be taken
        off scores."""
        seen = hiding(source != 0)[:, None, None]
        positions = ops.arange(ops.shape(source)[1])[None]
        norm = self.norms[0] if self.norms else None
        x, _ = self.run(self.encoder, norm, source, positions, seen)
        memory = [block.cross.keys_values(x) for block in self.decoder]
        return {"memory": memory, "memory_attention_mask": seen}


transformer_translator = EncoderDecoder  # as `networks.build` finds it
