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


@keras.saving.register_keras_serializable("kerasgen")
class Cooldown(keras.optimizers.schedules.LearningRateSchedule):
    """Another rate that ends in a straight line down to 0 (Hägele et al., 2024).

    Args:
        rate: a constant, or a schedule.
        steps: where it is 0.
        cooldown_steps: the length of the line, at least 1.
    """

    def __init__(self, rate, steps: int, cooldown_steps: int):
        self.rate, self.steps, self.cooldown_steps = rate, steps, cooldown_steps

    def __call__(self, step):
        rate = self.rate(step) if callable(self.rate) else self.rate
        left = (self.steps - ops.cast(step, "float32")) / self.cooldown_steps
        return rate * ops.clip(left, 0.0, 1.0)

    def get_config(self):
        rate = keras.saving.serialize_keras_object(self.rate)
        return {
            "rate": rate,
            "steps": self.steps,
            "cooldown_steps": self.cooldown_steps,
        }

    @classmethod
    def from_config(cls, config):
        rate = keras.saving.deserialize_keras_object(config["rate"])
        return cls(**config | {"rate": rate})
