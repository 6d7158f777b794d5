"""What each command of `kerasgen` does, given its options (`kerasgen.cli`).

A file each, whose first line says it to users.

TensorFlow is imported only by what computes, and after all checks of what needs none,
so that errors in names are instant.
"""

from kerasgen.commands import (
    classify,
    evaluate,
    export,
    generate,
    list,
    pull,
    push,
    restore,
    train,
    translate,
    verify,
)

__all__ = [
    "classify",
    "evaluate",
    "export",
    "generate",
    "list",
    "pull",
    "push",
    "restore",
    "train",
    "translate",
    "verify",
]
