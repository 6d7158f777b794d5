"""Labels as users give them: numbers, one-hot rows, or the names of classes."""

import numpy as np
from keras import ops

from kerasgen.errors import InputError, unknown


def check_labels(y, classes: int, least: int = -1, names=()) -> None:
    """Raise `InputError` unless y are labels: numbers, one-hot rows, or names.

    Args:
        y: array `(n,)`, `(n, 1)` or `(n, classes)`.
        classes: their number.
        least: the smallest label: -1 where that says "none", or 0.
        names: of the classes.
    """
    if y.dtype.kind in "OSU":
        texts = {v.decode() if isinstance(v, bytes) else v for v in y.ravel().tolist()}
        for text in sorted(texts - set(names), key=str):
            if not names:
                raise InputError(f"labels are numbers below {classes}, not {text!r}")
            raise unknown("label", text, names)
        return
    if y.ndim == 2 and y.shape[1] > 1:
        if y.shape[1] != classes:
            raise InputError(
                f"one-hot labels have {y.shape[1]} columns, and the model {classes} "
                "classes"
            )
        if not np.all((np.count_nonzero(y, axis=1) == 1) & (y.sum(axis=1) == 1)):
            raise InputError("a row of one-hot labels has a single 1, and 0 elsewhere")
        return
    if y.ndim > 2:
        raise InputError(f"labels have shape (n,) or (n, {classes}), not {y.shape}")
    wrong = y[~((y >= least) & (y < classes) & (y == np.floor(y)))]
    if wrong.size:
        raise InputError(
            f"label {wrong.flat[0]:g} is none of the model's, which are whole numbers "
            f"from {least} to {classes - 1}"
        )


def label_numbers(labels, names=()):
    """Labels `(batch,)`, `(batch, 1)`, or one-hot `(batch, classes)` -> int32
    `(batch,)`; an array of objects has those of `names`."""
    if isinstance(labels, np.ndarray) and labels.dtype.kind == "O":
        texts = (v.decode() if isinstance(v, bytes) else v for v in labels.ravel())
        labels = [names.index(text) for text in texts]
    labels = ops.convert_to_tensor(labels)
    if len(labels.shape) == 2 and labels.shape[1] != 1:
        labels = ops.argmax(labels, axis=1)
    return ops.cast(ops.reshape(labels, (-1,)), "int32")


def label_named(labels, names):
    """In the graph: strings `(batch,)`, each one of `names` -> int32 `(batch,)`."""
    import tensorflow as tf

    same = tf.equal(tf.reshape(labels, [-1, 1]), tf.constant([names]))
    return tf.argmax(tf.cast(same, tf.int32), axis=1, output_type=tf.int32)
