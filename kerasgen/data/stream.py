"""A stream of batches that is a pure function of (seed, step).

Examples are numbered 0, 1, 2, … without end; number c is the one at place c mod n of
the shuffle of epoch c // n. So a run can resume at any step, every batch is full, and
an epoch sees every example once.
"""

import numpy as np
import tensorflow as tf
from keras import ops

from kerasgen.data import Split
from kerasgen.random import fold


def stream(
    split: Split,
    batch_size: int,
    seed: int,
    start_step: int,
    end_step: int,
    binarize: bool = False,
) -> tf.data.Dataset:
    """Batches `(x, y)`, or `(x,)` without labels, of steps [start_step, end_step).

    Args:
        split: the examples.
        batch_size: rows of every batch (the global batch under `tf.distribute`).
        seed: of the shuffling and of the binarisation.
        start_step: number of steps already taken.
        end_step: number of steps after which the stream ends.
        binarize: draw each pixel as 0 or 1 with the image as its probability, anew
            each time an image is seen (dynamic binarisation, float32 images).
    """
    n, read = len(split), split.reader()
    epochs = np.arange(start_step * batch_size // n, end_step * batch_size // n + 1)
    drawn = tf.constant(ops.convert_to_numpy(fold(seed, epochs)), tf.int64)
    first, seed = tf.constant(epochs[0], tf.int64), tf.constant(seed, tf.int64)
    n = tf.constant(n, tf.int64)

    def batch(counter):
        epoch = counter // n
        key = tf.stack([tf.fill(tf.shape(epoch), seed), epoch, epoch], axis=1)
        # The raw op: `tf.random.experimental.index_shuffle` pads the wrong axis of
        # seeds that differ from row to row.
        index = tf.raw_ops.RandomIndexShuffle(
            index=counter % n, seed=key, max_index=n - 1, rounds=4
        )
        rows = read(index, tf.gather(drawn, epoch - first))
        if binarize:
            rows = (_binarized(rows[0], [seed, counter[0]]), *rows[1:])
        return rows

    counters = tf.data.Dataset.range(start_step * batch_size, end_step * batch_size)
    return (
        counters.batch(batch_size, drop_remainder=True)
        .map(batch, num_parallel_calls=2, deterministic=True)
        .prefetch(2)
    )


def once(split: Split, batch_size: int, seed: int, binarize: bool = False):
    """Each example once, in order; binarised with draws that are fixed by `seed`."""
    arrays = (split.x,) if split.y is None else (split.x, split.y)
    dataset = tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size)
    if not binarize:
        return dataset
    return dataset.enumerate().map(
        lambda i, rows: (_binarized(rows[0], [seed, i]), *rows[1:])
    )


def arrays(split: Split, batch_size: int, seed: int, binarize: bool, preprocess):
    """`once`, as dicts of arrays that signatures take."""
    for x, *y in once(split, batch_size, seed, binarize):
        batch = preprocess(x, *y)
        yield {name: ops.convert_to_numpy(value) for name, value in batch.items()}


def _binarized(images, seed):
    u = tf.random.stateless_uniform(tf.shape(images), tf.cast(tf.stack(seed), tf.int64))
    return tf.cast(u < tf.cast(images, tf.float32) / 255.0, tf.float32)
