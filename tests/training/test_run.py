"""Runs: resume after SIGKILL, records without gaps, clear ends."""

import contextlib
import csv
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import kerasgen
from kerasgen import recipe
from kerasgen.building import create
from kerasgen.cli import main
from kerasgen.errors import InputError, RunError
from kerasgen.files import atomic
from kerasgen.training import loop
from kerasgen.training.callbacks import Recorder, StopOnNaN

TOOLS = Path(__file__).parents[2] / "tools"
GAN = str(Path(__file__).parents[1] / "contract" / "gan_contract.yaml")
COMMAND = [sys.executable, "-m", "kerasgen", "train", "vae_digits"]


def compare(a, b, *options):
    """Exit status of tools/compare_weights.py."""
    script = str(TOOLS / "compare_weights.py")
    return subprocess.run([sys.executable, script, str(a), str(b), *options]).returncode


def autoencoder_run(out):
    """Arguments of a run of autoencoder_digits."""
    return ["train", "autoencoder_digits", "--out", str(out), "--quiet"]


def test_sigkill_and_resume_is_exact(tmp_path):
    options = ["--epochs", "6", "--seed", "1", "--set", "train.checkpoint_seconds=0"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*COMMAND, "--out", str(whole), *options, "--quiet"], check=True)

    process = subprocess.Popen([*COMMAND, "--out", str(killed), *options, "--quiet"])
    deadline = time.monotonic() + 120
    while not (killed / "samples" / "epoch_0002.png").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed / "model.keras").exists()

    resume = [*COMMAND, "--out", str(killed), *options, "--resume", "--quiet"]
    subprocess.run(resume, check=True)
    assert compare(whole, killed) == 0
    ours, theirs = (path / "history.csv" for path in (killed, whole))
    assert ours.read_text() == theirs.read_text()
    assert not list(killed.glob(".*"))


def test_resume_starts_what_is_not_there_and_keeps_what_is_done(tmp_path):
    arguments = autoencoder_run(tmp_path / "run")
    arguments += ["--steps", "3", "--resume"]
    assert main(arguments) == 0
    before = (tmp_path / "run" / "model.keras").stat().st_mtime_ns
    history = (tmp_path / "run" / "history.csv").read_text()
    assert main(arguments) == 0
    assert (tmp_path / "run" / "model.keras").stat().st_mtime_ns == before
    assert (tmp_path / "run" / "history.csv").read_text() == history


def test_more_epochs_continue_a_finished_run(tmp_path):
    out = tmp_path / "run"
    arguments = autoencoder_run(out)
    arguments += ["--set", "train.schedule=constant", "--resume", "--epochs"]
    assert main([*arguments, "1"]) == 0 == main([*arguments, "3"])
    rows = list(csv.DictReader((out / "history.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    whole = tmp_path / "whole"
    arguments[3] = str(whole)
    assert main([*arguments, "3"]) == 0
    assert compare(whole, out) == 0

    events = EventAccumulator(str(out / "tensorboard"), {"tensors": 0}).Reload()
    steps = [event.step for event in events.Tensors("val_loss")]
    assert steps == [int(row["step"]) for row in rows]


@pytest.mark.parametrize(
    "option", ["--seed=9", "--batch-size=7", "--set=model.latent_dim=3"]
)
def test_another_recipe_is_not_resumed(digits_run, option, capsys):
    arguments = ["train", "vae_digits", "--out", str(digits_run), "--resume", option]
    assert main([*arguments, "--epochs=3"]) == 2
    assert "is a run with another" in capsys.readouterr().err


def test_a_damaged_state_is_refused(tmp_path, capsys):
    arguments = autoencoder_run(tmp_path / "run")
    arguments += ["--set", "train.schedule=constant"]
    assert main([*arguments, "--steps", "2"]) == 0
    state = tmp_path / "run" / "train_state.npz"
    state.write_bytes(state.read_bytes()[:1000])
    (tmp_path / "run" / "model.keras").unlink()
    assert main([*arguments, "--steps", "4", "--resume"]) == 2
    assert "train_state.npz is damaged" in capsys.readouterr().err


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
    tiny = recipe.read("vae_digits", {"train.learning_rate": 1e6, "train.steps": 90})
    with pytest.raises(RunError, match="train.learning_rate"):
        loop.train(tiny, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "model.keras").exists()


def test_only_own_leftovers_are_swept(tmp_path):
    out = tmp_path / "deep" / "run"
    arguments = [*autoencoder_run(out), "--set", "train.schedule=constant"]
    assert main([*arguments, "--steps", "2"]) == 0
    (out / ".notes").mkdir()
    (out / ".gitignore").write_text("*.png")
    with contextlib.suppress(OSError), atomic(out / "a.npz") as unfinished:
        os.link(unfinished, out / f"{unfinished.name[:-3]}npy")  # as a kill leaves it
        raise OSError
    assert len(list(out.glob(".*"))) == 3
    assert main([*arguments, "--steps", "3", "--resume"]) == 0
    assert {path.name for path in out.glob(".*")} == {".notes", ".gitignore"}


@pytest.mark.parametrize(
    ("schedule", "key", "said"),
    [
        ("train.schedule=cosine", "--steps", "its train.steps, 2;"),
        ("train.cooldown_steps=1", "--steps", "its train.steps, 2;"),
        ("train.schedule=cosine", "--epochs", "its train.epochs, 1;"),
    ],
)
def test_a_rate_that_falls_to_the_end_keeps_its_end(
    tmp_path, schedule, key, said, capsys
):
    arguments = [*autoencoder_run(tmp_path / "run"), "--set", "train.schedule=constant"]
    arguments += ["--batch-size", "900", "--set", schedule, key]
    end = "1" if key == "--epochs" else "2"
    assert main([*arguments, end]) == 0
    assert main([*arguments, "3", "--resume"]) == 2
    error = capsys.readouterr().err
    assert said in error and "--init" in error
    assert main([*arguments, end, "--resume"]) == 0


def test_a_folder_is_one_trainings_alone(tmp_path, capsys):
    out = tmp_path / "run"
    holder = (
        "import sys, time, pathlib\n"
        "from kerasgen.training.checkpoint import folder_of_one\n"
        "with folder_of_one(pathlib.Path(sys.argv[1])):\n"
        "    print(flush=True)\n"
        "    time.sleep(99)"
    )
    command = [sys.executable, "-c", holder, str(out)]
    other = subprocess.Popen(command, stdout=subprocess.PIPE)
    other.stdout.readline()
    assert main([*autoencoder_run(out), "--steps", "1"]) == 2
    assert "another process is training in" in capsys.readouterr().err
    other.kill()  # leaves no lock
    other.wait()
    assert main([*autoencoder_run(out), "--steps", "1"]) == 0


@pytest.mark.parametrize("steps_per_execution", [1, 3, 20, 64])
def test_losses_are_looked_at_now_and_then(steps_per_execution, monkeypatch):
    """To look is to wait for the step; Keras calls once an execution of several."""
    looked = []
    monkeypatch.setattr(StopOnNaN, "check", lambda self, logs: looked.append(logs))
    guard = StopOnNaN()
    for epoch in range(2):
        guard.on_epoch_begin(epoch)
        for batch in range(steps_per_execution - 1, 192, steps_per_execution):
            guard.on_train_batch_end(batch, (epoch, batch))
    gaps = np.diff([batch for epoch, batch in looked if epoch == 0])
    assert len(looked) == 2 * (len(gaps) + 1)
    assert gaps.min() >= 20 and gaps.max() < 20 + steps_per_execution
    assert looked[0] == (0, steps_per_execution - 1)


@pytest.mark.parametrize(
    ("monitor", "mode", "values", "kept"),
    [
        ("val_loss", "auto", [3.0, 1.0, math.nan, 2.0], 1),
        ("val_loss", "auto", [math.nan, 5.0, 6.0], 1),
        ("val_accuracy", "auto", [0.5, 0.9, math.nan, 0.7], 1),
        ("val_diversity", "auto", [0.5, 0.9, 0.7], 1),
        ("val_accuracy", "min", [0.5, 0.4, 0.9], 1),
        ("val_loss", "max", [0.5, 0.9, 0.7], 1),
    ],
)
@pytest.mark.parametrize("resumed", [False, True])
def test_the_best_epoch(monitor, mode, values, kept, resumed):
    train = recipe.Train(monitor=monitor, monitor_mode=mode)
    recorder = object.__new__(Recorder)
    recorder.values, recorder.best, best = train, None, None
    for epoch, value in enumerate(values):
        if recorder._is_best({monitor: value}):
            best = epoch
        if resumed:
            recorder.best = json.loads(json.dumps(recorder.best))
    assert best == kept and recorder.best == values[kept]


def test_init_of_another_shape_says_which_weight(digits_run, tmp_path, capsys):
    arguments = ["train", "vae_digits", "--out", str(tmp_path / "run"), "--quiet"]
    arguments += ["--set", "model.latent_dim=3", "--init", str(digits_run)]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert re.search(r"its \S*kernel is \(\d+, \d+\), the recipe's \S*kernel", error)
    assert not (tmp_path / "run").exists()


def test_no_state_without_numbers_is_saved(tmp_path):
    """Whatever the step at which a state is due, long before the next regular look."""
    settings = {"train.learning_rate": 1e30, "train.steps": 15}
    settings |= {"train.checkpoint_steps": 14, "train.steps_per_execution": 1}
    with pytest.raises(RunError, match="is nan at step 14"):
        loop.train(recipe.read("vae_digits", settings), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "train_state.npz").exists()


def test_init_starts_from_a_models_weights(digits_run, tmp_path):
    arguments = ["train", "vae_digits", "--out", str(tmp_path / "run"), "--quiet"]
    arguments += ["--steps", "1", "--set", "train.learning_rate=0.0"]
    assert main([*arguments, "--init", str(digits_run)]) == 0
    ours, theirs = kerasgen.load(tmp_path / "run"), kerasgen.load(digits_run)
    np.testing.assert_allclose(ours.generate(3), theirs.generate(3), atol=1e-6)


def test_mirrored_is_single(tmp_path):
    """Processes of their own: devices are chosen before TensorFlow starts."""
    options = ["--epochs", "2", "--seed", "3", "--quiet", "--strategy"]
    for strategy in (["single"], ["mirrored", "--devices", "2"]):
        out = tmp_path / strategy[0]
        command = [*COMMAND, "--out", str(out), *options, *strategy]
        subprocess.run(command, check=True)
    assert compare(tmp_path / "single", tmp_path / "mirrored", "--atol", "1e-5") == 0


def test_compare_weights_tells_differences(tmp_path, digits_run):
    other = tmp_path / "other"
    arguments = ["train", "vae_digits", "--out", str(other), "--quiet", "--steps", "9"]
    assert main(arguments) == 0
    assert compare(digits_run, digits_run) == 0
    assert compare(digits_run, other) == 1
    assert compare(digits_run, tmp_path / "none.keras") == 2


def test_phases_have_optimizers_and_schedules_of_their_own(digits):
    """The critic takes two updates a step, so its schedule is twice as long."""
    settings = {
        "train.optimizer": {"discriminator": "rmsprop", "generator": {"name": "adam"}},
        "train.learning_rate": {"discriminator": 4e-4, "generator": 1e-4},
        "train.schedule": "cosine",
        "model.critic_repeats": 2,
        "model.generator": "dense",
        "model.discriminator": "dense",
    }
    values = recipe.read(GAN, settings)
    model = create(values, digits)
    optimizers = loop._optimizers(values.train, model.phases(), 100)
    for name, kind, rate, steps in (
        ("discriminator", "RMSprop", 4e-4, 200),
        ("generator", "Adam", 1e-4, 100),
    ):
        assert type(optimizers[name]).__name__ == kind
        schedule = optimizers[name]._learning_rate
        assert float(schedule(0)) == pytest.approx(rate)
        assert float(schedule(steps // 2)) == pytest.approx(rate / 2, rel=1e-3)
        assert float(schedule(steps)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("key", "value"),
    [("learning_rate", {"critic": 1e-4}), ("optimizer", {"generator": "adam"})],
)
def test_every_phase_needs_its_value(key, value, digits):
    values = recipe.read(GAN, {f"train.{key}": value})
    model = create(values, digits)
    message = f"train.{key} is for .*: give it for discriminator, generator"
    with pytest.raises(InputError, match=message):
        loop._optimizers(values.train, model.phases(), 100)


def test_without_a_figure_to_watch_the_last_epoch_is_kept(tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ["train", GAN, "--out", str(out), "--set", "model.augment={}"]
    arguments += ["--set", "model.generator=dense", "--set", "model.penalty=none"]
    arguments += ["--set", "model.discriminator=dense"]
    assert main([*arguments, "--epochs", "2"]) == 0
    assert "discriminator_loss" in capsys.readouterr().out
    assert compare(out / "best.keras", out / "model.keras") == 0
    arguments[3] = str(tmp_path / "other")
    assert main([*arguments, "--set", "train.monitor=val_loss"]) == 2
    assert "unknown train.monitor 'val_loss'" in capsys.readouterr().err
