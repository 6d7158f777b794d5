"""Distances against closed forms, SciPy, and cases with known answers."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from kerasgen.errors import InputError
from kerasgen.metrics import distances
from kerasgen.metrics.distances import FeatureStatistics


def normals(n=500, features=6, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1.0, (n, features))


def frechet(real, fake):
    return distances.frechet(*(FeatureStatistics.of([x]) for x in (real, fake)))


def test_streaming_is_batch():
    """Far from zero and in parts of many sizes, against NumPy on all of it."""
    x = normals(1001, seed=1) * [1, 2, 3, 4, 5, 1e-3] + 1e6
    streamed = FeatureStatistics.of(np.split(x, [1, 2, 100, 600, 1000]))
    assert streamed.count == 1001
    np.testing.assert_allclose(streamed.mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(
        streamed.covariance, np.cov(x.T), rtol=1e-5, atol=1e-9 * np.cov(x.T).max()
    )


def test_equal_sets_have_no_frechet_distance():
    x = normals()
    assert frechet(x, x) == pytest.approx(0.0, abs=1e-9)
    assert frechet(x, x[::-1]) == pytest.approx(0.0, abs=1e-9)


def test_frechet_is_the_closed_form_of_normals():
    """Covariances that commute: |m - m'|² + Σ (√v - √v')²."""
    a = FeatureStatistics(3, np.array([1.0, 2.0]), 2 * np.diag([4.0, 9.0]))
    b = FeatureStatistics(5, np.array([4.0, 6.0]), 4 * np.diag([1.0, 25.0]))
    assert distances.frechet(a, b) == pytest.approx(25 + 1 + 4)
    assert distances.frechet(b, a) == pytest.approx(30)


@pytest.mark.parametrize("rows", [4, 300])  # 4: covariances without full rank
def test_frechet_is_that_of_scipys_root(rows):
    rng = np.random.default_rng(2)
    a = normals(rows) @ rng.normal(size=(6, 6))
    b = normals(rows, seed=3) @ rng.normal(size=(6, 6)) + 1
    c, d = np.cov(a.T), np.cov(b.T)
    apart = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    expected = apart + np.trace(c + d - 2 * np.real(sqrtm(c @ d)))
    assert frechet(a, b) == pytest.approx(expected, rel=1e-6)


def test_one_example_has_no_covariance():
    with pytest.raises(InputError, match="at least 2"):
        frechet(normals(1), normals(9))


def test_kernel_distance_is_unbiased():
    """Around 0 for one distribution, both ways, whatever the subsets' size."""
    for size in (10, 100):
        found = []
        for i in range(60):
            real, fake = normals(200, seed=i), normals(200, seed=99 + i)
            found.append(distances.kernel_distance(real, fake, 5, size)[0])
        error = np.std(found) / np.sqrt(len(found))
        assert abs(np.mean(found)) < 3 * error
        assert min(found) < 0 < max(found)


def test_kernel_distance_is_the_mean_over_pairs():
    x, y = normals(4, 3), normals(4, 3, seed=1, shift=0.5)
    kernel = lambda a, b: (a @ b / 3 + 1) ** 3  # noqa: E731
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    expected = np.mean([kernel(x[i], x[j]) + kernel(y[i], y[j]) for i, j in pairs])
    expected -= 2 * np.mean([kernel(a, b) for a in x for b in y])
    mean, deviation = distances.kernel_distance(x, y, subsets=3)
    assert mean == pytest.approx(expected) and deviation == pytest.approx(0, abs=1e-9)


def test_kernel_distance_sees_a_shift():
    near, far = (
        distances.kernel_distance(normals(), normals(seed=1, shift=s), 9)[0]
        for s in (0.2, 1.0)
    )
    assert 0 < near < far


# Ten real points on a line, 1 apart.
LINE = np.arange(10.0)[:, None]


def test_precision_counts_what_is_within_reach_of_real_points():
    # With k=1 each point reaches 1 far.
    fake = np.array([[0.5], [9.9], [10.5], [-3.5]])
    assert distances.precision(LINE, fake, k=1) == 0.5
    assert distances.precision(LINE, fake, k=3) == 0.75  # the ends reach 3 far


def test_recall_counts_real_points_within_reach_of_fake_ones():
    fake = np.array([[0.0], [0.6], [50.0], [50.1]])  # reach .6, .6, .1, .1
    assert distances.recall(LINE, fake, k=1) == 0.2  # 0 and 1


def test_density_and_coverage_count_neighbourhoods():
    # k=1: 4.5 is reached by 4 and 5, 9.5 by 9, 20 by none.
    fake = np.array([[4.5], [9.5], [20.0]])
    density, coverage = distances.density_and_coverage(LINE, fake, k=1)
    assert density == pytest.approx(3 / 3) and coverage == pytest.approx(3 / 10)


def test_an_outlier_raises_precision_but_not_density():
    """What Naeem et al. (2020) hold against precision, figure 3."""
    real = np.concatenate([normals(200, 2), [[30.0, 30.0]]])
    fake = normals(200, 2, seed=1, shift=15.0)
    assert distances.precision(real, fake) > 0.9
    assert distances.density_and_coverage(real, fake)[0] < 0.3


def test_one_distribution_is_precise_and_covered():
    real, fake = normals(2000), normals(2000, seed=1)
    density, coverage = distances.density_and_coverage(real, fake)
    assert density == pytest.approx(1.0, abs=0.05)
    # The expectation of Naeem et al. (2020), eq. 9, for n = m and large n: 1 - 2^-k
    assert coverage == pytest.approx(1 - 2**-5, abs=0.02)
    assert distances.precision(real, fake) == pytest.approx(
        distances.recall(real, fake), abs=0.05
    )


def test_blocks_change_nothing(monkeypatch):
    real, fake = normals(1000), normals(1000, seed=1)
    whole = distances.precision(real, fake), distances.density_and_coverage(real, fake)
    monkeypatch.setattr(distances, "BLOCK", 0.1)
    assert whole[0] == distances.precision(real, fake)
    assert whole[1] == distances.density_and_coverage(real, fake)


def test_too_few_examples_get_one_line():
    with pytest.raises(InputError, match="examples must be more than k = 5, not 5"):
        distances.density_and_coverage(normals(5), normals(50))


def test_copies_of_training_vectors_are_seen():
    training, real, fresh = normals(1000), normals(500, seed=1), normals(500, seed=2)
    repeated = training[:500] * 0.95 + 0.02 * normals(500, seed=3)  # not quite exact

    def copies(fake, size=300):
        batches = (training[i : i + size] for i in range(0, 1000, size))
        return distances.copies(batches, real, fake)

    assert copies(fresh) < 0.03
    assert copies(repeated) > 0.95
    half = np.concatenate([fresh[:250], repeated[:250]])
    assert copies(half) == pytest.approx(0.5, abs=0.03)
    assert copies(half, 999) == copies(half, 1000)  # a batch of one, too
    assert copies(real) == pytest.approx(0.01)


def test_diversity_is_the_ratio_of_distances_between_two():
    real, fake = normals(200), 0.3 * normals(200, seed=1)
    mean = lambda x: np.sqrt(  # noqa: E731
        np.mean([np.sum((a - b) ** 2) for a in x for b in x])
    )
    expected = mean(fake) / mean(real)
    assert distances.diversity(real, fake) == pytest.approx(expected)
    assert distances.diversity(real, np.ones((50, 6))) == 0.0


def test_one_picture_a_class_has_no_diversity():
    labels = np.arange(200) % 4
    real = normals(200) + 10 * labels[:, None]
    collapsed = 10.0 * labels[:, None] * np.ones(6)
    assert distances.diversity(real, collapsed) > 0.9
    assert distances.diversity(real, collapsed, labels, labels) == 0.0
    alike = distances.diversity(real, real[::-1], labels, labels[::-1])
    assert alike == pytest.approx(1.0)
