"""What every model shares: phases, EMA, signatures, saving.

A model states *phases*: which networks are trained on which per-example losses. The
trainer of the Keras backend (`kerasgen.models.trainers`) turns them into `train_step`
and `test_step` that give the same weights on one device or many.
"""

import contextlib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata

import keras
import numpy as np
from keras import ops

from kerasgen.conventions import family_name, same
from kerasgen.errors import InputError, require, unknown
from kerasgen.extras import needing
from kerasgen.inputs import Input
from kerasgen.models.phase import Phase
from kerasgen.models.presets import Presets
from kerasgen.models.trainers import Trainer
from kerasgen.rows import generate_inputs, in_parts
from kerasgen.signature import Signature, signatures_of


class Model(Presets, Trainer, keras.Model):
    """A `keras.Model` trained by phases.

    A subclass builds its networks in the constructor, ends it with `self.build()`,
    and defines `phases`, `signatures`, `preprocess` and `call`. Its configuration is
    the arguments of its constructor; a subclass that is defined anywhere is
    registered for `keras.saving.load_model` and for recipes under its family name.

    Args:
        ema_decay: decay of the exponential moving average of `averaged_variables`, in
            [0, 1); 0 keeps none. The average, warmed up as min(decay, (1 + t) /
            (10 + t)), is what `signatures`, `evaluate` and `predict` compute with.
    """

    families: dict[str, type] = {}
    prefers_xla = False  # what `jit_compile="auto"` means on one device
    own_loss = True  # or `compile(loss=)` says what is minimised
    monitor: str | None = "val_loss"  # what is least in the best epoch; None: the last

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        family = family_name(cls.__name__)
        known = Model.families.get(family, cls)
        if not same(cls, known):
            where = f"{known.__module__}.{known.__qualname__}"
            line = f"model {cls.__name__}: {where} is the family {family} already"
            raise InputError(f"{line}: rename it")
        keras.saving.register_keras_serializable("kerasgen")(cls)
        Model.families[family] = cls

    def __new__(cls, *args, **kwargs):
        model = super().__new__(cls, *args, **kwargs)
        bound = inspect.signature(cls.__init__).bind(model, *args, **kwargs)
        bound.apply_defaults()
        arguments = dict(list(bound.arguments.items())[1:])
        for parameter in bound.signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                arguments |= arguments.pop(parameter.name, {})
        object.__setattr__(model, "_arguments", arguments)
        return model

    def __init__(self, ema_decay: float = 0.0, **kwargs):
        # What a model is called with stays float32: its networks cast for themselves.
        super().__init__(autocast=False, **kwargs)
        require(0.0 <= ema_decay < 1.0, "ema_decay", "in [0, 1)", ema_decay)
        self.ema_decay = ema_decay

    # What a subclass defines.

    def phases(self) -> list[Phase]:
        """The phases of a training step, in order."""
        raise NotImplementedError

    def signatures(self) -> dict[str, Signature]:
        """What the model serves: name -> `Signature`; the first is the default."""
        return signatures_of(self)

    def preprocess(self, x, y=None) -> dict:
        """A batch as `fit` receives it -> what losses take; tensors only."""
        raise NotImplementedError

    # Of one row of x and y, as `fit` gets them, where a Dataset doesn't say.
    row_shape: tuple = (None,)
    target_shape: tuple = ()
    keeps_one_hot = False  # or labels come as numbers, however `fit` got them

    def check(self, x, y=None, labelled: bool = True) -> None:
        """Refuse arrays that `preprocess` can't give a meaning.

        Args:
            x, y: as `preprocess` gets them, but NumPy arrays; strings are objects.
            labelled: whether they are to learn from, or for `predict`, without labels.
        Raises:
            InputError: that says what was expected.
        """

    def read(self, x, y=None) -> tuple:
        """Strings, and what goes with them -> x and y that a compiled step takes."""
        return self.preprocess(x, y), None

    def row_weights(self, batch):
        """How much each row of a batch counts in means, `(batch,)`; None: the same."""
        return None

    # Building and saving.

    def build(self, input_shape=None):
        """End of every constructor: weights exist before `fit`, `save` and `load`."""
        counter = {"shape": (), "dtype": "int32", "initializer": "zeros"}
        fixed = {"trainable": False, "aggregation": "only_first_replica"}
        self.step = self.add_weight(name="step", **counter, **fixed)
        self.tested = self.add_weight(name="tested", **counter, **fixed)
        self.averages = []
        if self.ema_decay:
            for i, weight in enumerate(self.averaged_variables):
                average = self.add_weight(
                    name=f"average_{i}", shape=weight.shape, dtype=weight.dtype, **fixed
                )
                average.assign(weight)
                self.averages.append(average)
        self.signatures()  # what is wrong with them is said before it trains

    @property
    def averaged_variables(self) -> list:
        """What `ema_decay` averages: the trainable weights."""
        return self.trainable_variables

    @property
    def network_variables(self) -> list:
        """All variables but averages and counters."""
        own = {id(v) for v in [self.step, self.tested, *self.averages]}
        return [v for v in self.variables if id(v) not in own]

    @property
    def steps_taken(self) -> int:
        """Training steps so far."""
        return int(self.step.numpy())

    def count_params(self) -> int:
        """Numbers in the networks; averages and counters don't count."""
        return sum(math.prod(v.shape) for v in self.network_variables)

    def get_build_config(self):
        return None  # the constructor builds

    def get_config(self) -> dict:
        config = {
            key: keras.saving.serialize_keras_object(value)
            for key, value in self._arguments.items()
        }
        return config | {"name": self.name, "dtype": self.dtype_policy.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(
            **{
                key: keras.saving.deserialize_keras_object(
                    value, custom_objects=custom_objects
                )
                for key, value in config.items()
            }
        )

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Compute with the moving average in place of the weights; nothing is swapped.

        Tensor code traced inside sees the averages; the variables stay as they are.
        All are read once: within a loop each would be, at every step.
        """
        means = zip(self.averaged_variables, self.averages)  # noqa: B905 (or none)
        values = {id(v): (v, v) for v in self.variables}
        values |= {id(v): (v, mean) for v, mean in means}
        mapping = [(v, ops.convert_to_tensor(value)) for v, value in values.values()]
        with keras.StatelessScope(state_mapping=mapping):
            yield

    def baked(self, averaged: bool = True) -> "Model":
        """A copy for shipping: float32, no optimizer, and as the weights their moving
        averages, or, if not `averaged`, the last ones."""
        config = self.get_config() | {"ema_decay": 0.0, "dtype": "float32"}
        copy = type(self).from_config(config)
        means = zip(self.averaged_variables, self.averages)  # noqa: B905 (or none)
        values = {id(w): mean for w, mean in means} if averaged else {}
        pairs = zip(copy.network_variables, self.network_variables, strict=True)
        for target, source in pairs:
            target.assign(values.get(id(source), source))
        return copy

    def changed(self, **values) -> "Model":
        """A copy with other values of the constructor, and the same weights.

        Raises:
            InputError: if the model has no such value, it doesn't allow this one, or
                weights would have other shapes.
        """
        for name in values:
            if name not in self._arguments:
                raise InputError(f"{type(self).__name__} has no {name} to choose")
        copy = type(self).from_config(self.get_config() | values)
        if [v.shape for v in copy.variables] != [v.shape for v in self.variables]:
            raise InputError(f"{', '.join(values)}: to change that, train anew")
        for target, source in zip(copy.variables, self.variables, strict=True):
            target.assign(source)
        return copy

    # Serving.

    def signature(
        self,
        function: Callable,
        inputs: Mapping[str, Input],
        outputs: Sequence[str],
        **options,
    ) -> Signature:
        """A `Signature` that enforces the ranges of its inputs, and computes with the
        averaged weights, if there are any."""

        def averaged(**values):
            for name, entry in inputs.items():
                values[name] = entry.enforced(values[name])
            with self.averaged():
                return function(**values)

        options["variables"] = self.variables
        return Signature(averaged, inputs, tuple(outputs), **options)

    def serve(self, name: str, **values) -> dict[str, np.ndarray]:
        """Call a signature by name; it is compiled once and kept."""
        if "_served" not in self.__dict__:
            object.__setattr__(self, "_served", self.signatures())
        if name not in self._served:
            raise unknown("signature", name, self._served)
        return self._served[name](**values)

    def export(self, filepath, format="artifact", **options):
        """Write the model for other runtimes.

        Args:
            filepath: a folder, or the file to write for "onnx" and "litert".
            format: "artifact" writes the verified folder of SavedModel, ONNX and
                LiteRT files; "tf_saved_model", "onnx" or "litert" writes that alone.
                Packages add their own as entry points "kerasgen.exporters".
            **options: "onnx" and "litert" take `signature`, a name; without it
                "onnx" writes the first, "litert" all in one file. "artifact" takes
                `formats`, `recipe` and `figures`.
        Raises:
            InputError: for an unknown format, or a path that can't be written.
            RunError: where a runtime computes something else than Keras.
        """
        exporters = metadata.entry_points(group="kerasgen.exporters")
        if format not in exporters.names:
            raise unknown("format", format, exporters.names)
        with needing("export"):
            write = exporters[format].load()
        return write(self, filepath, **options)


class GenerativeModel(Model):
    """A model with a `generate` signature, whose loss is its own."""

    def build(self, input_shape=None):
        """See `Model`.

        Raises:
            InputError: where the signature is missing, or takes no seed.
        """
        super().build(input_shape)
        served, name = self.signatures(), type(self).__name__
        if "generate" not in served:
            names = ", ".join(map(repr, served)) or "nothing"
            raise InputError(
                f"{name} serves {names}, and a GenerativeModel serves 'generate': name "
                "the method so that draws samples, or derive from Model"
            )
        if "seed" not in served["generate"].inputs:
            raise InputError(f"{name} needs a 'seed' among the inputs of 'generate'")

    def generate(self, n: int, seed: int = 0, **conditions) -> np.ndarray:
        """n samples, drawn with the seeds `random.row_seeds(seed, n)`.

        Args:
            n: how many.
            seed: equal seeds give equal samples, in every runtime.
            **conditions: other inputs of the `generate` signature: one value, or one
                a row (`label=3`, `label=[0, 1, 2]`).
        Returns:
            The first output of the signature, `(n, …)`.
        Raises:
            InputError: if n < 1, or a condition isn't an input of the model.
        """
        signature = self.signatures()["generate"]
        rows = generate_inputs(signature.describe()["inputs"], n, seed, conditions)
        outputs = in_parts(self.serve, "generate", rows)
        return np.concatenate([part[signature.outputs[0]] for part in outputs])


def load(model) -> Model:
    """The model by name, path or address (see `Model.from_preset`), with its weights.

    Raises:
        InputError: if there is none, or the file is damaged or none of ours.
        RunError: if it can't be fetched.
    """
    return Model.from_preset(model)
