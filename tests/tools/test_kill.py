"""tools/kill_test.py on a real run."""

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = str(Path(__file__).parents[2] / "tools" / "kill_test.py")


@pytest.mark.slow
def test_twenty_kills_change_nothing():
    command = [sys.executable, TOOL, "vae_digits", "--kills", "20", "--seed", "0"]
    run = subprocess.run([*command, "--", "--epochs", "20"], capture_output=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert b"20 kills: the same run, to the last bit" in run.stdout
    assert b"while it saved" in run.stdout


def test_options_are_checked():
    run = subprocess.run([sys.executable, TOOL, "vae_digits", "--kills", "0"])
    assert run.returncode == 2
