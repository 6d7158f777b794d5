"""Learning rates as functions of the step, beyond Keras's own."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("kerasgen")
class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """Up to a peak in proportion to the step, then down by its inverse square root.

    Vaswani et al. (2017), eq. 3, with the peak as a value of its own.

    Args:
        peak: the largest learning rate, at step `warmup_steps`.
        warmup_steps: at least 1.
    """

    def __init__(self, peak: float, warmup_steps: int):
        self.peak, self.warmup_steps = peak, warmup_steps

    def __call__(self, step):
        t = (ops.cast(step, "float32") + 1.0) / self.warmup_steps
        return self.peak * ops.minimum(t, 1.0 / ops.sqrt(t))

    def get_config(self):
        return {"peak": self.peak, "warmup_steps": self.warmup_steps}
