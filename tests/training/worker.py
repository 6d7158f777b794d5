"""What a worker of `test_workers.py` does: plain Keras calls on arrays.

python worker.py FOLDER      TF_CONFIG says which worker this is
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from kerasgen import VAE
from kerasgen.training.distribution import is_chief, strategy

place = strategy("auto")
keras.utils.set_random_seed(0)
images = np.random.default_rng(0).random((45, 8, 8, 1), "float32")
with place.scope():
    model = VAE((8, 8, 1), 4, ema_decay=0.9)
    optimizer = keras.optimizers.Adam(1e-3, epsilon=1e-4, global_clipnorm=1.0)
    model.compile(optimizer, steps_per_execution=2)
# Batches of 16, 16 and 13 rows; of 11, ... and 1, so that one worker has none of it.
history = model.fit(
    images, batch_size=16, epochs=2, shuffle=False, verbose=0, validation_data=images
)
scores = model.evaluate(images, batch_size=11, verbose=0, return_dict=True)
predictions = model.predict(images, batch_size=11, verbose=0)
results = {f"weight_{i}": v.numpy() for i, v in enumerate(model.variables)}
results |= {f"score_{name}": value for name, value in scores.items()}
results |= history.history
if is_chief(place):
    np.savez(f"{sys.argv[1]}/results.npz", predictions=predictions, **results)
