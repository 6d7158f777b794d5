"""Networks: what is computed, independent of how it is trained or sampled.

A builder is a function `<name>_<role>` that returns a plain `keras.Model`. Roles:

- encoder: `(batch, *input_shape)` -> `(batch, outputs)`;
- decoder: `(batch, inputs)` -> `(batch, *output_shape)`;
- classifier: `(batch, *input_shape)` -> `(batch, outputs)`, features for its model's
  last layer;
- discriminator: as an encoder, and every encoder can be one;
- generator: as a decoder, and every decoder can be one.
"""

import inspect

import keras

from kerasgen.errors import InputError, unknown

STAND_INS = {"discriminator": "encoder", "generator": "decoder"}


def builders(role: str) -> dict:
    """Name -> builder, of every network that can have that role."""
    from kerasgen.networks import convnet, dcgan, mlp, sngan

    others = builders(STAND_INS[role]) if role in STAND_INS else {}
    return others | {
        name.removesuffix(f"_{role}"): function
        for module in (mlp, convnet, dcgan, sngan)
        for name, function in vars(module).items()
        if name.endswith(f"_{role}") and function.__module__ == module.__name__
    }


def build(role: str, network, dtype=None, **fixed) -> keras.Model:
    """The network that `network` stands for.

    Args:
        role: one of those above.
        network: a `keras.Model`, which is checked and taken as it is; the name of a
            builder; or a dict of its name and values (`{"name": "dense", "widths":
            [200, 200]}`).
        dtype: the dtype policy of the layers.
        **fixed: the shapes that the role prescribes.
    Raises:
        InputError: for an unknown name or value, or shapes that don't fit the role.
    """
    if isinstance(network, keras.Model):
        return _fitting(role, network, **fixed)
    values = {"name": network} if isinstance(network, str) else dict(network)
    name = values.pop("name", None)
    known = builders(role)
    if name not in known:
        raise unknown(f"{role} network", name, known)
    options = set(inspect.signature(known[name]).parameters) - set(fixed)
    for key in values:
        if key not in options:
            raise unknown(f"value of the {name} {role}", key, options)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype or policy)
    try:
        return known[name](**fixed, **values)
    finally:
        keras.config.set_dtype_policy(policy)


def _fitting(role, network, **fixed):
    """The user's own network, after a look at its shapes."""
    if "input_shape" in fixed:
        given, wanted = tuple(fixed["input_shape"]), (fixed["outputs"],)
    else:
        given, wanted = (fixed["inputs"],), tuple(fixed["output_shape"])
    try:
        found = tuple(network.compute_output_shape((None, *given)))[1:]
    except Exception as error:
        raise InputError(f"the {role} does not take rows of shape {given}") from error
    if found != wanted:
        raise InputError(
            f"the {role} must turn rows of shape {given} into {wanted}, not {found}"
        )
    if not network.built:
        network(keras.ops.zeros((1, *given)))
    return network
