"""Every way that Keras has of feeding a model gives the weights of every other."""

import dataclasses

import keras
import numpy as np
import pytest
from test_contract import _without_dropout, fast_cases, small

from kerasgen import backend, data
from kerasgen.building import create
from kerasgen.data import stream
from kerasgen.data.examples import examples
from kerasgen.training.checkpoint import state

SIZES = [8, 8, 3]  # of batches: the last one is ragged


class Batches(keras.utils.PyDataset):
    def __init__(self, rows):
        super().__init__()
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


@pytest.fixture(autouse=True)
def untuned_datasets(monkeypatch):
    """The end of an iterator waits for the tuner: longer than all these tests take."""
    import tensorflow as tf

    for name in ("range", "from_generator", "from_tensor_slices"):
        make = getattr(tf.data.Dataset, name)

        def untuned(*arguments, make=make, **options):
            return stream.untuned(make(*arguments, **options))

        monkeypatch.setattr(tf.data.Dataset, name, untuned)


def _arrays(rows):
    return tuple(np.concatenate(parts) for parts in zip(*rows, strict=True))


def _dataset(model, rows):
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensor_slices(_arrays(rows)).batch(SIZES[0])
    model.fit(batches, verbose=0)


def _dataset_without_shapes(model, rows):
    import tensorflow as tf

    spec = tuple(tf.TensorSpec(None, part.dtype) for part in rows[0])
    batches = tf.data.Dataset.from_generator(lambda: rows, output_signature=spec)
    model.fit(batches, verbose=0)


def _generator(model, rows):
    model.fit((row for row in rows), verbose=0)


def _py_dataset(model, rows):
    model.fit(Batches(rows), shuffle=False, verbose=0)


def _on_batch(model, rows):
    for row in rows:
        model.train_on_batch(*row)


def _validation_split(model, rows):
    both = [np.concatenate([part, part]) for part in _arrays(rows)]
    options = {"shuffle": False, "verbose": 0, "validation_split": 0.5}
    model.fit(*both, batch_size=SIZES[0], **options)


WAYS = [
    _dataset,
    _dataset_without_shapes,
    _generator,
    _py_dataset,
    _on_batch,
    _validation_split,
]
UNET = {"name": "unet", "widths": [8, 8], "blocks": 1, "attention": [4]}
CASES = [
    pytest.param(name, {}, id=name, marks=pytest.mark.xdist_group(name))
    for name in fast_cases()
]
GROUP = pytest.mark.xdist_group("unet")
A_UNET = pytest.param("ddpm_contract", {"model.network": UNET}, id="unet", marks=GROUP)


class Fed:
    """A model that begins anew for each way, and is compiled once."""

    def __init__(self, name, settings, sizes=SIZES, **options):
        tiny = small(name, **settings)
        tiny = dataclasses.replace(tiny, model=_without_dropout(tiny.model))
        source = data.load(tiny.data, tiny.input.image_shape)
        keras.utils.set_random_seed(0)
        self.model = create(tiny, source)
        # A larger epsilon: Adam turns rounding of tiny gradients into whole steps.
        optimizer = keras.optimizers.Adam(5e-3, epsilon=1e-2, global_clipnorm=1.0)
        self.model.compile(optimizer, jit_compile=False, **options)
        split = examples(self.model, source["train"], tiny.input.windows).take(
            slice(sum(sizes))
        )
        parts = [part for part in (split.x, split.y) if part is not None]
        pieces = [np.split(part, np.cumsum(sizes)[:-1]) for part in parts]
        self.rows = list(zip(*pieces, strict=True))
        self.start = [keras.ops.convert_to_numpy(v) for v in state(self.model)]
        self.before = self.weights()
        self.expected = self.after(Fed.plain)

    @staticmethod
    def plain(model, rows):
        options = {"batch_size": SIZES[0], "shuffle": False, "verbose": 0}
        model.fit(*_arrays(rows), **options)

    def after(self, way) -> list[np.ndarray]:
        """The weights that a way of feeding leads to."""
        for variable, value in zip(state(self.model), self.start, strict=True):
            variable.assign(value)
        way(self.model, self.rows)
        assert self.model.steps_taken == len(self.rows)
        return self.weights()

    def weights(self) -> list[np.ndarray]:
        return [keras.ops.convert_to_numpy(v) for v in self.model.network_variables]

    def predicted(self, function: str) -> list[np.ndarray]:
        """What "predict" or "predict_on_batch" gives for the last batch."""
        for variable, value in zip(state(self.model), self.start, strict=True):
            variable.assign(value)
        options = {"verbose": 0} if function == "predict" else {}
        found = getattr(self.model, function)(self.rows[-1][0], **options)
        return keras.tree.flatten(found)


def _predicts(model) -> bool:
    """Whether `model(x)` is of x alone: translators take pairs, the toy nothing."""
    return model.target_shape == () and type(model).call is not keras.Model.call


def _close(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


every_case = pytest.mark.parametrize("name, settings", CASES)


@pytest.mark.parametrize("name, settings", [*CASES, A_UNET])
def test_one_device(name, settings):
    fed = Fed(name, settings)
    moved = zip(fed.expected, fed.before, strict=True)
    assert any(np.abs(a - b).max() > 5e-5 for a, b in moved)
    for way in WAYS:
        _close(fed.after(way), fed.expected)
    row, options = fed.rows[-1], {"return_dict": True}
    whole = fed.model.evaluate(*row, batch_size=len(row[0]), verbose=0, **options)
    fed.model.reset_metrics()  # and the noise of testing begins anew
    alone = fed.model.test_on_batch(*row, **options)
    _close([alone[key] for key in whole], whole.values())
    if _predicts(fed.model):
        _close(*map(fed.predicted, ("predict_on_batch", "predict")))


@every_case
def test_step_by_step_in_python(name, settings):
    """`run_eagerly`: what is traced nowhere computes the same."""
    eager = Fed(name, settings, sizes=[3], run_eagerly=True)
    _close(eager.expected, Fed(name, settings, sizes=[3]).expected)


@pytest.mark.skipif(backend.is_jax(), reason="JAX has no strategies")
@every_case
def test_two_replicas(name, settings, two_replicas):
    one = Fed(name, settings)
    with two_replicas.scope():
        two = Fed(name, settings)
    _close(two.expected, one.expected)
    for way in (_dataset_without_shapes, _on_batch):
        _close(two.after(way), one.expected)
    if _predicts(one.model):
        _close(two.predicted("predict_on_batch"), one.predicted("predict"))
