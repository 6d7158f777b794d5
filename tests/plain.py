"""Decoding as one would write it first: what the one in graphs is compared with."""

import numpy as np


def beam_search(logits_after, limit, beams, alpha, start=1, stop=1):
    """`kerasgen.decoding.beam_search` of one row, without a cache.

    Args:
        logits_after: (a list of token lists, of equal length) -> logits `(rows,
            vocabulary)` of what comes next.
    Returns:
        The best tokens, without `start`, and their score.
    """
    alive, finished, best = [(0.0, [])], [], None
    for t in range(limit):
        logits = logits_after([[start, *tokens] for _, tokens in alive]).astype(
            "float64"
        )
        logits[:, 0] = -1e9
        most = logits.max(axis=1, keepdims=True)
        chances = logits - most - np.log(np.exp(logits - most).sum(1, keepdims=True))
        candidates = []
        for (score, tokens), row in zip(alive, chances, strict=True):
            likely = np.argsort(-row, kind="stable")[: 2 * beams]
            candidates += [(score + row[k], [*tokens, int(k)]) for k in likely]
        candidates = sorted(candidates, key=lambda c: -c[0])[: 2 * beams]
        penalty = ((5 + t + 1) / 6) ** alpha
        for score, tokens in candidates[:beams]:
            if tokens[-1] == stop or t + 1 == limit:
                finished.append((score / penalty, tokens))
        finished = sorted(finished, key=lambda c: -c[0])
        best = finished[0] if finished else None
        finished = finished[:beams]
        alive = [c for c in candidates if c[1][-1] != stop][:beams]
        if len(finished) == beams and finished[-1][0] >= alive[0][0] / penalty:
            break
    score, tokens = best
    return tokens, score


def likely(scores, top_k, top_p):
    """Of one row of scores those that may be drawn; all others are -inf."""
    order = np.argsort(-scores, kind="stable")[: top_k or None]
    share = np.exp(scores[order].astype("float64") - scores.max())
    share /= share.sum()
    least = scores[order[(np.cumsum(share) - share < top_p) | (top_p >= 1.0)]].min()
    return np.where(scores >= least, scores, -np.inf)
