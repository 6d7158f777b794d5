"""Where to train: one device, several, several machines."""

import functools
import json
import os

import tensorflow as tf

from kerasgen.errors import InputError, unknown
from kerasgen.recipe import STRATEGIES


@functools.cache  # two MirroredStrategy objects in a process disturb each other
def strategy(name: str = "auto", devices: int | None = None) -> tf.distribute.Strategy:
    """The `tf.distribute.Strategy` to build and train under.

    Several workers must ask before they use TensorFlow for anything else.

    Args:
        name: "single"; "mirrored": all devices of this machine; "multiworker": the
            devices of all machines in `TF_CONFIG`; "auto": multiworker where that is
            set, mirrored where there are several GPUs or `devices` asks for several,
            else single.
        devices: how many; on a machine without GPUs the CPU stands for several.
    Raises:
        InputError: for an unknown name, a `TF_CONFIG` that doesn't fit, or more
            devices than there are.
    """
    if name not in STRATEGIES:
        raise unknown("strategy", name, STRATEGIES)
    workers = cluster()
    if name == "multiworker" or (name == "auto" and len(workers) > 1):
        if not workers:
            raise InputError(
                "multiworker needs TF_CONFIG: `python -m kerasgen.training.launch "
                "--hosts HOST:PORT,…` prints it, `--workers N` starts N here"
            )
        if devices:
            raise InputError(
                "several workers use all their GPUs: leave out --devices, and choose "
                "with CUDA_VISIBLE_DEVICES"
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
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


def cluster() -> list[str]:
    """The addresses of the workers in `TF_CONFIG`; empty where it is not set.

    Raises:
        InputError: if it is malformed, or has parameter servers.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        return []
    try:
        config = json.loads(text)
        roles, task = config["cluster"], config["task"]
        known = task["index"] < len(roles[task["type"]])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            'TF_CONFIG must be {"cluster": {"worker": [ADDRESS, …]}, "task": '
            '{"type": "worker", "index": N}}'
        ) from error
    if not known or set(roles) - {"chief", "worker"}:
        raise InputError(
            "TF_CONFIG must name workers only, this one among them: Keras 3 has no "
            "parameter servers, and evaluators have nothing to do here"
        )
    return [*roles.get("chief", []), *roles.get("worker", [])]


def several_workers(strategy: tf.distribute.Strategy) -> bool:
    """Whether other processes train the same model."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the files: one of a cluster does."""
    if not several_workers(strategy):
        return True
    resolver = strategy.cluster_resolver
    first = "chief" if "chief" in resolver.cluster_spec().as_dict() else "worker"
    return (resolver.task_type, resolver.task_id) == (first, 0)


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
