"""The optimizers of a model: one a phase, whose weight decay is for matrices."""

import keras

from kerasgen.errors import InputError, unknown

TABLES = ("table", "places", "ngrams", "embedding")  # in names of embeddings


def chosen(optimizer, names: list[str], options: dict):
    """The optimizer that `compile` is given, or a dict of those of phases.

    Args:
        optimizer: for all phases, or None.
        names: of the phases.
        options: of `compile`; `<phase>_optimizer=`, as `d_optimizer=` by its first
            letter, is the optimizer of one, and taken from them.
    Raises:
        InputError: for both.
    """
    keys = {f"{name[0]}_optimizer": name for name in names}
    keys |= {f"{name}_optimizer": name for name in names}
    given = {keys[key]: options.pop(key) for key in list(options) if key in keys}
    if given and optimizer is not None:
        raise InputError("compile: optimizer= is for all phases: give no other too")
    return given or optimizer or "adam"


def of_phases(optimizer, names: list[str]) -> dict:
    """One optimizer a phase."""
    if isinstance(optimizer, dict) and "class_name" not in optimizer:
        for name in optimizer:
            if name not in names:
                raise unknown("phase", name, names)
        missing = [name for name in names if name not in optimizer]
        if missing:
            raise InputError(f"no optimizer for phase {missing[0]!r}")
        return {name: keras.optimizers.get(optimizer[name]) for name in names}
    first = keras.optimizers.get(optimizer)
    config = keras.optimizers.serialize(first)
    copies = {name: keras.optimizers.deserialize(config) for name in names[1:]}
    for copy in copies.values():  # what the configuration leaves out
        vars(inner(copy)).update(_exclusions(first))
    return {names[0]: first} | copies


def inner(optimizer):
    """Without loss scaling."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _exclusions(optimizer) -> dict:
    """What `exclude_from_weight_decay` has set; nothing where it wasn't called."""
    values = vars(inner(optimizer)).items()
    return {k: v for k, v in values if k.startswith("_exclude_from_weight_decay")}


def decay_matrices(optimizer, variables):
    """Weight decay is for matrices, unless the user has said what it is for."""
    optimizer = inner(optimizer)
    if not optimizer.weight_decay or optimizer.built or _exclusions(optimizer):
        return

    def is_matrix(variable):
        no_kernel = "bias" in variable.name or any(t in variable.name for t in TABLES)
        return len(variable.shape) >= 2 and not no_kernel

    others = [v for v in variables if not is_matrix(v)]
    optimizer.exclude_from_weight_decay(others)
