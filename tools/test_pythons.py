"""The wheel in fresh virtual environments: each Python, each way to install it.

    python tools/test_pythons.py [VERSION …]

VERSION is 3.11, 3.12 or 3.13; default: all. For each: the package alone trains and
draws, and says which extra its export wants; with `all` it exports and verifies; and
so it does in an environment that held the newest torch and transformers before. On the
first also with the least versions that setup.cfg names.
"""

import configparser
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("3.11", "3.12", "3.13")
BESIDE = ("torch", "transformers")
IMPORT = "import torch, transformers, tensorflow, kerasgen; kerasgen.VAE"


class Environment:
    """A virtual environment in a scratch folder of its own."""

    def __init__(self, python: str, scratch: Path):
        self.home = Path(tempfile.mkdtemp(prefix=f"{python}-", dir=scratch))
        run([interpreter(python), "-m", "venv", self.home / "venv"])

    def install(self, *what, **options):
        run([self.home / "venv/bin/pip", "install", "--quiet", *what], **options)

    def call(self, command: str, *arguments, fails: str = "") -> None:
        """A command of the environment, in an empty folder; `fails` is a part of the
        one line of an expected refusal."""
        path = [self.home / "venv/bin" / command, *arguments]
        done = run(path, cwd=self.home, check=not fails)
        if fails:
            lines = done.stderr.strip().splitlines()
            assert done.returncode == 2 and len(lines) == 1, done.stderr
            assert fails in lines[0], done.stderr


def interpreter(version: str) -> str:
    """The program of a Python version."""
    known = [f"python{version}", *map(str, pyenv(version))]
    for name in known:
        program = shutil.which(name)
        if program and run([program, "-c", ""], check=False).returncode == 0:
            return program
    sys.exit(f"there is no Python {version} here")


def pyenv(version: str) -> list[Path]:
    """Those that pyenv has."""
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return sorted(home.glob(f"versions/{version}.*/bin/python"))


def run(command, check=True, **options):
    """Run, and show what went wrong."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if check and done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done


def built(scratch: Path) -> Path:
    """The wheel of a copy, as what is left of earlier builds would be in it."""
    source = scratch / "source"
    shutil.copytree(ROOT / "kerasgen", source / "kerasgen")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    run([*pip, "--wheel-dir", scratch, source])
    (wheel,) = scratch.glob("*.whl")
    return wheel


def least(scratch: Path) -> Path:
    """Constraints of the least versions that setup.cfg names."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = config["options.extras_require"]
    lines = config["options"]["install_requires"].split()
    for name in ("export", "text", "molecules", "music", "data", "hub"):
        lines += extras[name].split()
    path = scratch / "least.txt"
    pins = [line.partition(",")[0].replace(">=", "==") for line in lines]
    path.write_text("\n".join(pins) + "\n")
    return path


def trains_and_ships(environment: Environment, train: bool = True) -> None:
    """vae_digits, of one epoch."""
    if train:
        environment.call("kerasgen", "train", "vae_digits", "--epochs", "1", "--quiet")
    environment.call("kerasgen", "generate", "runs/vae_digits", "-n", "4")
    export = ["export", "runs/vae_digits", "--out", "artifact", "--quiet"]
    environment.call("kerasgen", *export)
    environment.call("kerasgen", "verify", "artifact", "--quiet")


def main(versions=VERSIONS) -> None:
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        wheel = built(scratch)
        every = f"{wheel}[all]"
        for version in versions:
            lean = Environment(version, scratch)
            lean.install(wheel)
            lean.call("kerasgen", "train", "vae_digits", "--epochs", "1", "--quiet")
            lean.call("kerasgen", "generate", "runs/vae_digits", "-n", "4")
            lean.call("kerasgen", "export", "runs/vae_digits", fails="extra 'export'")
            print(f"{version}: trains and draws without extras", flush=True)
            lean.install(every)
            trains_and_ships(lean, train=False)
            lean.call("pip", "check")
            print(f"{version}: exports and verifies with all", flush=True)

            shutil.rmtree(lean.home)
            shared = Environment(version, scratch)
            shared.install(*BESIDE)
            shared.install(every)
            shared.call("pip", "check")
            shared.call("python", "-c", IMPORT)
            trains_and_ships(shared)
            print(f"{version}: the same beside {' and '.join(BESIDE)}", flush=True)
            shutil.rmtree(shared.home)
        oldest = Environment(versions[0], scratch)
        oldest.install("--constraint", least(scratch), every)
        trains_and_ships(oldest)
        print(f"{versions[0]}: the same with the least versions", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or VERSIONS)
