"""Silence for libraries that write to the process's own stderr."""

import contextlib
import os
import sys
import warnings


@contextlib.contextmanager
def quiet():
    """Send everything written to stderr, by C++ code too, to nowhere."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def import_tensorflow() -> None:
    """Import TensorFlow without its greetings, and with oneDNN."""
    # Its default only where there is AVX-512: with AVX2 alone a DCGAN's step takes 1.6
    # times as long without it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with quiet():
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")
