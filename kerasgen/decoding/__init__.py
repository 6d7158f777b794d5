"""Decoding: from scores of the next token to sequences, inside the graph.

`sample` writes one token after the other, `beam_search` looks for the best sequence;
`Cached` decodes a network for both, and for loops outside of a file.

Every row is decoded as if it were alone: its noise is a function of its seed and of how
many tokens it has got. Nothing here is larger than the scores, `(rows, vocabulary)`.
"""

from kerasgen.decoding.beams import beam_search
from kerasgen.decoding.cached import Cached
from kerasgen.decoding.sampling import sample

__all__ = ["Cached", "beam_search", "sample"]
