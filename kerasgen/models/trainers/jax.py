"""The training step on JAX, where a batch is the global one on all devices.

A step is a pure function of the values of all variables: it runs in a
`keras.StatelessScope` that holds them, as if they were assigned to.
"""

import functools

import jax
import keras
from jax.sharding import NamedSharding, PartitionSpec

# There is no public name for the scope that one is in.
from keras.src.backend.common.stateless_scope import get_stateless_scope

from kerasgen.backend import tensorflow_only
from kerasgen.models.trainers import base
from kerasgen.signature import by_jax

TRAINABLE, FIXED = "trainable_variables", "non_trainable_variables"
OPTIMIZERS, METRICS = "optimizer_variables", "metrics_variables"


_copy = jax.jit(lambda values: jax.tree.map(jax.numpy.copy, values))


def _undistributed(method):
    """Keras would split batches over devices, and fail where that leaves a rest; here
    a step does it."""

    @functools.wraps(method)
    def alone(*arguments, **options):
        around = keras.distribution.distribution()
        keras.distribution.set_distribution(None)
        try:
            return method(*arguments, **options)
        finally:
            keras.distribution.set_distribution(around)

    return alone


class Trainer(base.Trainer):
    """Mixin of `kerasgen.models.base.Model`."""

    wants_xla = True  # shapes are always fixed

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._distribution = keras.distribution.distribution()

    fit = _undistributed(base.Trainer.fit)
    evaluate = _undistributed(base.Trainer.evaluate)
    predict = _undistributed(base.Trainer.predict)
    train_on_batch = _undistributed(base.Trainer.train_on_batch)
    test_on_batch = _undistributed(base.Trainer.test_on_batch)
    predict_on_batch = _undistributed(base.Trainer.predict_on_batch)

    def train_step(self, state, data):
        """See `kerasgen.models.trainers.base`; -> logs, and the new state."""
        groups = TRAINABLE, FIXED, OPTIMIZERS, METRICS
        return self._stateless(self._train, data, state, groups)

    def test_step(self, state, data):
        """See `kerasgen.models.trainers.base`; -> logs, and the new state."""
        groups = TRAINABLE, FIXED, METRICS
        return self._stateless(self._test, data, state, groups)

    def predict_step(self, state, data):
        """See `kerasgen.models.trainers.base`; -> outputs, and what else changes."""
        groups = TRAINABLE, FIXED
        outputs, state = self._stateless(self._predict, data, state, groups)
        return outputs, state[1]

    def by_xla(self, function):
        """`function` of keyword arrays, compiled anew for every shape it gets."""
        return by_jax(function, self.variables)

    def _stateless(self, step, data, state, groups):
        """`step(data)` on variables of these values -> its result, their new values."""
        variables = [self._groups()[name] for name in groups]
        pairs = zip(sum(variables, []), sum(state, []), strict=True)
        with keras.StatelessScope(state_mapping=pairs) as scope:
            result = step(self._spread(data))
        state = [[scope.get_current_value(v) for v in group] for group in variables]
        return result, tuple(self._spread(state, whole=True))

    def _spread(self, values, whole=False):
        """Rows over all devices, in equal parts; or, `whole`, all on each."""
        if self._distribution is None:
            return values
        mesh = self._distribution.device_mesh.backend_mesh
        axis = self._distribution.batch_dim_name

        def placed(value):
            # A batch that can't be divided is computed on each device.
            divides = not whole and len(value) % mesh.size == 0
            spec = PartitionSpec(axis) if divides else PartitionSpec()
            return jax.lax.with_sharding_constraint(value, NamedSharding(mesh, spec))

        return jax.tree.map(placed, values)

    def _xla(self, chosen, run_eagerly):
        return not run_eagerly

    def _scaled(self, optimizer):
        raise tensorflow_only("mixed_float16", "use mixed_bfloat16")

    def _place(self):
        return self._distribution.scope() if self._distribution else super()._place()

    def _gradients(self, variables, loss):
        def of(values):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            return loss()

        return _gradient(of, [v.value for v in variables])

    def _apply(self, optimizer, gradients, variables):
        optimizer.apply(gradients, variables)

    def _after(self, gradients, part):
        return jax.lax.optimization_barrier((part, gradients))[0]

    # Keras's own loop around a step, but for the variables of all optimizers.

    def _groups(self):
        optimizers = self.optimizers.values() if self.compiled else ()
        return {
            TRAINABLE: self.trainable_variables,
            FIXED: self.non_trainable_variables,
            OPTIMIZERS: [v for o in optimizers for v in o.variables],
            METRICS: self.metrics_variables,
        }

    def _get_jax_state(self, purge_model_variables=False, **wanted):
        groups = [v for name, v in self._groups().items() if wanted.get(name)]
        # Steps write over what they are given, which other variables may hold too.
        state = _copy(tuple([v.value for v in group] for group in groups))
        if purge_model_variables:
            for variable in sum(groups, []):
                variable._value = None
        return state

    def jax_state_sync(self):
        """Give the variables their values, in the middle of `fit` too."""
        if getattr(self, "_jax_state", None) and not self._jax_state_synced:
            groups = self._groups()
            for name, values in self._jax_state.items():
                for variable, value in zip(groups[name], values, strict=True):
                    variable.assign(value)
            self._jax_state_synced = True

    def _get_state_sharding_spec(self):
        groups = self._groups().values()
        return tuple([v.value.sharding for v in group] for group in groups)

    def _symbolic_build(self, iterator=None, data_batch=None):
        """Nothing: the constructor and `compile` have built everything."""


def input_gradients(function, inputs):
    """As in `kerasgen.models.trainers.tensorflow`."""
    return _gradient(lambda x: (function(x).sum(), None), inputs)[0]


def _gradient(function, argument):
    """`function(argument)` -> a scalar and more. -> its gradient, and what is more.

    What it assigns to variables it does in a scope of its own, so that no tracer leaks;
    the new values come out beside the result, for the scope around.
    """
    outer = get_stateless_scope() or keras.StatelessScope()

    def inside(argument):
        with keras.StatelessScope() as scope:
            scope.state_mapping.update(outer.state_mapping)
            value, more = function(argument)
        return value, (more, scope.state_mapping)

    found, (more, values) = jax.grad(inside, has_aux=True)(argument)
    outer.state_mapping.update(values)
    return found, more
