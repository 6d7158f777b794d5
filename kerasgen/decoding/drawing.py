"""Which token comes next: the best one, or one that is drawn among the likely.

The largest of log p + g, with g of the standard Gumbel distribution, is a sample of p
(Gumbel, 1954). g is a function of seed, stream and token, so it needs to be computed
for tokens alone that may be chosen: mostly a few, of whatever vocabulary.
"""

from keras import ops

from kerasgen import random
from kerasgen.decoding.scores import LOWEST, best, pick, top

FEW = 256  # tokens, among which a choice is settled as a rule


def next_tokens(scores, seed, stream, temperature, top_k, top_p):
    """A token a row, int32 `(batch,)`.

    Args:
        scores: float32 `(batch, vocabulary)`, logits.
        seed, temperature, top_k, top_p: see `sample`.
        stream: of the noise, an integer scalar.
    """
    size = scores.shape[-1]
    draws = temperature > 0
    heat = ops.where(draws, ops.maximum(temperature, 1e-6), 1.0)
    scores = scores / heat[:, None]
    count = ops.where(top_k > 0, ops.minimum(top_k, size), size)
    limited = ops.logical_and(draws, ops.logical_or(count < size, top_p < 1.0))

    # tf2onnx fails where a branch is within another, or needs alone what comes before.
    # So noise and limits are found in branches of their own.
    settled = None
    if size > 2 * FEW:  # else all are few
        token, settled = _among_few(scores, seed, stream, limited, count, top_p)
        rest = ops.logical_not(settled)
        draws, limited = (ops.logical_and(rows, rest) for rows in (draws, limited))
    least = ops.cond(
        ops.any(limited),
        lambda: threshold(top(scores, size)[0], count, top_p),
        lambda: LOWEST + 0.0 * top_p,
    )
    least = ops.where(limited, least, LOWEST)[:, None]
    noise = ops.cond(
        ops.any(draws),
        lambda: random.gumbel(seed, (size,), stream),
        lambda: ops.zeros_like(scores),
    )
    kept = ops.where(scores >= least, scores, LOWEST)
    found = best(ops.where(draws[:, None], kept + noise, scores))
    return found if settled is None else ops.where(settled, token, found)


def _among_few(scores, seed, stream, limited, count, top_p):
    """Tokens that are drawn among the `FEW` best, and of which of the `limited` rows
    they are what is drawn among all: `(batch,)` both."""
    of_all = count == scores.shape[-1]
    total = ops.cond(
        ops.any(ops.logical_and(limited, of_all)),
        lambda: ops.logsumexp(scores, axis=-1),
        lambda: 0.0 * top_p,
    )
    found, token = ops.cond(
        ops.any(limited),
        lambda: top(scores, FEW),
        lambda: (scores[:, :FEW], ops.cast(0.0 * scores[:, :FEW], "int32")),
    )
    least = threshold(found, count, top_p, total)
    # What may be drawn ends before the last of them, and so does what equals it.
    settled = ops.logical_and(
        ops.logical_and(limited, least > found[:, -1]),
        ops.logical_or(count <= FEW, of_all),
    )
    kept = ops.where(found >= least[:, None], found, LOWEST)
    place = best(kept + random.gumbel_at(seed, token, stream))
    return pick(token, place[:, None])[:, 0], settled


def threshold(ranked, count, top_p, total=0.0):
    """The least score `(batch,)` that is among the first `count`, and of those among
    the fewest with a probability of top_p (Holtzman et al., 2020).

    Args:
        ranked: the largest scores `(batch, n)`, from the largest on.
        count, top_p: `(batch,)`.
        total: logsumexp of all scores, `(batch,)`, of rows with a count above n.
    """
    n = ranked.shape[-1]
    kept = ops.arange(n)[None] < count[:, None]
    ranked = ops.where(kept, ranked, LOWEST)
    total = ops.where(count > n, total, ops.logsumexp(ranked, axis=-1))
    share = ops.exp(ranked - total[:, None])
    before = ops.cumsum(share, axis=-1) - share
    # Rounded, `before` may be 1 although something follows.
    enough = ops.logical_or(before < top_p[:, None], top_p[:, None] >= 1.0)
    kept = ops.logical_and(kept, enough)
    return ops.min(ops.where(kept, ranked, -LOWEST), axis=-1)
