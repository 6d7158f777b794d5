"""Kill a training run again and again, and see that nothing changed.

    python tools/kill_test.py RECIPE [--kills N] [-- OPTIONS OF kerasgen train]

One run goes undisturbed. A second is killed (SIGKILL) N times, at random moments and
every third time during the write of a checkpoint, and resumed each time. Then the
states of both must be equal to the last bit, with each epoch once in history.csv.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kerasgen.quiet import import_tensorflow


def start(recipe: str, out: Path, options: list[str]) -> subprocess.Popen:
    command = [sys.executable, "-m", "kerasgen", "train", recipe, "--out", str(out)]
    command += ["--quiet", "--set", "train.checkpoint_seconds=0", *options]
    return subprocess.Popen([*command, "--resume"])


def writing(out: Path) -> set[Path]:
    """Checkpoints that are being written, under their temporary names."""
    return set(out.glob(".train_state-*"))


def trains(out: Path, since: float) -> bool:
    """Whether the run has saved something after `since`."""
    state = out / "train_state.npz"
    return state.exists() and state.stat().st_mtime > since


def wait(process: subprocess.Popen, condition) -> bool:
    """Wait for the condition; False if the process ends before."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(0.0005)
    return False


def disturbed(recipe: str, out: Path, options, kills: int, seconds: float) -> int:
    """Train with `kills` kills, each in a share of `seconds`; -> how many hit."""
    done = 0
    while True:
        started = time.time()
        process = start(recipe, out, options)
        if done < kills and wait(process, lambda: trains(out, started)):  # noqa: B023
            time.sleep(random.uniform(0.0, seconds / kills))
            before = writing(out)
            if done % 3 == 0:
                wait(process, lambda: writing(out) - before)  # noqa: B023
            process.kill()
        if process.wait() >= 0:  # it ended by itself
            if process.returncode:
                raise SystemExit(f"kill_test: the run failed ({process.returncode})")
            return done
        done += 1
        kind = "while it saved" if writing(out) else "between checkpoints"
        print(f"kill {done}, {kind}", flush=True)


def different(a: Path, b: Path) -> list[str]:
    """What differs between two finished runs."""
    import_tensorflow()
    from kerasgen.training.checkpoint import read

    (progress, arrays), (other_progress, others) = (
        read(out / "train_state.npz") for out in (a, b)
    )
    found = []
    if [x.tobytes() for x in arrays] != [x.tobytes() for x in others]:
        found.append("weights, averages or optimizers")
    if progress != other_progress:
        found.append("progress")
    if (a / "history.csv").read_text() != (b / "history.csv").read_text():
        found.append("history.csv")
    epochs = [row["epoch"] for row in progress["history"]]
    if epochs != list(range(1, len(epochs) + 1)):
        found.append("epochs that are not there once")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill a run, resume it, compare.")
    parser.add_argument("recipe", metavar="RECIPE")
    parser.add_argument("--kills", type=int, default=20, metavar="N")
    parser.add_argument("--seed", type=int, metavar="N", help="of the moments")
    parser.epilog = "What follows -- are options for `kerasgen train`."
    words = [*sys.argv[1:], "--"]
    ours, theirs = words[: words.index("--")], words[words.index("--") + 1 : -1]
    options = parser.parse_args(ours)
    if options.kills < 1:
        parser.error("--kills must be at least 1")
    random.seed(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        calm, killed = Path(folder) / "calm", Path(folder) / "killed"
        started = time.time()
        process = start(options.recipe, calm, theirs)
        wait(process, lambda: trains(calm, started))
        started = time.time()
        if process.wait():
            return process.returncode
        # Less than the whole, as resuming costs time in which nothing is trained.
        seconds = 0.5 * (time.time() - started)
        kills = disturbed(options.recipe, killed, theirs, options.kills, seconds)
        found = different(calm, killed)
    if kills < options.kills:
        found.append(f"only {kills} kills before the end: give more --epochs")
    print(f"{kills} kills: " + ("; ".join(found) or "the same run, to the last bit"))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
