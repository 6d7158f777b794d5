"""What models are fed, in every way of Keras: read where it is text, and checked.

Arrays are looked at before training begins. Datasets, generators and `PyDataset`s give
one batch after the other, so these are looked at on their way to the model, on the
host: a check in the compiled step would hold it up, and XLA leaves assertions out.
"""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np
from keras import tree

from kerasgen.backend import is_jax, tensorflow_only
from kerasgen.errors import InputError
from kerasgen.labels import label_numbers
from kerasgen.tokenizers import padded


class Feed:
    """Reads and checks what one call of a model's `fit`, `evaluate` or `predict` gets.

    Args:
        model: its `check` says what is wrong with a batch, its `read` reads text.
        labelled: whether the call needs labels too, as `predict` does not.
    """

    def __init__(self, model, labelled: bool = True):
        self.model, self.labelled = model, labelled
        self.fault = None  # the first error, found in a thread of the pipeline

    def __call__(self, x, y=None, weight=None) -> tuple:
        """x, y and weights as Keras takes them -> the same, for a compiled step.

        Raises:
            InputError: for arrays that the model can't be fed with. What is wrong with
                a batch that comes later, `told` raises.
        """
        if isinstance(x, keras.utils.PyDataset):
            return _Batches(x, self._batch), y, weight
        if hasattr(x, "__next__"):  # a generator
            return (self._batch(batch) for batch in x), y, weight
        if hasattr(x, "element_spec"):
            return self._dataset(x), y, weight
        return self._arrays(x, y, weight)

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Raise the fault of a batch as it is, and not what a pipeline makes of it."""
        try:
            yield
        except Exception:
            if self.fault is None:
                raise
            raise self.fault from None

    def _check(self, x, y=None):
        """Raise what is wrong with arrays, and keep it for `told`."""
        try:
            self.model.check(x, y, self.labelled)
        except InputError as error:
            self.fault = self.fault or error
            raise

    def checked(self, x, y=None, weight=None) -> tuple:
        """Arrays of x and y, each row in the one shape that it has for the model.

        Raises:
            InputError: for those that the model can't be fed with.
        """
        x, y = (part if is_tensor(part) else _array(part) for part in (x, y))
        if any(np.shape(part)[:1] == (0,) for part in tree.flatten(x)):
            raise InputError("there are no examples: give one at least")
        _require_rows_alike(x, y, weight)
        self._check(*(_each(np.asarray, part) for part in (x, y)))
        return _each(self._row, x), _each(self._label, y)

    def _arrays(self, x, y, weight):
        if x is None:  # Keras has a line for that
            return x, y, weight
        x, y = self.checked(x, y, weight)
        if is_text(x) or is_text(y):
            x, y = self._read(x, y)
        if y is None and weight is not None:
            y = -np.ones(len(tree.flatten(x)[0]), "int32")  # Keras drops lone weights
        return x, y, weight

    def _row(self, x):
        """A batch of x in the one shape that it has for the model, so that a step
        is compiled for no other: images of one channel may come without."""
        shape = self.model.row_shape
        bare = np.ndim(x) == len(shape) and shape[-1:] == (1,)
        return x[..., None] if bare else x

    def _label(self, y):
        """Labels in their one shape: int32 `(batch,)`; one-hot rows stay for what
        `compile` measures them by."""
        if is_text(y) or self.model.target_shape or np.ndim(y) not in (1, 2):
            return y
        if self.model.keeps_one_hot and np.ndim(y) == 2 and y.shape[1] > 1:
            return y
        return keras.ops.convert_to_numpy(label_numbers(y))

    def _read(self, x, y):
        """Strings, with what they are labelled by -> tensors of numbers."""
        if is_jax():
            raise tensorflow_only("a model that reads strings", "give it token ids")
        import tensorflow as tf

        return self.model.read(
            *(p if p is None else tf.convert_to_tensor(p) for p in (x, y))
        )

    def _batch(self, batch) -> tuple:
        """What a generator or a `PyDataset` gives -> (x,), (x, y) or (x, y, weight)."""
        if isinstance(batch, (list, tuple)) and is_text(batch):
            batch = (batch,)
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        x, y, weight = self._arrays(x, y, weight)
        if isinstance(x, dict):  # texts: Keras wants all batches equally wide
            x = {key: _widened(ids, self.model.context) for key, ids in x.items()}
        return _packed(x, y, weight)

    def _dataset(self, dataset):
        """Every batch is looked at in the dataset's own pipeline."""
        import tensorflow as tf

        spec = dataset.element_spec
        if any(map(_is_ragged, tree.flatten(spec))) and hasattr(dataset, "map"):
            dataset = dataset.map(lambda *row: tree.map_structure(_filled_up, row))
            spec = dataset.element_spec
        plain = all(isinstance(part, tf.TensorSpec) for part in tree.flatten(spec))
        if not plain or not hasattr(dataset, "map"):  # ragged, or distributed already
            return dataset
        x, y, _ = keras.utils.unpack_x_y_sample_weight(spec)
        if is_text(x) and any(part.shape.rank == 0 for part in tree.flatten(x)):
            raise InputError("texts come in batches: a Dataset wants .batch(64)")
        known = all(part.shape.rank is not None for part in tree.flatten(spec))
        if known and not is_text(x) and not is_text(y):
            # A wrong shape is told now: the trace of a step would tell it at length.
            self._check(_each(_stand_in, x), _each(_stand_in, y))

        def look(*arrays):
            row = tree.pack_sequence_as(spec, arrays)
            x, y, _ = keras.utils.unpack_x_y_sample_weight(row)
            with contextlib.suppress(InputError):  # kept
                self._check(x, y)
            return self.fault is None

        def ready(*row):
            row = row if isinstance(spec, tuple) else row[0]
            good = tf.numpy_function(look, tree.flatten(row), tf.bool)
            with tf.control_dependencies([tf.debugging.Assert(good, ["bad batch"])]):
                row = tree.map_structure(tf.identity, row)
            x, y, weight = keras.utils.unpack_x_y_sample_weight(row)
            x = _each(lambda part: _shaped(part, self.model.row_shape), x)
            y = _each(lambda part: _targets(part, self.model), y)
            if is_text(x) or is_text(y):
                x, y = self._read(x, y)
            if weight is not None and y is None:
                y = tf.zeros_like(weight)  # Keras drops lone weights
            return _packed(x, y, weight)

        return dataset.map(ready).prefetch(2)


class _Batches(keras.utils.PyDataset):
    """A `PyDataset` whose batches go through `ready`: in threads, as what `ready` finds
    must get to this process."""

    def __init__(self, inner, ready):
        super().__init__(workers=inner.workers, max_queue_size=inner.max_queue_size)
        self.inner, self.ready = inner, ready

    def __getitem__(self, index):
        return self.ready(self.inner[index])

    def __len__(self):
        return len(self.inner)

    @property
    def num_batches(self):
        return self.inner.num_batches

    def on_epoch_begin(self):
        self.inner.on_epoch_begin()

    def on_epoch_end(self):
        self.inner.on_epoch_end()


def is_text(x) -> bool:
    """Whether x is strings: a list, an array, a tensor, or a dataset with some."""
    if isinstance(x, (list, tuple)):
        return any(isinstance(text, (str, bytes)) for text in x)
    if hasattr(x, "element_spec"):
        return any(is_text(spec) for spec in tree.flatten(x.element_spec))
    if isinstance(x, np.ndarray):
        return x.dtype.kind in "OSU"
    return getattr(getattr(x, "dtype", None), "name", "") == "string"


def is_tensor(x) -> bool:
    """Whether Keras takes x as it is; a list it would take for several inputs."""
    plain = keras.ops.is_tensor(x) and not _is_ragged(x)
    return x is None or isinstance(x, dict) or plain


def _require_rows_alike(x, y, weight) -> None:
    """Raise `InputError` where an example lacks its label, its target or its weight."""
    parts = {"x": x, "y": y, "sample_weight": weight}
    rows = {
        name: len(tree.flatten(part)[0])
        for name, part in parts.items()
        if part is not None and np.ndim(tree.flatten(part)[0])
    }
    if len({*rows.values()}) > 1:
        found = ", ".join(f"{n:,} of {name}" for name, n in rows.items())
        raise InputError(f"rows must be as many: {found}")


def _each(function, part):
    """`function` of every array of a nested part of a batch; None stays None."""
    return None if part is None else tree.map_structure(function, part)


def _packed(x, y, weight) -> tuple:
    return (x,) if y is None else keras.utils.pack_x_y_sample_weight(x, y, weight)


def _array(x):
    """What Keras takes for an array; strings as objects, and rows of tokens, which may
    be ragged, filled up with 0."""
    if isinstance(x, (str, bytes)):
        raise InputError("one string is no list of texts: give [text]")
    if is_text(x):
        return np.asarray(x, object)
    if _is_ragged(x):
        return np.asarray(_filled_up(x))
    try:
        x = np.asarray(x)
    except ValueError as error:
        with contextlib.suppress(ValueError):
            rows = [np.asarray(row) for row in x]
            if all(r.ndim == 1 and (r.dtype.kind in "iu" or not r.size) for r in rows):
                return padded(rows)
        line = "rows have different shapes: crop, resize or fill them up"
        raise InputError(line) from error
    return x.astype(object) if x.dtype.kind == "U" else x


def _is_ragged(x) -> bool:
    """Whether x, or what a spec says, is a ragged tensor of TensorFlow."""
    return type(x).__name__ in ("RaggedTensor", "RaggedTensorSpec")


def _filled_up(x):
    return x.to_tensor() if _is_ragged(x) else x


def _widened(ids, width: int):
    """Rows of ids as an array `(batch, width)` at least, filled up with 0."""
    ids = np.asarray(ids)
    more = width - ids.shape[1] if ids.ndim == 2 else 0
    return np.pad(ids, [(0, 0), (0, more)]) if more > 0 else ids


def _stand_in(spec):
    """An array of a shape and type: of black images, the first class, padding."""
    shape = [1 if size is None else size for size in spec.shape]
    values = np.eye(1, shape[-1]) if len(shape) == 2 else np.zeros(())
    return np.broadcast_to(values.astype(spec.dtype.as_numpy_dtype), shape)


def _shaped(x, row_shape):
    """A tensor in the one shape that it has for the model; see `Feed._row`."""
    import tensorflow as tf

    if x.shape.rank is not None:
        bare = x.shape.rank == len(row_shape) and row_shape[-1:] == (1,)
        return x[..., None] if bare else x
    if x.dtype == tf.string:
        return tf.ensure_shape(x, [None])
    if None in row_shape:
        return tf.ensure_shape(x, [None, *row_shape])
    return tf.reshape(x, [-1, *row_shape])


def _targets(y, model):
    """The same for y; see `Feed._label`."""
    import tensorflow as tf

    rank, target_shape = y.shape.rank, model.target_shape
    if y.dtype == tf.string or target_shape or (rank or 0) > 2:
        return _shaped(y, target_shape)
    if rank == 2 and y.shape[1] != 1 and model.keeps_one_hot:
        return y
    one_hot = tf.logical_and(tf.rank(y) == 2, tf.shape(y)[-1] > 1)
    y = tf.cast(y, tf.int32)
    numbers = tf.cond(
        one_hot,
        lambda: tf.argmax(y, axis=-1, output_type=tf.int32),
        lambda: tf.reshape(y, [-1]),
    )
    return tf.ensure_shape(numbers, [None])
