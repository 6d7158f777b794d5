"""A stream of batches that is a pure function of (seed, step).

Examples are numbered 0, 1, 2, … without end; number c is the one at place c mod n of
the shuffle of epoch c // n. So a run can resume at any step, every batch is full, and
an epoch sees every example once.

Examples that have lengths are sorted by them within `GROUP` batches, of which each then
has examples of about one length, and little padding.
"""

import numpy as np
import tensorflow as tf
from keras import ops

from kerasgen.data.splits import Split
from kerasgen.random import fold

GROUP = 16  # batches


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
    n, read, lengths = len(split), split.reader(), split.lengths()
    # Groups of batches begin before the first one, and end after the last.
    first, last = start_step // GROUP, end_step // GROUP + 1
    first, last = (group * GROUP * batch_size // n for group in (first, last))
    epochs = np.arange(first, last + 1)
    drawn = tf.constant(ops.convert_to_numpy(fold(seed, epochs)), tf.int64)
    n, seed, first = (tf.constant(value, tf.int64) for value in (n, seed, first))

    def shuffled(counter, epoch, last):
        key = tf.stack([tf.fill(tf.shape(epoch), seed), epoch, epoch], axis=-1)
        # The raw op: `tf.random.experimental.index_shuffle` pads the wrong axis of
        # seeds that differ from row to row.
        return tf.raw_ops.RandomIndexShuffle(
            index=counter, seed=key, max_index=last, rounds=4
        )

    def similar(counter):
        """The counters of `GROUP` batches, sorted by length: one of the batches that
        they then make, in an order of its own."""
        step = counter[0] // batch_size
        group = step // GROUP
        counters = tf.range(GROUP * batch_size, dtype=tf.int64)
        counters += group * GROUP * batch_size
        index = shuffled(counters % n, counters // n, n - 1)
        order = tf.argsort(tf.gather(lengths, index), stable=True)
        last = tf.constant(GROUP - 1, tf.int64)
        start = shuffled(step % GROUP, group, last) * batch_size
        return tf.gather(counters, order[start : start + batch_size])

    def batch(counter):
        if lengths is not None:
            counter = similar(counter)
        epoch = counter // n
        index = shuffled(counter % n, epoch, n - 1)
        rows = read(index, tf.gather(drawn, epoch - first))
        rows = split.trimmed(rows)
        if binarize:
            rows = (_binarized(rows[0], [seed, counter[0]]), *rows[1:])
        return rows

    counters = tf.data.Dataset.range(start_step * batch_size, end_step * batch_size)
    return untuned(
        counters.batch(batch_size, drop_remainder=True)
        .map(batch, num_parallel_calls=2, deterministic=True)
        .prefetch(2)
    )


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Without the tuner: there is nothing to tune, and the end of an iterator waits for
    its next look, which comes after 10 ms, 20 ms, 40 ms … (TensorFlow 2.21)."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def once(split: Split, batch_size: int, seed: int, binarize: bool = False):
    """Each example once, in order; binarised with draws that are fixed by `seed`."""
    arrays = (split.x,) if split.y is None else (split.x, split.y)
    dataset = tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size)
    dataset = untuned(dataset.map(lambda *rows: split.trimmed(rows)))
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
