"""The training step on TensorFlow, equal on one device and under `tf.distribute`."""

import keras
import tensorflow as tf
from keras import tree

from kerasgen.models.trainers import base
from kerasgen.networks.fused import fusing


class Trainer(base.Trainer):
    """Mixin of `kerasgen.models.base.Model`."""

    def train_step(self, data):
        """See `kerasgen.models.trainers.base`."""
        with _given(data), fusing(compiled if self._fuses() else None):
            return self._train(data)

    def test_step(self, data):
        """See `kerasgen.models.trainers.base`."""
        with _given(data):
            return self._test(data)

    def predict_step(self, data):
        """See `kerasgen.models.trainers.base`."""
        return self._predict(data)

    @property
    def wants_xla(self) -> bool:
        """Whether the user has said so, by `compile(jit_compile=True)`."""
        return self.compiled and self._compile_options["jit_compile"] is True

    def by_xla(self, function):
        """`function` of keyword arrays, compiled anew for every shape it gets."""
        return compiled(function)

    def _fuses(self) -> bool:
        """Whether XLA makes the parts of a step that it is good at."""
        alone = self.distribute_strategy.num_replicas_in_sync == 1
        allowed = self._compile_options["jit_compile"] == "auto"
        return alone and allowed and not self.jit_compile and not self.run_eagerly

    def _xla(self, chosen, run_eagerly):
        if self.distribute_strategy.num_replicas_in_sync > 1:
            return False
        if chosen != "auto":
            return chosen
        # Its products are in float32: TensorFlow's have what processors have for less.
        return self.prefers_xla and self.dtype_policy.compute_dtype == "float32"

    def _scaled(self, optimizer):
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            return optimizer
        return keras.optimizers.LossScaleOptimizer(optimizer)

    def _place(self):
        return self.distribute_strategy.scope()

    def _replica(self):
        context = tf.distribute.get_replica_context()
        return context.replica_id_in_sync_group, context.num_replicas_in_sync

    def _rows(self, n):
        """One collective tells where this replica's rows begin, and their number."""
        replica, replicas = self._replica()
        if replicas == 1:
            return tf.range(n), n
        sizes = self._summed(tf.one_hot(replica, replicas, dtype=tf.int32) * n)
        before = tf.reduce_sum(tf.where(tf.range(replicas) < replica, sizes, 0))
        return before + tf.range(n), tf.reduce_sum(sizes)

    def _summed(self, value):
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync == 1:
            return value
        return context.all_reduce(tf.distribute.ReduceOp.SUM, value)

    def _gradients(self, variables, loss):
        with tf.GradientTape() as tape:
            value, terms = loss()
        # Of a table that is looked up there would be a sparse one, that can't be added.
        gradients = tape.gradient(value, variables)
        return [tf.convert_to_tensor(gradient) for gradient in gradients], terms

    def _after(self, gradients, part):
        with tf.control_dependencies(gradients):
            return tree.map_structure(tf.identity, part, none_is_leaf=False)

    def _apply(self, optimizer, gradients, variables):
        """Keras clips a replica's own gradient before it sums over replicas, which is
        wrong. So sum and clip here, and divide by the number of replicas: then Keras's
        clipping finds nothing to clip, and its sum gives the clipped gradient back.
        """
        _, replicas = self._replica()
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        clips = inner.clipnorm or inner.global_clipnorm or inner.clipvalue
        if replicas > 1 and (clips or inner is not optimizer):
            gradients = self._summed(gradients)
            scale = getattr(optimizer, "dynamic_scale", None)
            scale = 1.0 if scale is None else tf.convert_to_tensor(scale)
            gradients = inner._clip_gradients([g / scale for g in gradients])
            gradients = [g * (scale / replicas) for g in gradients]
        optimizer.apply(gradients, variables)

    # Several replicas and workers.

    def make_train_function(self, force=False):
        if force or self.train_function is None:
            self.train_function = self._step_function(self.train_step)

    def make_test_function(self, force=False):
        if force or self.test_function is None:
            self.test_function = self._step_function(self.test_step)

    def _step_function(self, step):
        """Run `step` on every replica, `steps_per_execution` times a call.

        Keras's own fails with several replicas where that is above 1, and with several
        workers always (keras#20585). Here the metrics are the logs.
        """
        strategy, times = self.distribute_strategy, self.steps_per_execution
        if strategy.num_replicas_in_sync == 1 or self.run_eagerly:
            return self._make_function(step)

        @tf.function(reduce_retracing=True)
        def several(iterator):
            done = 0
            for _ in tf.range(times):
                data = iterator.get_next_as_optional()
                if data.has_value():
                    strategy.run(step, args=(data.get_value(),))
                    done += 1
            return done, self.get_metrics_result()

        def function(iterator):
            if not hasattr(iterator, "get_next_as_optional"):  # of `train_on_batch`
                iterator = iter(self._distributed(next(iterator)))
            done, logs = several(iterator)
            if int(done) == 0:
                raise StopIteration
            return logs

        return function

    def _distributed(self, batch):
        """One batch, spread over replicas."""
        row = keras.utils.pack_x_y_sample_weight(*batch)
        rows = len(tree.flatten(row)[0])
        dataset = tf.data.Dataset.from_tensor_slices(row).batch(rows)
        return self.distribute_strategy.experimental_distribute_dataset(dataset)

    def predict_on_batch(self, x):
        """See `kerasgen.models.trainers.base`; Keras gives every replica all rows."""
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return super().predict_on_batch(x)
        return self.predict(x, batch_size=len(tree.flatten(x)[0]), verbose=0)

    def make_predict_function(self, force=False):
        """Gather the rows of all replicas, those of other workers too."""
        strategy = self.distribute_strategy
        if strategy.num_replicas_in_sync == 1:
            super().make_predict_function(force)
        elif force or self.predict_function is None:

            def rows(batch):
                outputs = strategy.run(self.predict_step, args=(batch,))
                return tree.map_structure(lambda v: strategy.gather(v, 0), outputs)

            self.predict_function = tf.function(
                lambda batches: tree.map_structure(
                    lambda *parts: tf.concat(parts, 0), *map(rows, batches)
                ),
                reduce_retracing=True,
            )

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing: the constructor and `compile` have built everything."""


def _given(data):
    """What is traced inside waits for the batch. Where a dataset's length isn't known,
    Keras runs a step that gets no batch any more: it must not count."""
    return tf.control_dependencies([v for v in tree.flatten(data) if v is not None])


def compiled(function):
    """`function` of tensors, by XLA."""
    return tf.function(function, jit_compile=True, autograph=False)


def input_gradients(function, inputs):
    """d function(inputs)[i] / d inputs[i] for every row i, to be differentiated again.

    Args:
        function: `(batch, …)` -> `(batch,)`, in which rows don't see each other.
        inputs: float tensor `(batch, …)`.
    Returns:
        A tensor of the shape of `inputs`.
    """
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = function(inputs)
    return tape.gradient(outputs, inputs)
