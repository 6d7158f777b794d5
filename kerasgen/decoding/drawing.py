"""Which token comes next: the best one, or one that is drawn among the likely.

The largest of log p + g, with g of the standard Gumbel distribution, is a sample of p
(Gumbel, 1954). g is a function of seed, stream and token, so it needs to be computed
for tokens alone that may be chosen: mostly a few, of whatever vocabulary.
"""

from keras import ops

from kerasgen import random
from kerasgen.decoding.scores import LOWEST, best, pick, top

FEW = 320  # tokens, among which a choice is settled as a rule


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

    # What one branch alone needs, TensorFlow moves into it; tf2onnx fails on that. So
    # no branch is within another, and what they take is used outside of them too.
    few = size > FEW
    if few:
        found, token, least = ops.cond(
            ops.any(limited),
            lambda: _few(scores, count, top_p),
            lambda: _none(scores, top_p),
        )
        token, settled = _among(found, token, least, seed, stream, count, size)
        settled = ops.logical_and(settled, limited)
        open_ = ops.logical_not(settled)
        draws, limited = (ops.logical_and(x, open_) for x in (draws, limited))
    least = ops.cond(
        ops.any(limited),
        lambda: threshold(ops.top_k(scores, size)[0], scores, count, top_p),
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
    return ops.where(settled, token, found) if few else found


def _few(scores, count, top_p):
    found, token = top(scores, FEW)
    return found, token, threshold(found, scores, count, top_p)


def _none(scores, top_p):
    found = scores[:, :FEW]
    return found, ops.cast(0.0 * found, "int32"), 0.0 * top_p


def _among(found, token, least, seed, stream, count, size):
    """Tokens that are drawn, and of which rows they are right."""
    # What may be chosen ends before the last of them, and so does what is equal.
    known = ops.logical_or(count <= FEW, count == size)
    settled = ops.logical_and(known, least > found[:, -1])
    kept = ops.where(found >= least[:, None], found, LOWEST)
    place = best(kept + random.gumbel_at(seed, token, stream))
    return pick(token, place[:, None])[:, 0], settled


def threshold(ranked, scores, count, top_p):
    """The least score `(batch,)` that is among the first `count`, and of those among
    the fewest with a probability of top_p (Holtzman et al., 2020).

    Args:
        ranked: the largest scores `(batch, n)`, from the largest on; of rows with a
            count above n it must be that of all.
        scores: all, `(batch, vocabulary)`.
        count, top_p: `(batch,)`.
    """
    n = ranked.shape[-1]
    kept = ops.arange(n)[None] < count[:, None]
    inside = ops.where(kept, ranked, LOWEST)
    total = ops.logsumexp(inside, axis=-1)
    if n < scores.shape[-1]:
        total = ops.where(count > n, ops.logsumexp(scores, axis=-1), total)
    share = ops.exp(inside - total[:, None])
    before = ops.cumsum(share, axis=-1) - share
    # Rounded, `before` may be 1 although something follows.
    enough = ops.logical_or(before < top_p[:, None], top_p[:, None] >= 1.0)
    kept = ops.logical_and(kept, enough)
    return ops.min(ops.where(kept, ranked, -LOWEST), axis=-1)
