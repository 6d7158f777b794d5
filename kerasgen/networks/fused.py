"""Elementwise functions that are compiled as one operation where a step is trained.

TensorFlow's CPU runs one operation after the other, each a pass over memory, and one
without vector instructions in bfloat16. Products and convolutions are better left to it
than to XLA; what stands between them is not.
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator

_scope = threading.local()  # replicas are traced in threads of their own


@contextlib.contextmanager
def fusing(compiler: Callable | None) -> Iterator[None]:
    """Inside, `fused` functions are what `compiler` makes of them; None: themselves."""
    before = getattr(_scope, "compiler", None)
    _scope.compiler = compiler
    try:
        yield
    finally:
        _scope.compiler = before


def is_fusing() -> bool:
    """Whether there is a compiler."""
    return getattr(_scope, "compiler", None) is not None


def fused(function: Callable) -> Callable:
    """`function`, of tensors alone, compiled inside `fusing`; and its gradient."""
    compiled = {}

    @functools.wraps(function)
    def call(*tensors):
        if not is_fusing():
            return function(*tensors)
        compiler = _scope.compiler
        if compiler not in compiled:
            compiled[compiler] = compiler(function)
        return compiled[compiler](*tensors)

    return call
