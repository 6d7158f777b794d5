"""Runs: resume after SIGKILL, records without gaps, clear ends."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kerasgen import models, recipe, zoo
from kerasgen.cli import main
from kerasgen.errors import InputError, RunError
from kerasgen.training import loop

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


def test_init_starts_from_a_models_weights(digits_run, tmp_path):
    arguments = ["train", "vae_digits", "--out", str(tmp_path / "run"), "--quiet"]
    arguments += ["--steps", "1", "--set", "train.learning_rate=0.0"]
    assert main([*arguments, "--init", str(digits_run)]) == 0
    ours, theirs = zoo.load(tmp_path / "run"), zoo.load(digits_run)
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
    model = models.create(values, digits)
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
    model = models.create(values, digits)
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
