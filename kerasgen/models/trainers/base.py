"""The training step that all backends share: phases -> what one step does.

Losses are per example. A replica minimises the sum of its examples' losses over the
*global* number of examples, and gradients are summed over replicas, so N devices take
the step of one with the same global batch. What differs by backend is how gradients
are taken, where a replica stands among others, and who holds the variables.
"""

import contextlib
import functools
import inspect

import keras
from keras import ops, tree

from kerasgen.errors import require_positive
from kerasgen.models.trainers import losses
from kerasgen.models.trainers.callbacks import Rates, accompanied
from kerasgen.models.trainers.feeding import Feed, is_text
from kerasgen.models.trainers.optimizers import chosen, decay_matrices, of_phases
from kerasgen.networks.dropout import masks
from kerasgen.random import Noise, fold

TRAIN, TEST, DROPOUT = 0, 1, 2  # what is drawn
FIT = list(inspect.signature(keras.Model.fit).parameters)[3:]  # after self, x and y


class Trainer:
    """Mixin of `kerasgen.models.base.Model`; the subclass is that of a backend."""

    # What a backend defines.

    def _xla(self, chosen, run_eagerly: bool) -> bool:
        """What Keras is told where the user chose `chosen` for `jit_compile`."""
        raise NotImplementedError

    def _scaled(self, optimizer):
        """The optimizer with loss scaling, which float16 gradients need."""
        raise NotImplementedError

    def _gradients(self, variables, loss) -> tuple:
        """`loss()` gives a scalar and terms. -> the gradients, the terms."""
        raise NotImplementedError

    def _apply(self, optimizer, gradients, variables):
        """Update `variables`; clipping sees the gradient of the global batch."""
        raise NotImplementedError

    def _after(self, gradients, part):
        """`part` of a batch, to be computed with once `gradients` are there."""
        raise NotImplementedError

    # Where a batch is the global one, as under JAX, these say all.

    def _place(self):
        """The scope that variables are made in."""
        return contextlib.nullcontext()

    def _replica(self) -> tuple:
        """The number of this replica, and how many there are."""
        return 0, 1

    def _rows(self, n):
        """Global numbers of a replica's n rows, and the global count."""
        return ops.arange(n), n

    def _summed(self, value):
        """Over all replicas."""
        return value

    # Configuration.

    def compile(self, optimizer=None, loss=None, *, seed=0, accumulate=1, **options):
        """Configure training.

        Args:
            optimizer: anything Keras takes, copied for each phase where there are
                several; or a dict phase name -> optimizer. `<phase>_optimizer=` is that
                of one phase (`d_optimizer=`, by its first letter). None is Adam. Its
                `weight_decay` is for
                matrices: not for biases, gains and embeddings, unless its
                `exclude_from_weight_decay` was called, which then says it all.
            loss: only for models that don't bring their own.
            seed: seed of all noise in training.
            accumulate: number of parts that a batch is computed in, one after the
                other, for less memory; the step that is taken is the same.
            **options: as in `keras.Model.compile`. `jit_compile="auto"` means what
                is faster for the model on one device, and off under distribution;
                JAX always compiles.
        Raises:
            InputError: for a `loss` or metrics, where the model has its own.
        """
        require_positive(accumulate=accumulate)
        phases = self.phases()
        names = [phase.name for phase in phases]
        terms = [term for phase in phases for term in phase.terms]
        losses.check(self, terms, loss, options)
        optimizers = of_phases(chosen(optimizer, names, options), names)
        scales = options.get("auto_scale_loss", True)
        if scales and self.dtype_policy.name == "mixed_float16":
            optimizers = {k: self._scaled(value) for k, value in optimizers.items()}
        wanted = options.get("jit_compile", "auto")
        xla = self._xla(wanted, options.get("run_eagerly", False))
        with self._place():
            options["jit_compile"] = xla
            super().compile(optimizers[phases[0].name], loss, **options)
            for phase in phases:
                decay_matrices(optimizers[phase.name], phase.variables)
                optimizers[phase.name].build(phase.variables)
            self.optimizers = optimizers
            terms = {name: keras.metrics.Mean(name) for name in terms}
        object.__setattr__(self, "terms", terms)  # no part of the model's state
        object.__setattr__(self, "_rates", Rates(optimizers))
        self.seed, self.accumulate = seed, accumulate
        options["jit_compile"] = wanted
        object.__setattr__(self, "_compile_options", options)  # may hold metrics

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

    @property
    def metrics(self):
        return list(self.terms.values()) if self.compiled else []

    def reset_metrics(self):
        super().reset_metrics()
        self.tested.assign(0)

    # Data, in every way of Keras.

    def fit(self, x=None, y=None, *arguments, sample_weight=None, **options):
        """As in Keras; `sample_weight` works without `y` too, and lists of strings.

        Raises:
            InputError: for data that the model can't learn from, before the first step
                or, of a Dataset or generator, at the batch that has it.
        """
        options |= dict(zip(FIT, arguments, strict=False))
        feed, held = Feed(self), options.get("validation_data")
        if held is not None:
            is_tuple = isinstance(held, (tuple, list)) and not is_text(held)
            found = self._fed(feed, *(held if is_tuple else (held,)))
            options["validation_data"] = found if is_tuple else found[0]
        x, y, sample_weight = self._fed(feed, x, y, sample_weight)
        given = options.get("callbacks")
        with feed.told(), accompanied(self, given) as options["callbacks"]:
            return super().fit(x, y, sample_weight=sample_weight, **options)

    def evaluate(self, x=None, y=None, *arguments, sample_weight=None, **options):
        """As in Keras, and as `fit` here."""
        feed = Feed(self)
        x, y, weight = self._fed(feed, x, y, sample_weight)
        with feed.told():
            return super().evaluate(x, y, *arguments, sample_weight=weight, **options)

    def predict(self, x, *arguments, **options):
        """As in Keras, and as `fit` here; labels aren't needed."""
        feed = Feed(self, labelled=False)
        x = self._fed(feed, x)[0]
        with feed.told():
            return super().predict(x, *arguments, **options)

    def train_on_batch(self, x, y=None, sample_weight=None, *arguments, **options):
        """As in Keras, and as `fit` here."""
        batch = self._fed(Feed(self), x, y, sample_weight)
        return super().train_on_batch(*batch, *arguments, **options)

    def test_on_batch(self, x, y=None, sample_weight=None, *arguments, **options):
        """As in Keras, and as `fit` here."""
        batch = self._fed(Feed(self), x, y, sample_weight)
        return super().test_on_batch(*batch, *arguments, **options)

    def predict_on_batch(self, x):
        """As in Keras, and as `fit` here."""
        return super().predict_on_batch(self._fed(Feed(self, labelled=False), x)[0])

    def _fed(self, feed: Feed, x, y=None, weight=None):
        """x, y and weights, read and checked."""
        return feed(x, y, weight)

    # The step.

    def _train(self, data):
        """Run every phase once (or `repeats` times) and report its terms."""
        *batch, total = self._unpack(data)
        for index, phase in enumerate(self.phases()):
            optimizer, variables = self.optimizers[phase.name], phase.variables
            deals = [(batch, total)]
            if phase.repeats > 1:
                deals = self._dealt(batch, phase.repeats)
            for repeat, (rows, total) in enumerate(deals):
                parts = list(_parts(rows, self.accumulate))
                key = fold(self.seed, TRAIN, self.step, index, repeat)
                gradients = self._sum_of_gradients(phase, key, total, parts)
                self._apply(optimizer, gradients, variables)
        self._update_averages()
        self.step.assign_add(1)
        return self.get_metrics_result()

    def _dealt(self, batch, count: int):
        """A batch dealt out to `count` updates like cards, each with its total.

        It goes by the global numbers of the rows, so that an update has the same rows
        on one replica or many. Where there are fewer rows than updates, they are dealt
        out again.
        """
        rows, replicas = batch[2], self._replica()[1]
        n = self._summed(ops.shape(rows)[0])
        first = 0 if replicas == 1 else ops.sum(rows[:1])  # 0 where it has none
        # A number where it is one: JAX slices by numbers only.
        least = min(n, count) if isinstance(n, int) else ops.minimum(n, count)
        for i in range(count):
            start = (i % least - first) % count
            dealt = tree.map_structure(
                lambda v: v[start::count],  # noqa: B023
                batch,
                none_is_leaf=False,
            )
            share = self.row_weights(dealt[0])
            total = ops.shape(dealt[2])[0] if share is None else ops.sum(share)
            yield dealt, ops.cast(self._summed(total), "float32")

    def _sum_of_gradients(self, phase, key, total, parts):
        """Of what a phase minimises, over all parts of a batch; reports its terms."""
        gradients = []
        for i, part in enumerate(parts):
            if i:  # one after the other: side by side they save no memory
                part = self._after(gradients, part)
            loss = functools.partial(self._loss, phase, key, total, i, *part)
            found, terms = self._gradients(phase.variables, loss)
            self._report(terms, part[1])
            pairs = zip(gradients, found, strict=True)
            gradients = [a + b for a, b in pairs] if gradients else found
        return gradients

    def _loss(self, phase, key, total, index, batch, weight, rows):
        """What a phase minimises of part `index` of a batch, and its terms."""
        replica, replicas = self._replica()
        with masks(fold(key, DROPOUT, replica, index)):
            terms = phase.measured(batch, Noise(fold(key, rows)), True)
        loss = _sum(next(iter(terms.values())), weight) / total
        loss += sum(phase.penalties) / (replicas * self.accumulate)
        return self.optimizers[phase.name].scale_loss(loss), terms

    def _test(self, data):
        """The terms of every phase, with the averaged weights."""
        batch, weight, rows, _ = self._unpack(data)
        for index, phase in enumerate(self.phases()):
            noise = Noise(fold(self.seed, TEST, self.tested, index, rows))
            with self.averaged():
                terms = phase.measured(batch, noise, False)
            self._report(terms, weight)
        self.tested.assign_add(1)
        return self.get_metrics_result()

    def _predict(self, data):
        """What the model computes, with the averaged weights."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        with self.averaged():
            return self(self.preprocess(x, y), training=False)

    def _unpack(self, data):
        """-> batch, weights of the rows or None, global row numbers, global count (or
        sum of `row_weights`)."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        batch = self.preprocess(x, y)
        rows, total = self._rows(ops.shape(tree.flatten(batch)[0])[0])
        share = self.row_weights(batch)
        if share is not None:
            weight = share if weight is None else share * ops.reshape(weight, (-1,))
            total = self._summed(ops.sum(share))
        return batch, weight, rows, ops.cast(total, "float32")

    def _report(self, terms, weight):
        for name, value in terms.items():
            if name in self.terms:  # a model may have more to say
                self.terms[name].update_state(value, weight)

    def _update_averages(self):
        """Exponential moving average with warm-up: min(decay, (1 + t) / (10 + t))."""
        if not self.averages:
            return
        t = ops.cast(self.step, "float32")
        rate = 1.0 - ops.minimum(self.ema_decay, (1.0 + t) / (10.0 + t))
        for weight, mean in zip(self.averaged_variables, self.averages, strict=True):
            mean.assign(mean + ops.cast(rate, mean.dtype) * (weight - mean))


def _sum(per_example, weight):
    """Of all examples, each as often as its weight says."""
    per_example = ops.cast(per_example, "float32")
    if weight is not None:
        per_example *= ops.cast(ops.reshape(weight, (-1,)), "float32")
    return ops.sum(per_example)


def _parts(batch, count: int):
    """A nested batch as `count` parts."""
    if count == 1:
        yield batch
        return
    n = ops.shape(tree.flatten(batch)[0])[0]
    for i in range(count):
        part = slice(n * i // count, n * (i + 1) // count)
        yield tree.map_structure(lambda v: v[part], batch, none_is_leaf=False)  # noqa: B023
