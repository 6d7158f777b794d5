"""README's figures are those of the artifacts."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_readme_is_up_to_date():
    command = [sys.executable, "tools/tables.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
