"""A training step per Keras backend: phases -> `train_step`, `test_step`."""

import keras

from kerasgen.errors import InputError

if keras.backend.backend() != "tensorflow":
    raise InputError(
        f"kerasgen has no trainer for the {keras.backend.backend()} backend: "
        "set KERAS_BACKEND=tensorflow"
    )

from kerasgen.models.trainers.tensorflow import Trainer, input_gradients  # noqa: E402

__all__ = ["Trainer", "input_gradients"]
