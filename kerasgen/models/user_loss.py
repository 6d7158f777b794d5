"""What Keras's `fit` does for a loss, metrics and weights that a user chooses."""

import keras
import numpy as np

COMPILED = ("loss", "metrics", "weighted_metrics")


class UserLoss:
    """Mixin of classifiers: `compile(loss=, metrics=)` may say what is minimised and
    measured.

    A model has `labels`; its losses report the terms "label", as `fit` got it, and
    "probabilities", `(batch, classes)`.
    """

    own_loss = False

    @property
    def keeps_one_hot(self):
        """Where a loss or metrics are the user's, which may want such rows."""
        own = (self._compile_metrics, self.loss) if self.compiled else ()
        return any(each is not None for each in own)

    def user_loss(self, label, probabilities):
        """The loss of `compile` for each row, `(batch,)`."""
        loss = keras.losses.get(self.loss)
        function = loss.call if isinstance(loss, keras.losses.Loss) else loss
        return function(label, probabilities)

    @property
    def metrics(self):
        own = self._compile_metrics if self.compiled else None
        return super().metrics + ([] if own is None else [own])

    def _report(self, terms, weight):
        super()._report(terms, weight)
        if self._compile_metrics is not None:
            label, probabilities = terms["label"], terms["probabilities"]
            self._compile_metrics.update_state(label, probabilities, weight)

    def _fed(self, feed, x, y=None, weight=None):
        x, y, weight = super()._fed(feed, x, y, weight)
        if self.compiled and self._compile_metrics is not None:
            spec = getattr(x, "element_spec", (x, y))
            label = spec[1] if isinstance(spec, tuple) and len(spec) > 1 else None
            self._build_metrics(() if label is None else tuple(label.shape)[1:])
        return x, y, weight

    def _build_metrics(self, shape):
        """Before the first step: replicas can't do it within one."""
        if not self._compile_metrics.built:
            label = np.zeros((1, *shape), "int32")
            with self._place():
                classes = np.ones((1, len(self.labels)), "float32")
                self._compile_metrics.build(label, classes)

    def get_compile_config(self):
        config = super().get_compile_config()
        return config | {"loss": self.loss} if config else config

    def compile_from_config(self, config):
        read = keras.saving.deserialize_keras_object
        own = {key: read(config[key]) for key in COMPILED if key in config}
        super().compile_from_config(config | own)
