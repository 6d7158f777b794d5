"""Distances between two sets, real and generated, of feature vectors `(n, features)`.

Nothing here knows where features come from: see `kerasgen.metrics.features`.
"""

import dataclasses
import functools
import operator
from collections.abc import Iterable, Iterator

import numpy as np
from sklearn.metrics import pairwise_distances_chunked
from sklearn.neighbors import NearestNeighbors

from kerasgen.errors import InputError, require

BLOCK = 64  # MiB of distances that are in memory at once


@dataclasses.dataclass(frozen=True)
class FeatureStatistics:
    """Mean and covariance of any number of vectors, in constant memory.

    The statistics of two sets add up to those of both together, without cancellation
    (Chan, Golub & LeVeque, 1983, eq. 2.1).

    Args:
        count: number of vectors.
        mean: float64 `(features,)`.
        scatter: sum of outer products of deviations from the mean, float64
            `(features, features)`.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, batches: Iterable[np.ndarray]) -> "FeatureStatistics":
        """Of all vectors of `batches`, arrays `(n, features)`, at least one."""
        return functools.reduce(operator.add, map(cls._of_one, batches))

    @classmethod
    def _of_one(cls, batch):
        batch = np.asarray(batch, "float64")
        mean = batch.mean(axis=0)
        deviations = batch - mean
        return cls(len(batch), mean, deviations.T @ deviations)

    def __add__(self, other: "FeatureStatistics") -> "FeatureStatistics":
        count = self.count + other.count
        apart = other.mean - self.mean
        between = np.outer(apart, apart) * (self.count * other.count / count)
        mean = self.mean + apart * (other.count / count)
        return FeatureStatistics(count, mean, self.scatter + other.scatter + between)

    @property
    def covariance(self) -> np.ndarray:
        """The unbiased estimate, `(features, features)`."""
        if self.count < 2:
            raise InputError("a covariance needs at least 2 examples")
        return self.scatter / (self.count - 1)


def frechet(real: FeatureStatistics, fake: FeatureStatistics) -> float:
    """Squared Fréchet distance of the normals with these means and covariances.

    |m - m'|² + tr(C + C' - 2 (C C')^½) (Heusel et al., 2017, eq. 6). C C' has the
    eigenvalues of the symmetric C^½ C' C^½, whose roots are safe to take.
    """
    c, c_fake = real.covariance, fake.covariance
    values, vectors = np.linalg.eigh(c)
    root = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root @ c_fake @ root), 0.0, None))
    apart = np.sum((real.mean - fake.mean) ** 2)
    return max(0.0, float(apart + np.trace(c + c_fake) - 2.0 * shared.sum()))


def kernel_distance(
    real, fake, subsets: int = 100, size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """KID: squared MMD with the kernel (x·y / features + 1)³ (Bińkowski et al., 2018).

    The unbiased estimate on random subsets of `size` vectors of each set, so it may
    be below 0. Returns its mean and its standard deviation over `subsets` of them.
    """
    size = min(size, len(real), len(fake))
    require(size >= 2, "examples", "at least 2", size)
    rng = np.random.default_rng(seed)
    real, fake = (_lifted(x) for x in (real, fake))

    def total(x, y):
        products = x @ y.T
        return np.einsum("ij,ij,ij->", products, products, products)

    def of_others(x):
        own = np.sum(np.square(x), axis=1)  # a vector with itself doesn't count
        return (total(x, x) - np.sum(own**3)) / (size * (size - 1))

    found = []
    for _ in range(subsets):
        x = real[rng.choice(len(real), size, replace=False)]
        y = fake[rng.choice(len(fake), size, replace=False)]
        found.append(of_others(x) + of_others(y) - 2.0 * total(x, y) / size**2)
    return float(np.mean(found)), float(np.std(found))


def _lifted(x):
    """Vectors of which the products are x·y / features + 1."""
    x = np.asarray(x, "float64")
    return np.pad(x / np.sqrt(x.shape[1]), ((0, 0), (0, 1)), constant_values=1.0)


def precision(real, fake, k: int = 3) -> float:
    """Share of `fake` within the reach of `real` (Kynkäänniemi et al., 2019, eq. 1-3).

    A real vector reaches as far as its k-th nearest real neighbour.
    """
    inside = [block.any(axis=1) for block in _reached(fake, real, k)]
    return float(np.concatenate(inside).mean())


def recall(real, fake, k: int = 3) -> float:
    """Share of `real` within the reach of `fake`: precision, the other way round."""
    return precision(fake, real, k)


def density_and_coverage(real, fake, k: int = 5) -> tuple[float, float]:
    """Naeem et al. (2020), eq. 6 and 7.

    Density: how many real vectors reach a fake one, over k; 1 for equal distributions,
    and not bounded. Coverage: the share of real vectors that reach any fake one.
    """
    reached = sum(block.sum(axis=0) for block in _reached(fake, real, k))
    return float(reached.sum() / (k * len(fake))), float((reached > 0).mean())


def copies(training: Iterable, real, fake, share: float = 0.01) -> float:
    """Share of `fake` that stand out by their nearest training vector.

    A copy is much nearer to one training vector than to any other: the ratio of the
    two smallest distances (Yoon et al., 2023) is small, however much or little there
    is to see in it. Counted is what has a smaller ratio than 1 - `share` of `real`; so
    it is about `share` for a model that draws fresh samples, 1 for one that repeats.

    Args:
        training: batches `(n, …)`, of 2 vectors at least.
        real, fake: arrays `(n, …)`.
    """
    ratio = _nearest_ratio(np.concatenate([real, fake]), training)
    usual, found = np.split(ratio, [len(real)])
    return float((found < np.quantile(usual, share)).mean())


def _nearest_ratio(x, batches) -> np.ndarray:
    """Distance to the nearest ÷ to the second nearest vector of all batches, `(n,)`."""
    x = x.reshape(len(x), -1)
    two = np.full((len(x), 2), np.inf)
    for batch in batches:
        index = NearestNeighbors(n_neighbors=min(2, len(batch)), algorithm="brute")
        found, _ = index.fit(batch.reshape(len(batch), -1)).kneighbors(x)
        two = np.sort(np.concatenate([two, found], axis=1), axis=1)[:, :2]
    return two[:, 0] / np.maximum(two[:, 1], np.finfo("float32").tiny)


def diversity(real, fake, real_labels=None, fake_labels=None) -> float:
    """Root mean square distance of two of `fake` ÷ that of two of `real`.

    With labels, of two with the same label: a conditional model that draws one
    picture a class has none.
    """
    spread = _variance(fake, fake_labels) / _variance(real, real_labels)
    return float(np.sqrt(spread))


def _variance(x, labels):
    """Total variance, around the mean of each label: half the mean squared distance."""
    x = np.asarray(x, "float64").reshape(len(x), -1)
    labels = np.zeros(len(x), int) if labels is None else np.asarray(labels)
    groups = [x[labels == label] for label in np.unique(labels)]
    scatter = sum(np.square(group - group.mean(axis=0)).sum() for group in groups)
    return scatter / (len(x) - len(groups))


def _reached(points, centres, k: int) -> Iterator[np.ndarray]:
    """Blocks `(points, centres)`: is a point as near to a centre as the centre's k-th
    nearest neighbour among the centres?"""
    require(len(centres) > k, "examples", f"more than k = {k}", len(centres))
    neighbours = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(centres)
    reach = neighbours.kneighbors()[0][:, -1]
    for block in pairwise_distances_chunked(points, centres, working_memory=BLOCK):
        yield block <= reach
