"""Where to train: one device or many."""

import functools

import tensorflow as tf

from kerasgen.errors import InputError, unknown

STRATEGIES = ("auto", "single", "mirrored")


@functools.cache  # two MirroredStrategy objects in a process disturb each other
def strategy(name: str = "auto", devices: int | None = None) -> tf.distribute.Strategy:
    """The `tf.distribute.Strategy` to build and train under.

    Args:
        name: "single"; "mirrored": all devices of this machine; "auto": mirrored where
            there are several GPUs or `devices` asks for several, else single.
        devices: how many; on a machine without GPUs the CPU stands for several.
    Raises:
        InputError: for an unknown name, or more devices than there are.
    """
    if name not in STRATEGIES:
        raise unknown("strategy", name, STRATEGIES)
    if devices is not None and devices < 1:
        raise InputError(f"devices must be at least 1, not {devices}")
    gpus = tf.config.list_physical_devices("GPU")
    count = devices or max(1, len(gpus))
    if name == "single" or (name == "auto" and count == 1):
        if devices and devices > 1:
            raise InputError("--strategy single uses 1 device: leave out --devices")
        return tf.distribute.get_strategy()
    if gpus and count > len(gpus):
        raise InputError(f"{count} devices asked for, {len(gpus)} GPUs found")
    kind = "GPU" if gpus else "CPU"
    if not gpus:
        split_cpu(count)
    return tf.distribute.MirroredStrategy([f"{kind}:{i}" for i in range(count)])


def split_cpu(count: int) -> None:
    """Make the CPU look like `count` devices; before TensorFlow starts using it."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * count
    try:
        tf.config.set_logical_device_configuration(cpu, logical)
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) < count:
            raise InputError(
                "TensorFlow is already running on one CPU device: choose the "
                "strategy before anything else"
            ) from error
