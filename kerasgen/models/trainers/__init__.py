"""A training step per Keras backend: phases -> `train_step`, `test_step`."""

import importlib

from kerasgen import backend

_module = importlib.import_module(f"{__name__}.{backend.current()}")
Trainer, input_gradients = _module.Trainer, _module.input_gradients

__all__ = ["Trainer", "input_gradients"]
