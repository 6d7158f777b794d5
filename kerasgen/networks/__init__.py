"""Networks: what is computed, independent of how it is trained or sampled.

A builder is a function `<name>_<role>` that returns a plain `keras.Model`. Roles:

- encoder: `(batch, *input_shape)` -> `(batch, outputs)`;
- decoder: `(batch, inputs)` -> `(batch, *output_shape)`;
- classifier: `(batch, *input_shape)` -> `(batch, outputs)`, features for its model's
  last layer;
- discriminator: as an encoder, and every encoder can be one;
- generator: as a decoder, and every decoder can be one;
- language_model: int32 `(batch, length)` -> `(batch, length, vocabulary)`, logits of
  the next token; and with the methods of `transformer.CausalTransformer`, its cache;
- translator: [int32 `(batch, S)`, int32 `(batch, T)`] -> `(batch, T, vocabulary)`; and
  with the methods of `encoder_decoder.EncoderDecoder`;
- text_encoder: int32 `(batch, length)` -> `(batch, length, any width)`;
- denoiser: (noisy images `(batch, *image_shape)`, time `(batch,)`[, one-hot label
  `(batch, classes)`]) -> `(batch, *image_shape)`.
"""

import inspect

import keras
from keras import layers

from kerasgen.errors import InputError, unknown

# role -> what rows a network takes and gives, for the shapes that its model prescribes
SHAPES = {
    "encoder": lambda input_shape, outputs: (tuple(input_shape), (outputs,)),
    "decoder": lambda inputs, output_shape: ((inputs,), tuple(output_shape)),
    "denoiser": lambda image_shape, classes: (
        (image_shape, (), (classes,)) if classes else (image_shape, ()),
        image_shape,
    ),
}
SHAPES["translator"] = lambda vocabulary, context: (
    [(None,), (None,)],
    (None, vocabulary),
)
SHAPES["text_encoder"] = lambda vocabulary: ((None,), (None, None))
SHAPES["language_model"] = lambda vocabulary, context: ((None,), (None, vocabulary))
SHAPES["classifier"] = SHAPES["discriminator"] = SHAPES["encoder"]
SHAPES["generator"] = SHAPES["decoder"]
# Roles whose model bounds the output itself: what ends in a bound learns nothing.
LOGITS = ("decoder", "generator", "discriminator", "denoiser")
LOGITS += ("language_model", "translator")
BOUNDS = ("sigmoid", "hard_sigmoid", "tanh", "softmax")
STAND_INS = {"discriminator": "encoder", "generator": "decoder"}

SHAPING = (layers.Reshape, layers.Flatten, layers.Permute, layers.Dropout)
SHAPING += (layers.Cropping2D, layers.ZeroPadding2D, layers.UpSampling2D)


def builders(role: str) -> dict:
    """Name -> builder, of every network that can have that role."""
    from kerasgen.networks import (
        convnet,
        dcgan,
        encoder_decoder,
        mlp,
        sngan,
        text_encoder,
        transformer,
        unet,
    )

    modules = (mlp, convnet, dcgan, sngan, unet)
    modules += (transformer, encoder_decoder, text_encoder)
    others = builders(STAND_INS[role]) if role in STAND_INS else {}
    return others | {
        name.removesuffix(f"_{role}"): function
        for module in modules
        for name, function in vars(module).items()
        if name.endswith(f"_{role}") and function.__module__ == module.__name__
    }


def build(
    role: str, network, dtype=None, bounded: bool = False, **fixed
) -> keras.Model:
    """The network that `network` stands for.

    Args:
        role: one of those above.
        network: a `keras.Model`, which is checked and taken as it is; the name of a
            builder; or a dict of its name and values (`{"name": "dense", "widths":
            [200, 200]}`).
        dtype: the dtype policy of the layers.
        bounded: whether a `keras.Model` may end in a sigmoid or the like.
        **fixed: the shapes that the role prescribes.
    Raises:
        InputError: for an unknown name or value, shapes that don't fit the role, or a
            last activation where the role is for logits.
    """
    if isinstance(network, keras.Model):
        bound = None if bounded or role not in LOGITS else last_bound(network)
        if bound:
            raise InputError(
                f"the {role} ends in {bound}, and the model bounds its output itself: "
                "let it give logits, without a last activation"
            )
        return _fitting(role, network, **fixed)
    values = {"name": network} if isinstance(network, str) else dict(network)
    name = values.pop("name", None)
    known = builders(role)
    if name not in known:
        raise unknown(f"{role} network", name, known)
    options = set(inspect.signature(known[name]).parameters) - {*fixed, "kwargs"}
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
    given, wanted = SHAPES[role](**fixed)
    try:
        found = network(keras.tree.map_shape_structure(keras.Input, given)).shape[1:]
    except Exception as error:
        raise InputError(f"the {role} does not take rows of shape {given}") from error
    both = zip(found, wanted, strict=False)
    if len(found) != len(wanted) or any(w not in (None, f) for f, w in both):
        raise InputError(
            f"the {role} must turn rows of shape {given} into {wanted}, not {found}"
        )
    return network


def last_bound(network: keras.Model) -> str | None:
    """The bounding activation that a model's output comes from, as "sigmoid"; None for
    another one, or where only its own code could tell (a subclass with a `call`)."""
    tensors = getattr(network, "outputs", None)
    while tensors:
        layer, node, _ = tensors[0]._keras_history
        if isinstance(layer, keras.Model):
            return last_bound(layer)
        activation = getattr(layer, "activation", None)
        name = type(layer).__name__ if activation is None else activation.__name__
        if name.lower() in BOUNDS:
            return name.lower()
        if not isinstance(layer, SHAPING):
            return None
        tensors = layer._inbound_nodes[node].input_tensors
    return None
