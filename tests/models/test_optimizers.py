"""Weight decay is for matrices."""

import keras
import numpy as np
import pytest

import kerasgen

WORDS = ["ab", "ba", "abba"]


def decayed(network="transformer", exclude=None, **values):
    """Names of the weights of a language model that shrink without any gradient."""
    from kerasgen.tokenizers import Characters

    keras.utils.set_random_seed(0)
    shape = {"name": network, "width": 8, "depth": 1, "heads": 2, **values}
    model = kerasgen.LanguageModel(Characters.train(WORDS), 6, shape)
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.1)
    if exclude is not None:
        optimizer.exclude_from_weight_decay(**exclude)
    model.compile(optimizer)
    weights = model.trainable_variables
    for weight in weights:
        weight.assign(np.ones(weight.shape))
    optimizer.apply([np.zeros(w.shape, "float32") for w in weights], weights)
    shrunk = [w for w in weights if np.all(np.asarray(w) < 0.99995)]
    return {w.name for w in weights}, {w.name for w in shrunk}


def test_matrices_decay_and_nothing_else():
    names, shrunk = decayed()
    assert {"table", "kernel"} < names
    assert shrunk == {"kernel"}


@pytest.mark.parametrize("exclude", [{}, {"var_names": ["kernel"]}])
def test_a_users_exclusion_stands(exclude):
    names, shrunk = decayed(exclude=exclude)
    assert shrunk == names - set(exclude.get("var_names", ()))


class Own(kerasgen.GAN):
    """Takes its options under a name of its own."""

    def __init__(self, image_shape, **options):
        super().__init__(image_shape, 4, **options)


def test_a_model_with_options_of_any_name_is_copied():
    model = Own((8, 8, 1), ema_decay=0.5, output="sigmoid")
    assert model.baked().output_activation is model.output_activation
    other = model.changed(output="tanh")
    assert other.output_activation is not model.output_activation
