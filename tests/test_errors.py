"""What is said of errors: one line each, with what to do."""

import errno

import numpy as np
import pytest

import kerasgen
from kerasgen.errors import InputError, RunError, one_line, told, unknown


class ResourceExhaustedError(Exception):
    """Has the name of TensorFlow's."""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("a\nb"), "a b"),
        (RunError("loss is nan"), "loss is nan"),
        (KeyboardInterrupt(), "interrupted"),
        (MemoryError(), "out of memory: ask for less at once (fewer samples"),
        (ResourceExhaustedError("OOM when allocating"), "out of memory: ask for less"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), "out of memory: ask for"),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/a.png"),
            "the disk is full (runs/a.png was not written): make room, or write to",
        ),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk is full: make room"),
        (
            ResourceExhaustedError("a.tmp; No space left on device"),
            "the disk is full: make room, or write to another one",
        ),
        (OSError("320000 requested and 47072 written"), "the disk is full: make room"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "a: Permission den"),
        (
            TypeError("x\n  y"),
            "unexpected error: TypeError: x y; run again with --debug, and report",
        ),
        (KeyError(), "unexpected error: KeyError; run again with --debug"),
        (OSError("no number"), "unexpected error: OSError: no number; run again"),
    ],
)
def test_what_is_said(error, line):
    assert told(error).startswith(line)
    assert "\n" not in told(error)


def test_numpy_has_its_own_memory_error():
    with pytest.raises(MemoryError) as caught:
        np.empty(2**60, "uint8")
    assert told(caught.value).startswith("out of memory")


def test_a_line_can_be_shown():
    assert one_line("a\x1b[31m\tb\udce9") == "a\\x1b[31m b\\udce9"
    assert one_line("a" * 1000) == "a" * 1000
    long = one_line("a" * 2000 + "do this")
    assert len(long) < 1000 and long.endswith("ado this") and "a … a" in long


def test_the_nearest_names_are_found_in_small_letters_too():
    assert "did you mean Adam?" in str(unknown("optimizer", "adam", ["Adam", "SGD"]))


def test_the_package_knows_its_names():
    assert {"VAE", "__version__"} <= {*dir(kerasgen)}
    with pytest.raises(AttributeError, match="'Vae': did you mean VAE"):
        _ = kerasgen.Vae
