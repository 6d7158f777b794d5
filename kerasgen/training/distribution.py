"""Where to train: one device, several, several machines."""

import contextlib
import functools
import json
import os
import re

import keras
import tensorflow as tf

from kerasgen.backend import current, is_jax, tensorflow_only
from kerasgen.errors import InputError, unknown
from kerasgen.recipe import STRATEGIES

Strategy = tf.distribute.Strategy | keras.distribution.DataParallel


@functools.cache  # two MirroredStrategy objects in a process disturb each other
def strategy(name: str = "auto", devices: int | None = None) -> Strategy:
    """What to build and train under: its `scope()`.

    Several workers must ask before they use TensorFlow for anything else.

    Args:
        name: "single"; "mirrored": all devices of this machine; "multiworker": the
            devices of all machines in `TF_CONFIG`; "auto": multiworker where that is
            set, mirrored where there are several GPUs or `devices` asks for several,
            else single.
        devices: how many; on a machine without GPUs the CPU stands for several.
    Raises:
        InputError: for an unknown name, a `TF_CONFIG` that doesn't fit, or more
            devices than there are; for several workers on JAX.
    """
    if name not in STRATEGIES:
        raise unknown("strategy", name, STRATEGIES)
    if name == "single" and devices and devices > 1:
        raise InputError("--strategy single uses 1 device: leave out --devices")
    workers = cluster()
    if is_jax():
        if name == "multiworker" or len(workers) > 1:
            raise tensorflow_only("--strategy multiworker")
        return data_parallel(1 if name == "single" else devices)
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
        return tf.distribute.get_strategy()
    if gpus and count > len(gpus):
        raise InputError(f"{count} devices asked for, {len(gpus)} GPUs found")
    kind = "GPU" if gpus else "CPU"
    if not gpus:
        split_cpu(count)
    return tf.distribute.MirroredStrategy([f"{kind}:{i}" for i in range(count)])


def data_parallel(count: int | None) -> keras.distribution.DataParallel:
    """JAX's way: variables on each device, and a part of each batch.

    Args:
        count: of devices; None for all GPUs, or the CPU.
    Raises:
        InputError: if there are fewer.
    """
    if count:
        with contextlib.suppress(InputError):  # it may have enough GPUs
            split_cpu(count)
    found = keras.distribution.list_devices()
    count = count or (1 if found[0].startswith("cpu") else len(found))
    if len(found) < count:
        raise InputError(f"{count} devices asked for, JAX runs on {len(found)}")
    return keras.distribution.DataParallel(devices=found[:count])


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
        kind, index = task["type"], task["index"]
        addresses = [address for role in roles.values() for address in role]
        lists = all(isinstance(role, list) for role in roles.values())
        good = lists and all(re.fullmatch(r".+:\d+", each) for each in addresses)
        known = type(index) is int and 0 <= index < len(roles.get(kind, []))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        good = False
    if not good:
        raise InputError(
            'TF_CONFIG must be {"cluster": {"worker": ["HOST:PORT", …]}, "task": '
            '{"type": "worker", "index": N}}, as `python -m kerasgen.training.launch '
            "--hosts HOST:PORT,…` prints it"
        )
    if not known or set(roles) - {"chief", "worker"}:
        raise InputError(
            "TF_CONFIG must name workers only, this one among them: Keras 3 has no "
            "parameter servers, and evaluators have nothing to do here"
        )
    return [*roles.get("chief", []), *roles.get("worker", [])]


def several_workers(strategy: Strategy) -> bool:
    """Whether other processes train the same model."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief(strategy: Strategy) -> bool:
    """Whether this process writes the files: one of a cluster does."""
    if not several_workers(strategy):
        return True
    resolver = strategy.cluster_resolver
    first = "chief" if "chief" in resolver.cluster_spec().as_dict() else "worker"
    return (resolver.task_type, resolver.task_id) == (first, 0)


def split_cpu(count: int) -> None:
    """Make the CPU look like `count` devices; before the backend starts using it."""
    try:
        if is_jax():
            import jax

            jax.config.update("jax_num_cpu_devices", count)
        else:
            cpu = tf.config.list_physical_devices("CPU")[0]
            logical = [tf.config.LogicalDeviceConfiguration()] * count
            tf.config.set_logical_device_configuration(cpu, logical)
    except RuntimeError as error:
        running = (
            jax.devices("cpu") if is_jax() else tf.config.list_logical_devices("CPU")
        )
        if len(running) < count:
            raise InputError(
                f"{current()} is already running on one CPU device: choose the "
                "strategy before anything else"
            ) from error
