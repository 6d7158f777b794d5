"""The training step on TensorFlow, equal on one device and under `tf.distribute`.

Losses are per example. A replica minimises the sum of its examples' losses over the
*global* number of examples; the optimizer sums gradients over replicas, so N replicas
take the step of one device with the same global batch.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from kerasgen.errors import InputError, require_positive, unknown
from kerasgen.networks.dropout import masks
from kerasgen.random import Noise, fold

TRAIN, TEST, DROPOUT = 0, 1, 2  # what is drawn


class Trainer:
    """Mixin of `kerasgen.models.base.Model`."""

    def compile(self, optimizer="adam", loss=None, *, seed=0, accumulate=1, **options):
        """Configure training.

        Args:
            optimizer: anything Keras takes, copied for each phase where there are
                several; or a dict phase name -> optimizer.
            loss: only for models that don't bring their own.
            seed: seed of all noise in training.
            accumulate: number of parts that a batch is computed in, one after the
                other, for less memory; the step that is taken is the same.
            **options: as in `keras.Model.compile`. `jit_compile="auto"` means what
                is faster for the model on one device, and off under distribution.
        """
        require_positive(accumulate=accumulate)
        phases = self.phases()
        optimizers = _optimizers(optimizer, [phase.name for phase in phases])
        if self.dtype_policy.name == "mixed_float16":
            optimizers = {name: _scaled(value) for name, value in optimizers.items()}
        xla = chosen = options.get("jit_compile", "auto")
        if self.distribute_strategy.num_replicas_in_sync > 1:
            xla = False
        options["jit_compile"] = self.prefers_xla if xla == "auto" else xla
        with self.distribute_strategy.scope():
            super().compile(optimizers[phases[0].name], loss, **options)
            for phase in phases:
                optimizers[phase.name].build(phase.variables)
            self.optimizers = optimizers
            names = [term for phase in phases for term in phase.terms]
            terms = {name: keras.metrics.Mean(name) for name in names}
        object.__setattr__(self, "terms", terms)  # no part of the model's state
        self.seed, self.accumulate = seed, accumulate
        chosen = options | {"jit_compile": chosen}
        object.__setattr__(self, "_compile_options", chosen)  # may hold metrics

    @property
    def wants_xla(self) -> bool:
        """Whether the user has said so, by `compile(jit_compile=True)`."""
        return self.compiled and self._compile_options["jit_compile"] is True

    def by_xla(self, function):
        """`function` of keyword arrays, compiled anew for every shape it gets."""
        return tf.function(function, jit_compile=True)

    def get_compile_config(self):
        if not self.compiled:
            return {}
        optimizers = {
            name: keras.optimizers.serialize(value)
            for name, value in self.optimizers.items()
        }
        own = {"seed": self.seed, "accumulate": self.accumulate}
        return {"optimizer": optimizers, **own, **self._compile_options}

    def compile_from_config(self, config):
        optimizers = {
            name: keras.optimizers.deserialize(value)
            for name, value in config["optimizer"].items()
        }
        self.compile(**config | {"optimizer": optimizers})

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
            done, logs = several(iterator)
            if int(done) == 0:
                raise StopIteration
            return logs

        return function

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

    @property
    def metrics(self):
        return list(self.terms.values()) if self.compiled else []

    def reset_metrics(self):
        super().reset_metrics()
        self.tested.assign(0)

    def fit(self, x=None, y=None, *arguments, sample_weight=None, **options):
        """As in Keras; `sample_weight` works without `y` too, and lists of strings."""
        if options.get("validation_data") is not None:
            held = options["validation_data"]
            is_tuple = isinstance(held, (tuple, list)) and not _is_text(held)
            x_y_weight = held if is_tuple else (held,)
            options["validation_data"] = self._prepared(*x_y_weight)
            if not is_tuple:  # a dataset, or x alone
                options["validation_data"] = options["validation_data"][0]
        x, y, sample_weight = self._prepared(x, y, sample_weight)
        return super().fit(x, y, *arguments, sample_weight=sample_weight, **options)

    def evaluate(self, x=None, y=None, *arguments, sample_weight=None, **options):
        """As in Keras, and as `fit` here."""
        x, y, weight = self._prepared(x, y, sample_weight)
        return super().evaluate(x, y, *arguments, sample_weight=weight, **options)

    def predict(self, x, *arguments, **options):
        """As in Keras; lists of strings too."""
        return super().predict(self._prepared(x)[0], *arguments, **options)

    def _prepared(self, x, y=None, weight=None):
        """Strings go through `preprocess` at once: a compiled step can't take them."""
        if isinstance(x, tf.data.Dataset):
            strings = [s for s in tree.flatten(x.element_spec) if s.dtype == tf.string]
            if strings:

                def prepared(*row):
                    x, y, weight = keras.utils.unpack_x_y_sample_weight(row)
                    rest = () if weight is None else (tf.zeros_like(weight), weight)
                    return (self.preprocess(x, y), *rest)

                x = x.map(prepared).prefetch(2)
        elif _is_text(x):
            x, y = self.preprocess(tf.constant(x), y), None
            n = len(tree.flatten(x)[0])
            y = None if weight is None else np.zeros(n, "int32")
        elif y is None and weight is not None:
            y = _unlabelled(x)  # Keras drops weights that come without
        return x, y, weight

    def train_step(self, data):
        """Run every phase once (or `repeats` times) and report its terms."""
        batch, weight, rows, total = self._unpack(data)
        for index, phase in enumerate(self.phases()):
            optimizer = self.optimizers[phase.name]
            for repeat in range(phase.repeats):
                key = fold(self.seed, TRAIN, self.step, index, repeat)
                gradients = []
                for part in _parts(batch, weight, rows, self.accumulate):
                    # One part after the other: side by side they save no memory.
                    with tf.control_dependencies(gradients):
                        found = self._gradients(phase, key, total, *part)
                    pairs = zip(gradients, found, strict=True)
                    gradients = [a + b for a, b in pairs] if gradients else found
                _apply(optimizer, gradients, phase.variables)
        self._update_averages()
        self.step.assign_add(1)
        return self.get_metrics_result()

    def _gradients(self, phase, key, total, index, batch, weight, rows):
        """Gradients of a phase by part `index` of a batch; its terms are reported."""
        optimizer, context = (
            self.optimizers[phase.name],
            tf.distribute.get_replica_context(),
        )
        replica = context.replica_id_in_sync_group
        with tf.GradientTape() as tape, masks(fold(key, DROPOUT, replica, index)):
            terms = phase.losses(batch, Noise(fold(key, rows)), True)
            loss = _global_mean(next(iter(terms.values())), weight, total)
            shares = context.num_replicas_in_sync * self.accumulate
            loss += sum(phase.penalties) / shares
            loss = optimizer.scale_loss(loss)
        self._report(terms, weight)
        # Of a table that is looked up there would be a sparse one, that can't be added.
        return [tf.convert_to_tensor(g) for g in tape.gradient(loss, phase.variables)]

    def test_step(self, data):
        """The terms of every phase, with the averaged weights."""
        batch, weight, rows, _ = self._unpack(data)
        for index, phase in enumerate(self.phases()):
            noise = Noise(fold(self.seed, TEST, self.tested, index, rows))
            with self.averaged():
                terms = phase.losses(batch, noise, False)
            self._report(terms, weight)
        self.tested.assign_add(1)
        return self.get_metrics_result()

    def predict_step(self, data):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        with self.averaged():
            return self(self.preprocess(x, y), training=False)

    def _unpack(self, data):
        """-> batch, weights of the rows or None, global row numbers, global count (or
        sum of `row_weights`)."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        batch = self.preprocess(x, y)
        n = tf.shape(tree.flatten(batch)[0])[0]
        rows, total = tf.range(n), n
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        if replicas > 1:
            # One collective tells where this replica's rows begin, and their number.
            replica = context.replica_id_in_sync_group
            sizes = tf.one_hot(replica, replicas, dtype=tf.int32) * n
            sizes = context.all_reduce(tf.distribute.ReduceOp.SUM, sizes)
            rows += tf.reduce_sum(tf.where(tf.range(replicas) < replica, sizes, 0))
            total = tf.reduce_sum(sizes)
        share = self.row_weights(batch)
        if share is not None:
            weight = share if weight is None else share * tf.reshape(weight, [-1])
            total = tf.reduce_sum(share)
            if replicas > 1:
                total = context.all_reduce(tf.distribute.ReduceOp.SUM, total)
        return batch, weight, rows, tf.cast(total, tf.float32)

    def _report(self, terms, weight):
        for name, value in terms.items():
            if name in self.terms:  # a model may have more to say
                self.terms[name].update_state(value, weight)

    def _update_averages(self):
        """Exponential moving average with warm-up: min(decay, (1 + t) / (10 + t))."""
        if not self.averages:
            return
        t = tf.cast(self.step.value, tf.float32)
        rate = 1.0 - tf.minimum(self.ema_decay, (1.0 + t) / (10.0 + t))
        for weight, mean in zip(self.averaged_variables, self.averages, strict=True):
            mean.assign(mean + tf.cast(rate, mean.dtype) * (weight - mean))


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


def _parts(batch, weight, rows, count: int):
    """A batch as `count` parts: (index, batch, weight or None, rows)."""
    n = tf.shape(rows)[0]
    for i in range(count):
        part = slice(n * i // count, n * (i + 1) // count) if count > 1 else slice(None)
        weights = None if weight is None else weight[part]
        yield i, tree.map_structure(lambda v: v[part], batch), weights, rows[part]  # noqa: B023


def _is_text(x) -> bool:
    """Whether x is strings: a list, an array or a tensor."""
    if isinstance(x, (list, tuple)):
        return bool(x) and isinstance(x[0], (str, bytes))
    return getattr(x, "dtype", None) == tf.string or (
        isinstance(x, np.ndarray) and x.dtype.kind in "OSU"
    )


def _unlabelled(x):
    """Labels that stand for none: Keras drops weights that come without labels."""
    return -np.ones(len(x), "int32")


def _optimizers(optimizer, names: list[str]) -> dict:
    """One optimizer a phase."""
    if isinstance(optimizer, dict) and "class_name" not in optimizer:
        for name in optimizer:
            if name not in names:
                raise unknown("phase", name, names)
        missing = [name for name in names if name not in optimizer]
        if missing:
            raise InputError(f"no optimizer for phase {missing[0]!r}")
        return {name: keras.optimizers.get(optimizer[name]) for name in names}
    first = keras.optimizers.get(optimizer)
    config = keras.optimizers.serialize(first)
    copies = {name: keras.optimizers.deserialize(config) for name in names[1:]}
    return {names[0]: first} | copies


def _scaled(optimizer):
    """With loss scaling, which float16 gradients need."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)


def _global_mean(per_example, weight, total):
    """Sum over this replica's examples / number of examples on all replicas."""
    per_example = tf.cast(per_example, tf.float32)
    if weight is not None:
        per_example *= tf.cast(tf.reshape(weight, [-1]), tf.float32)
    return tf.reduce_sum(per_example) / total


def _apply(optimizer, gradients, variables):
    """Update `variables`; clipping sees the gradient of the global batch.

    Keras clips a replica's own gradient before it sums over replicas, which is wrong.
    So sum and clip here, and divide by the number of replicas: then Keras's clipping
    finds nothing to clip, and its sum gives the clipped gradient back.
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    clips = inner.clipnorm or inner.global_clipnorm or inner.clipvalue
    if replicas > 1 and (clips or inner is not optimizer):
        gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        scale = getattr(optimizer, "dynamic_scale", None)
        scale = 1.0 if scale is None else tf.convert_to_tensor(scale)
        gradients = inner._clip_gradients([g / scale for g in gradients])
        gradients = [g * (scale / replicas) for g in gradients]
    optimizer.apply(gradients, variables)
