"""tools/serving.py: a real server gives every client its own rows."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = str(ROOT / "tools" / "serving.py")


@pytest.mark.slow
@pytest.mark.skipif(
    not (ROOT / ".venv-serving").exists(), reason="make test-serving installs Triton"
)
def test_every_answer_is_that_of_its_request(tmp_path):
    target = tmp_path / "serving.json"
    command = [sys.executable, TOOL, "vae_digits", "translator_multi30k"]
    command += ["--seconds", "1", "--json", target]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    results = json.loads(target.read_text())
    assert set(results) == {
        f"{name}-{runtime}"
        for name in ("vae_digits", "translator_multi30k")
        for runtime in ("tensorflow_c", "onnx")
    }
    for name, found in results.items():
        assert found["errors"] == found["wrong"] == 0 < found["requests"]
        speed = found["rows_per_second"]
        if name.startswith("vae"):  # small enough that a batch costs little more
            assert speed["batch_32"] > 3 * speed["batch_1"]


def test_a_zoo_without_models_gets_one_line(tmp_path):
    command = [sys.executable, TOOL, "--zoo", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 2 and "there are no artifacts in" in run.stderr
