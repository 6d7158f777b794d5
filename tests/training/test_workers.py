"""Several workers, as processes of this machine, train the model of one process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kerasgen.errors import InputError
from kerasgen.training import checkpoint, distribution, launch

WORKER = str(Path(__file__).parent / "worker.py")
GAN = str(Path(__file__).parents[1] / "contract" / "gan_contract.yaml")
RUN = ["--epochs", "3", "--seed", "3", "--quiet", "--set", "train.checkpoint_steps=4"]
LAUNCH = [sys.executable, "-m", "kerasgen.training.launch", "--workers", "2", "--"]


def test_keras_calls_give_the_results_of_one_process(tmp_path):
    for name, workers in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        command = [sys.executable, WORKER, str(tmp_path / name)]
        assert launch.launch(command, workers, restarts=0) == 0
    one, two = (np.load(tmp_path / name / "results.npz") for name in ("one", "two"))
    assert one["predictions"].shape == (45, 8, 8, 1)
    assert set(one) == set(two)
    for name in one:
        np.testing.assert_allclose(one[name], two[name], atol=1e-5, rtol=1e-5)


def _arrays(out):
    return checkpoint.read(out / "train_state.npz")[1]


def _history(out):
    return np.loadtxt(out / "history.csv", delimiter=",", skiprows=1)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize(
    "recipe", ["vae_digits", pytest.param(GAN, marks=pytest.mark.slow)]
)
def test_a_killed_worker_changes_nothing(recipe, tmp_path):
    for name in ("calm", "killed"):
        out = tmp_path / name
        command = [*LAUNCH, "train", recipe, *RUN, "--out", str(out)]
        launcher = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        if name == "killed":
            while not (out / "train_state.npz").exists():
                assert launcher.poll() is None
                time.sleep(0.002)
            children = f"/proc/{launcher.pid}/task/{launcher.pid}/children"
            second = int(Path(children).read_text().split()[1])
            os.kill(second, signal.SIGKILL)
        errors = launcher.communicate()[1]
        assert launcher.returncode == 0, errors
        assert ("worker 1 died (-9): starting all again" in errors) == (
            name == "killed"
        )
    for a, b in zip(
        *map(_arrays, (tmp_path / "calm", tmp_path / "killed")), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    # Sums of metrics that were cut in two add up in another order.
    calm, killed = (_history(tmp_path / name) for name in ("calm", "killed"))
    np.testing.assert_allclose(calm, killed, rtol=1e-5, atol=1e-6)

    alone = tmp_path / "alone"
    command = [sys.executable, "-m", "kerasgen", "train", recipe, *RUN]
    command += ["--out", str(alone)]
    subprocess.run([*command, "--strategy", "single"], check=True)
    for a, b in zip(_arrays(alone), _arrays(tmp_path / "calm"), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5)


def test_bad_input_is_not_tried_again(capfd):
    command = [sys.executable, "-c", "import sys; sys.exit('x' * 0 or 2)"]
    assert launch.launch(command, 2) == 2
    assert "starting all again" not in capfd.readouterr().err


def test_the_limit_of_restarts(capfd):
    command = [sys.executable, "-c", "raise SystemExit(1)"]
    assert launch.launch(command, 1, restarts=2) == 1
    assert capfd.readouterr().err.count("starting all again") == 2


@pytest.mark.parametrize("count", ["0", "-1", "3000000000"])
def test_workers_are_as_many_as_a_machine_can_have(count, capsys):
    with pytest.raises(SystemExit, match="2"):
        launch.main([f"--workers={count}", "--", "train", "vae_digits"])
    assert "--workers must be from 1 to 64" in capsys.readouterr().err


def test_hosts_get_their_tf_config(capsys, monkeypatch):
    assert launch.main(["--hosts", "a:1,b:2"]) == 0
    line = capsys.readouterr().out.splitlines()[3]
    monkeypatch.setenv("TF_CONFIG", line.split("=", 1)[1].strip("'"))
    assert distribution.cluster() == ["a:1", "b:2"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("{", "TF_CONFIG must be"),
        ("[]", "TF_CONFIG must be"),
        ("[" * 100_000, "TF_CONFIG must be"),
        ('{"cluster": [], "task": {"type": "worker", "index": 0}}', "must be {"),
        (
            '{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}',
            "must be {",  # else each of its letters is a worker
        ),
        (
            '{"cluster": {"worker": ["a:1"], "chief": 5}, '
            '"task": {"type": "worker", "index": 0}}',
            "must be {",
        ),
        (
            '{"cluster": {"worker": ["a:1", 7]}, "task": {"type": "worker", '
            '"index": 0}}',
            "must be {",
        ),
        (
            '{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}',
            '\\["HOST:PORT", …\\]',
        ),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}',
            "this one among them",
        ),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
            "must",
        ),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, '
            '"task": {"type": "worker", "index": 0}}',
            "no parameter servers",
        ),
    ],
)
def test_a_tf_config_that_does_not_fit(config, words, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(InputError, match=words):
        distribution.cluster()


def test_multiworker_needs_a_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(InputError, match="TF_CONFIG"):
        distribution.strategy("multiworker")
