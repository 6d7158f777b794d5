"""What `compile` takes beside optimizers: where models have own losses, nothing."""

from kerasgen.errors import InputError


def check(model, terms: list[str], loss, options: dict) -> None:
    """Refuse a loss where a model has its own, and take from the options of `compile`
    metrics that it reports anyway.

    Args:
        model: with `own_loss`.
        terms: the names of what its phases report.
        loss: as `compile` gets it.
        options: as `compile` gets them.
    Raises:
        InputError: for a loss, another metric, or weights of losses.
    """
    name = type(model).__name__
    if options.get("loss_weights") is not None:
        raise InputError(f"{name} has one loss: call compile without loss_weights=")
    if not model.own_loss:
        return
    losses = [key for key in options if key.endswith("loss_fn")]
    losses += ["loss"] * (loss is not None)
    if losses:
        call = f"call compile without {losses[0]}="
        raise InputError(f"{name} has its own loss: {call}")
    for key in ("metrics", "weighted_metrics"):
        found = options.pop(key, None) or ()
        found = found if isinstance(found, (list, tuple)) else [found]
        if not all(isinstance(metric, str) and metric in terms for metric in found):
            own = f"measures {', '.join(terms)} itself"
            raise InputError(f"{name} {own}: call compile without {key}=")
