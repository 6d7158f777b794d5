"""What benchmarks share: exported sessions, peers in a process of their own, the peak.

A benchmark yields cases `(name, ours, peer, unit, units)`: two functions that do
`units` of work, to be timed (or that return their own time as a float); and, where
there is more to say, a function of what was found.
"""

import contextlib
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import tensorflow as tf

from kerasgen.data.stream import untuned
from kerasgen.errors import InputError
from kerasgen.export import onnx

Case = tuple  # of these five or six


def exported(model, signature: str):
    """A signature, exported to ONNX, in ONNX Runtime."""
    return opened(onnx.convert(model.signatures()[signature], {}))


def opened(proto):
    import onnxruntime

    return onnxruntime.InferenceSession(proto.SerializeToString())


def gemm_peak() -> float:
    """FLOP/s of the best of several large float32 products."""
    a = tf.random.normal((2048, 2048))
    best = math.inf
    for _ in range(10):
        start = time.perf_counter()
        tf.linalg.matmul(a, a).numpy()
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best


def endless(batch) -> tf.data.Dataset:
    """The same batch again and again."""
    return untuned(tf.data.Dataset.from_tensors(batch).repeat())


@contextlib.contextmanager
def other_python(program: str, values: dict):
    """A peer that needs an environment of its own: its first word, and a function that
    has it take steps."""
    python = os.environ.get("KERASGEN_PEER_PYTHON", sys.executable)
    script = Path(__file__).parent / "peers" / program
    with subprocess.Popen(
        [python, str(script), json.dumps(values)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        first = process.stdout.readline()
        if not first:
            raise InputError(
                "this peer needs `pip install torch diffusers transformers` in an "
                "environment of its own: give its python as KERASGEN_PEER_PYTHON"
            )

        def run(steps: int) -> None:
            print(steps, file=process.stdin, flush=True)
            process.stdout.readline()

        try:
            yield int(first), run
        finally:
            process.stdin.close()
