"""Signatures: names, types, shapes, defaults."""

import numpy as np
import pytest
from keras import ops

from kerasgen import backend
from kerasgen.errors import InputError
from kerasgen.inputs import Input, label, require_range, seed
from kerasgen.signature import Signature, served, signatures_of


@pytest.fixture
def doubled():
    inputs = {"x": Input((2,)), "times": Input((), "int32", 1, 9, default=2)}
    return Signature(
        lambda x, times: {"y": x * ops.cast(times, "float32")[:, None]}, inputs, ("y",)
    )


def test_computes_with_defaults(doubled):
    outputs = doubled(x=[[1, 2], [3, 4]])
    np.testing.assert_array_equal(outputs["y"], [[2, 4], [6, 8]])
    assert doubled(x=[[1, 2]], times=[5])["y"].tolist() == [[5, 10]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"times": [1]}, "'x' is missing"),
        ({"x": [[1, 2]], "z": [1]}, "unknown input 'z'"),
        ({"x": [[1, 2, 3]]}, "must have shape"),
        ({"x": [[1, 2]], "times": [1, 2]}, "must have shape"),
    ],
)
def test_bad_inputs_get_one_line(doubled, values, message):
    with pytest.raises(InputError, match=message):
        doubled(**values)


def test_an_input_and_an_output_may_not_share_a_name():
    with pytest.raises(InputError, match="'x' names an input and an output"):
        Signature(lambda x: {"x": x}, {"x": Input()}, ("x",))


def test_examples_are_in_range_and_repeatable(doubled):
    a, b = doubled.example(4, seed=1), doubled.example(4, seed=1)
    assert a["x"].shape == (4, 2) and a["x"].dtype == "float32"
    assert a["times"].min() >= 1 and a["times"].max() < 9
    np.testing.assert_array_equal(a["x"], b["x"])


RANGES = {
    "share": Input(low=0.0, high=1.0),
    "label": Input((), "int32", low=-1, high=3, default=-1, outside=-1),
    "count": Input((), "int32", low=0, high=21),
    "free": Input(),
}
WRONG = {
    "share": np.float32([np.nan, -np.inf, np.inf, -0.5, 0.25, 1.0]),
    "label": np.int32([-5, 3, 2**31 - 1, -(2**31), 2, 0]),
    "count": np.int32([-5, 21, 2**31 - 1, -(2**31), 20, 0]),
    "free": np.float32([np.inf, -7.0, 7.0, 0.0, 1.0, 2.0]),
}
MEANT = {
    "share": [0.0, 0.0, 1.0, 0.0, 0.25, 1.0],
    "label": [-1, -1, -1, -1, 2, 0],
    "count": [0, 20, 20, 0, 20, 0],
    "free": [np.inf, -7.0, 7.0, 0.0, 1.0, 2.0],
}


def ranged():
    def function(**values):
        return {f"{k}_": entry.enforced(values[k]) for k, entry in RANGES.items()}

    return Signature(function, RANGES, tuple(f"{k}_" for k in RANGES))


@pytest.mark.skipif(backend.is_jax(), reason="TensorFlow exports")
def test_ranges_are_enforced_alike_in_every_runtime(tmp_path):
    """NaN above all, of which runtimes have minima and maxima of their own."""
    import onnxruntime
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    from kerasgen.export import litert, onnx

    signature = ranged()
    graph = tf.function(signature.positional(), input_signature=signature.specs())
    compiled = tf.function(signature.positional(), jit_compile=True)
    session = onnxruntime.InferenceSession(
        onnx.convert(signature, {}).SerializeToString()
    )
    names = [output.name for output in session.get_outputs()]
    module = tf.Module()
    served = tf.function(lambda **v: signature.function(**v))
    specs = dict(zip(RANGES, signature.specs(), strict=True))
    concrete = served.get_concrete_function(**specs)
    tf.saved_model.save(module, str(tmp_path), signatures={"ranged": concrete})
    interpreter = Interpreter(model_content=litert.convert(tmp_path, ["ranged"]))
    answers = [
        {k: v.numpy() for k, v in graph(*WRONG.values()).items()},
        {k: v.numpy() for k, v in compiled(*map(tf.constant, WRONG.values())).items()},
        dict(zip(names, session.run(names, WRONG), strict=True)),
        interpreter.get_signature_runner("ranged")(**WRONG),
    ]
    for found in answers:
        for name, expected in MEANT.items():
            np.testing.assert_array_equal(found[f"{name}_"], expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": [np.nan]}, "share must be at least 0.0 and at most 1.0, not nan"),
        ({"share": [1.5]}, "share must be at least 0.0 and at most 1.0, not 1.5"),
        ({"label": [17]}, "label must be at least -1 and at most 2, not 17"),
        ({"count": [2**40]}, "count must be at least 0 and at most 20, not 1099"),
        ({"seed": [2**40]}, "seed must be at least -2147483648 and at most 2147483647"),
        ({"label": ["dog"]}, "label must be numbers, not 'dog'"),
        ({"label": [0, 1.9]}, "label must be a whole number, not 1.9"),
        ({"seed": [np.nan]}, "seed must be a whole number, not nan"),
        ({"text": [3]}, r"text must be strings, not \[3\]"),
    ],
)
def test_python_refuses_what_is_out_of_range(values, message):
    (name,) = values
    entries = RANGES | {"seed": seed(), "text": Input((), "string")}
    one = Signature(lambda **v: v, {name: entries[name]}, ("y",))
    with pytest.raises(InputError, match=message):
        one.check(values)


def test_python_takes_what_was_rounded():
    rounded = ranged()(share=[1.0000001], count=[1], free=[9.0])
    assert rounded["share_"] == 1.0 and rounded["free_"] == 9.0


def test_ranges_are_described():
    described = ranged().describe()["inputs"]
    assert described["count"]["range"] == [0, 21] and described["count"]["limit"] == 20
    assert (
        described["share"]["range"] == [0.0, 1.0] and described["share"]["limit"] == 1
    )
    assert described["label"]["outside"] == -1 and described["label"]["limit"] == 2
    assert "range" not in described["free"] and "limit" not in described["free"]
    every = seed().describe()
    assert every["range"] == [-(2**31), 2**31] and "limit" not in every


def test_manifests_of_older_artifacts_have_no_limits():
    older = {"dtype": "int32", "range": [-1, 10]}
    require_range("label", np.array([9]), older)
    with pytest.raises(InputError, match="label must be at least -1 and at most 9"):
        require_range("label", np.array([10]), older)
    require_range("images", np.array([1.0]), {"dtype": "float32", "range": [0.0, 1.0]})


class Base:
    """As much of a model as `served` asks for."""

    classes = 0

    def signature(self, function, inputs, outputs, **options):
        return Signature(function, inputs, outputs, **options)

    @served({"seed": seed, "label": label}, ["x"], about="how", name="generate")
    def sample(self, seed, label=None):
        return ops.cast(seed, "float32") * self.factor()

    @served({"x": lambda model: {"a": Input(), "b": Input()}}, ["y"])
    def added(self, **values):
        return {"y": sum(values.values())}

    def factor(self):
        return 2.0


class Derived(Base):
    classes = 3

    @served({"x": lambda model: Input()}, ["low", "high"])
    def both(self, x):
        return -x, x

    def factor(self):
        return 3.0

    def added(self, **values):  # still a signature, computed by this
        return {"y": 10.0 * sum(values.values())}


def test_methods_become_signatures():
    found = signatures_of(Derived())
    assert [*found] == ["both", "generate", "added"]  # one's own first
    assert found["both"](x=[1.5]) == {"low": [-1.5], "high": [1.5]}
    assert found["generate"](seed=[2])["x"].tolist() == [6.0]
    assert found["added"](a=[1.0], b=[2.0])["y"].tolist() == [30.0]
    assert [*found["generate"].inputs] == ["seed", "label"]
    assert found["generate"].inputs["label"].high == 3
    assert found["generate"].about == "how"
    plain = signatures_of(Base())
    assert [*plain] == ["generate", "added"]
    assert [*plain["generate"].inputs] == ["seed"]  # it has no classes
    assert plain["added"](a=[1.0], b=[2.0])["y"].tolist() == [3.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerence": 1e-5}, "unknown option of served 'tolerence': did you mean tol"),
        ({"only": "onx"}, "only must be savedmodel or onnx, or left out, not 'onx'"),
        ({"tolerance": 10.0}, r"tolerance must be in \[0, 0.002\], not 10.0"),
    ],
)
def test_options_that_signatures_do_not_have_are_refused(options, message):
    with pytest.raises(InputError, match=message):

        class Mistaken(Base):
            @served({"seed": seed}, ["x"], **options)
            def drawn(self, seed):
                return seed

        signatures_of(Mistaken())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dtype": "float64"}, "dtype of an input must be float32 or int32 or string"),
        ({"low": 1.0, "high": 0.0}, "low must be at most 0.0, .* not 1.0"),
        ({"high": 1.0, "default": 5.0}, "default must be at most 1.0, .* not 5.0"),
        ({"low": 0.0, "default": -1.0}, "default must be at least 0.0, .* not -1.0"),
        ({"dtype": "int32", "high": 3, "default": 3}, "default must be at most 2"),
    ],
)
def test_inputs_that_make_no_sense_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        Input(**values)


def test_a_method_takes_what_it_is_served_with():
    class Mistaken(Base):
        @served({"sed": seed}, ["x"])
        def drawn(self, seed):
            return seed

    message = r"Mistaken.drawn can't take the inputs .*\(sed\): missing .* 'seed'"
    with pytest.raises(InputError, match=message):
        signatures_of(Mistaken())


class Wrong(Base):
    """Whose outputs are not those that it declares."""

    @served({"seed": seed}, ["x", "more"])
    def too_few(self, seed):
        return seed

    @served({"seed": seed}, ["x"])
    def other_names(self, seed):
        return {"y": seed}

    @served({"seed": seed}, ["x"])
    def a_number(self, seed):
        return ops.sum(seed)

    @served({"seed": seed}, ["x"])
    def without_batch(self, seed):
        return ops.sum(ops.cast(seed, "float32")[:, None] * ops.ones((1, 4)), axis=0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("too_few", "^Wrong.too_few returns 1 of the 2 outputs .*: x, more$"),
        ("other_names", "^outputs differ from the signature's: .'x'. declared"),
        ("a_number", r"^output 'x' has shape \(\): its first axis must be the batch$"),
        ("without_batch", r"^output 'x' has shape \(4,\): its first axis must be"),
    ],
)
def test_outputs_are_those_that_are_declared(name, message):
    with pytest.raises(InputError, match=message):
        signatures_of(Wrong())[name](seed=[1, 2])
