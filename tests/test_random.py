"""The generator: right distributions, independent draws, equal bits everywhere."""

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
import tf2onnx
from ai_edge_litert.interpreter import Interpreter
from scipy import stats

from kerasgen import random
from kerasgen.errors import InputError

GOLDEN = [
    [9719733, 1275674],
    [12159585, 10383964],
    [2931193, 9413423],
]  # of the first two elements of three seeds


def seeds(n, seed=7):
    return tf.constant(random.row_seeds(seed, n))


def test_row_seeds_are_the_rule_on_the_card():
    expected = [(7 * 2654435761 + i) % 2**32 for i in range(5)]
    assert random.row_seeds(7, 5).view("uint32").tolist() == expected
    assert random.row_seeds(7, 5).dtype == "int32"
    np.testing.assert_array_equal(random.row_seeds(7, 16)[:4], random.row_seeds(7, 4))


def test_bits_never_change():
    """Golden values: other bits would change every sample of every artifact."""
    u = random.uniform(tf.constant([0, 1, -1]), (2,)).numpy() * 2**24
    assert u.astype(int).tolist() == GOLDEN


# Of the seeds 0, 1 and -1.
FOLDED = {  # data that is folded in -> keys, computed with Python's own integers
    (): [33350994, 2767685996, 903996321],
    (5,): [2153722161, 3112621671, 297095688],
    (5, 2): [2239770503, 1520634500, 2995731817],
    (2, 5): [2751700604, 2010837403, 33064966],
}
NORMAL = [  # stream 5
    [-0.65583557, 0.31443462, 0.90186256],
    [-1.6077814, -1.0235043, 0.5104989],
    [0.26602358, 0.06520735, -0.0022946],
]
GUMBEL = [[0.2612997, 2.5723333], [1.288048505, 0.6759868], [-1.211659, -1.3253211]]
INTEGERS = [[462, 926, 350], [758, 601, 451], [34, 23, 998]]
HASHED = [397, 255, 78, 392]


@pytest.mark.parametrize("data", FOLDED)
def test_folds_never_change(data):
    keys = random.fold(tf.constant([0, 1, -1]), *data).numpy()
    assert keys.dtype == "uint32" and keys.tolist() == FOLDED[data]


def test_draws_of_a_stream_never_change():
    """Golden values of a stream that isn't 0; cosines come before sines."""
    seed = tf.constant([0, 1, -1])
    normal = random.normal(seed, (3,), stream=5)
    np.testing.assert_allclose(normal, NORMAL, rtol=1e-5, atol=1e-6)
    gumbel = random.gumbel(seed, (2,), stream=5)
    np.testing.assert_allclose(gumbel, GUMBEL, rtol=1e-5)
    assert random.integers(seed, 1000, (3,), stream=5).numpy().tolist() == INTEGERS
    assert random.hashed(1000, 7, tf.range(4), 5).numpy().tolist() == HASHED


def test_normals_are_those_of_box_and_muller():
    """The polar angle and the radius, each from one uniform number."""
    seed = tf.constant([3, 4])
    u = random.uniform(seed, (2, 2), stream=9).numpy().astype("float64")
    radius, angle = np.sqrt(-2.0 * np.log(1.0 - u[:, 0])), 2.0 * np.pi * u[:, 1]
    expected = [radius * np.cos(angle), radius * np.sin(angle)]
    found = random.normal(seed, (4,), stream=9)
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), atol=1e-5)


def test_uniform_is_uniform():
    u = random.uniform(seeds(1000), (1000,)).numpy().ravel()
    assert u.min() >= 0 and u.max() < 1
    counts = np.histogram(u, bins=256, range=(0, 1))[0]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_normal_is_normal():
    z = random.normal(seeds(1000), (999,)).numpy().ravel()
    n = z.size
    assert abs(z.mean()) < 4 / np.sqrt(n)
    assert abs(z.std() - 1) < 4 / np.sqrt(2 * n)
    assert abs(stats.skew(z)) < 4 * np.sqrt(6 / n)
    assert abs(stats.kurtosis(z)) < 4 * np.sqrt(24 / n)
    assert stats.kstest(z[:100_000], "norm").pvalue > 1e-3


def test_gumbel_max_samples_a_softmax():
    logits = np.log([0.1, 0.2, 0.7]).astype("float32")
    choice = np.argmax(logits + random.gumbel(seeds(100_000), (3,)).numpy(), axis=1)
    frequency = np.bincount(choice, minlength=3) / 100_000
    np.testing.assert_allclose(frequency, [0.1, 0.2, 0.7], atol=0.006)


def test_integers_are_uniform():
    values = random.integers(seeds(1000), 10, (100,)).numpy()
    assert values.dtype == "int32"
    assert stats.chisquare(np.bincount(values.ravel(), minlength=10)).pvalue > 1e-3


@pytest.mark.parametrize(
    "pair",
    ["neighbouring rows", "neighbouring elements", "streams", "run seeds"],
)
def test_draws_are_independent(pair):
    z = random.normal(seeds(1001), (1000,)).numpy()
    a, b = {
        "neighbouring rows": lambda: (z[1:], z[:-1]),
        "neighbouring elements": lambda: (z[:, 1:], z[:, :-1]),
        "streams": lambda: (z, random.normal(seeds(1001), (1000,), stream=1).numpy()),
        "run seeds": lambda: (z, random.normal(seeds(1001, 8), (1000,)).numpy()),
    }[pair]()
    correlation = np.corrcoef(a.ravel(), b.ravel())[0, 1]
    assert abs(correlation) < 5 / np.sqrt(a.size)
    both = np.histogram2d(stats.norm.cdf(a.ravel()), stats.norm.cdf(b.ravel()), 16)[0]
    assert stats.chisquare(both.ravel()).pvalue > 1e-4


def test_a_row_does_not_depend_on_its_batch():
    """Bits exactly; logarithm and cosine to the last digit (vector remainders)."""
    alone = seeds(5)[3:4]
    u, z = random.uniform(seeds(5), (7,)), random.normal(seeds(5), (7,))
    np.testing.assert_array_equal(random.uniform(alone, (7,))[0], u[3])
    np.testing.assert_allclose(random.normal(alone, (7,))[0], z[3], atol=1e-6)


def test_noise_opens_a_stream_a_call():
    noise = random.Noise(seeds(2))
    found = [
        noise.normal((3,)),
        noise.normal((3,)),
        noise.uniform((3,)),
        noise.gumbel((3,)),
        noise.integers(9, (3,)),
    ]
    expected = [
        random.normal(seeds(2), (3,), stream=0),
        random.normal(seeds(2), (3,), stream=1),
        random.uniform(seeds(2), (3,), stream=2),
        random.gumbel(seeds(2), (3,), stream=3),
        random.integers(seeds(2), 9, (3,), stream=4),
    ]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def _draws(seed):
    def body(i, total):
        return i + 1, total + random.normal(seed, (4,), stream=i)

    loop = tf.while_loop(
        lambda i, _: i < 3, body, (0, tf.zeros((tf.shape(seed)[0], 4)))
    )
    return {
        "uniform": random.uniform(seed, (33,)),
        "normal": random.normal(seed, (33,), stream=5),
        "gumbel": random.gumbel(seed, (33,)),
        "looped": loop[1],
    }


@pytest.fixture(scope="module")
def draws():
    """-> function, seeds (negative ones too), what TensorFlow draws."""
    seed = np.array([0, 1, -1, 2**31 - 1, -(2**31), 123456789], "int32")
    function = tf.function(
        _draws, input_signature=[tf.TensorSpec([None], tf.int32, "seed")]
    )
    return function, seed, {k: v.numpy() for k, v in function(seed).items()}


def check(expected, found):
    np.testing.assert_array_equal(found["uniform"], expected["uniform"])
    np.testing.assert_allclose(found["normal"], expected["normal"], atol=3e-6)
    np.testing.assert_allclose(
        found["gumbel"], expected["gumbel"], rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(found["looped"], expected["looped"], atol=1e-5)


def test_onnx_runtime_draws_the_same_bits(draws):
    function, seed, expected = draws
    proto, _ = tf2onnx.convert.from_function(
        function, input_signature=function.input_signature, opset=18
    )
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    check(expected, dict(zip(names, session.run(names, {"seed": seed}), strict=True)))


def test_litert_draws_the_same_bits(draws, tmp_path):
    function, seed, expected = draws
    module = tf.Module()
    module.draw = function
    tf.saved_model.save(module, str(tmp_path), {"draw": function})
    content = tf.lite.TFLiteConverter.from_saved_model(
        str(tmp_path), signature_keys=["draw"]
    ).convert()
    runner = Interpreter(model_content=content).get_signature_runner("draw")
    check(expected, runner(seed=seed))


@pytest.mark.parametrize("seed", [1.9, "1", None, float("nan"), float("inf")])
def test_seeds_are_whole_numbers(seed):
    with pytest.raises(InputError, match="seed must be a whole number, not "):
        random.row_seeds(seed, 2)
    same = random.row_seeds(2.0, 3), random.row_seeds(np.int64(2), 3)
    np.testing.assert_array_equal(*same)
