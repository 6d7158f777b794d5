"""Likelihoods, in nats: the lower bound and the importance-weighted estimate."""

import math

import numpy as np

from kerasgen.data.examples import examples
from kerasgen.data.stream import arrays, once
from kerasgen.random import row_seeds

SIGNATURE = "score"
FIGURES = ("elbo", "nll", "nll_k500", "bits_per_dim")
VALUES = ("seed", "batch_size", "nll_samples", "nll_every")
IGNORED = ()


def log_likelihood(serve, batches, calls: int, seed: int = 0) -> np.ndarray:
    """log p(x) of each example, from `calls` calls of the `score` signature.

    A call averages weights over its own samples; here the average over calls is kept
    as a running log-sum-exp, so memory doesn't grow with the number of samples (Burda
    et al. 2016, eq. 8, k = calls × samples a call). The estimate is a lower bound in
    expectation, tighter with more.

    Args:
        serve: `(name, **arrays) -> dict` of arrays.
        batches: dicts of arrays, as `score` takes them without the seed.
        calls: at least 1.
        seed: of the importance samples; every example and call has its own.
    """
    results, first = [], 0
    for batch in batches:
        n = len(next(iter(batch.values())))
        running = np.full(n, -np.inf)
        for call in range(calls):
            seeds = row_seeds(seed * 100_003 + call, first + n)[first:]
            scores = serve(SIGNATURE, **batch, seed=seeds)["log_likelihood"]
            running = np.logaddexp(running, scores.astype("float64"))
        results.append(running - math.log(calls))
        first += n
    return np.concatenate(results)


def figures(model, serve, split, training, recipe, progress) -> dict:
    """`elbo`, `nll` with the recipe's own k and, where that is large, `nll_k500` over
    all examples."""
    values, seed = recipe.evaluate, recipe.evaluate.seed
    binarize = recipe.input.binarize
    fixed = f", binarised once with seed {seed}" if binarize else ""
    per_call = model.score_samples

    def negative(name, k, every):
        part = split.take(slice(None, None, every))
        batches = arrays(part, values.batch_size, seed, binarize, model.preprocess)
        batches = progress(batches, name, math.ceil(len(part) / values.batch_size))
        nll = -log_likelihood(serve, batches, math.ceil(k / per_call), seed)
        which = f"every {every}th example" if every > 1 else "all examples"
        error = nll.std() / math.sqrt(len(nll))
        protocol = f"importance-weighted, k={k}, {which}{fixed}, s.e. {error:.2f}"
        return nll.mean(), "nats", len(part), protocol

    results = {"elbo": elbo(model, split, recipe, fixed)}
    if values.nll_samples > 500:
        results["nll_k500"] = negative("nll_k500", 500, 1)
    results["nll"] = negative("nll", values.nll_samples, values.nll_every)
    pixels = math.prod(split.x.shape[1:])
    nll, _, samples, protocol = results["nll"]
    if not binarize:
        bits = nll / (pixels * math.log(2))
        results["bits_per_dim"] = (bits, "bits", samples, f"nll / pixels; {protocol}")
    return results


def elbo(model, split, recipe, fixed: str):
    """The lower bound, by one sample of the posterior an example."""
    copy = model.baked()  # the caller's keeps its optimizer
    copy.compile(seed=recipe.evaluate.seed)
    batches = once(
        examples(model, split),
        recipe.evaluate.batch_size,
        recipe.evaluate.seed,
        recipe.input.binarize,
    )
    terms = copy.evaluate(batches, verbose=0, return_dict=True)
    value = -(terms["nll"] + terms["kl"])
    return value, "nats", len(split), f"one posterior sample an example{fixed}"
