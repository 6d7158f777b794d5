"""The command line: bad input gets one line and exit status 2, and leaves nothing."""

import errno
import inspect
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kerasgen
from kerasgen import catalog, recipe
from kerasgen.cli import main
from kerasgen.errors import InputError, RunError


def lines(capsys):
    return capsys.readouterr().err.strip().splitlines()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "vae_digit"], "did you mean vae_digits"),
        (["train", "vae_digits", "--set", "model.latent_dimm=2"], "model.latent_dim"),
        (["train", "vae_digits", "--set", "model.latent_dim=-1"], "latent_dim must be"),
        (
            ["train", "vae_digits", "--set", "model.latent_dim=two"],
            "latent_dim must be",
        ),
        (["train", "vae_digits", "--set", "train.epochs"], "KEY=VALUE"),
        (
            ["train", "vae_digits", "--set", "train.schedule=cosin"],
            "did you mean cosine",
        ),
        (["train", "vae_digits", "--set", "train.optimizer=adm"], "train.optimizer"),
        (["train", "vae_digits", "--set", "train.monitor=val_los"], "val_loss"),
        (["train", "vae_digits", "--epochs", "0"], "at least 1"),
        (["train", "vae_digits", "--batch-size", "-3"], "at least 1"),
        (["train", "vae_digits", "--data", "folder:/nowhere"], "no data at"),
        (["train", "vae_digits", "--data", "digits"], "unknown data source"),
        (["train", "vae_digits", "--init", "/nowhere.keras"], "there is no model"),
        (["train", "vae_digits", "--out", "/dev/null/run"], "can't make the folder"),
        (["train", "vae_digits", "--data", "text:/dev/zero"], "not a regular file"),
        (["train", "vae_digits", "--set", "data={}"], "has no split 'train'"),
        (["train", "vae_digits", "--set", "data=2001-01-01"], "text or a number, not"),
        (["train", "vae_digits", "--set", "data=2001-99-99"], "is not a YAML value: m"),
        (["train", "vae_digits", "--seed=-1"], "train.seed must be at least 0"),
        (["train", "vae_digits", "--epochs", "1e12"], "train.epochs must be at most"),
        (["train", "/nowhere.yaml"], "no recipe file"),
        (["train", "vae_digits", "--set", "name=../up"], "must be a plain one"),
        (["train", "vae_digits", "--set", "name=.."], "must be a plain one"),
        (["train", "vae_digits", "--set", "train.monitor_mode=least"], "monitor_mode"),
        (["generate", "/nowhere"], "there is no model"),
        (["evaluate", "/nowhere"], "there is no model"),
        (["export", "/nowhere"], "there is no model"),
        (["verify", "/nowhere"], "there is no folder"),
    ],
)
def test_bad_input(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    found = lines(capsys)
    assert len(found) == 1 and message in found[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label", "3"], "takes no label"),
        (["--guidance", "3"], "takes no guidance"),
        (["--out", "/no/where/x.png"], "there is no folder"),
        (["--out", "x.jpg"], "must end in"),
        (["--runtime", "onnx"], "is no artifact"),
    ],
)
def test_bad_generate(digits_run, arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["generate", str(digits_run), *arguments]) == 2
    found = lines(capsys)
    assert len(found) == 1 and message in found[0]
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_models(digits_run, tmp_path, capsys):
    whole = (digits_run / "model.keras").read_bytes()
    path = tmp_path / "model.keras"
    import keras

    foreign = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    foreign.save(tmp_path / "foreign.keras")
    for content in (whole[:2000], b"", (tmp_path / "foreign.keras").read_bytes()):
        path.write_bytes(content)
        assert main(["generate", str(path), "--out", str(tmp_path / "x.png")]) == 2
        found = lines(capsys)
        assert len(found) == 1 and "model.keras" in found[0]
    assert main(["verify", str(tmp_path)]) == 2
    assert "is no artifact" in lines(capsys)[0]


def test_run_directories_are_not_overwritten(digits_run, capsys):
    assert main(["train", "vae_digits", "--out", str(digits_run)]) == 2
    assert "already has a run: add --resume" in lines(capsys)[0]


def test_a_users_own_recipe_and_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "faces").mkdir()
    for i in range(40):
        picture = rng.integers(0, 256, (20, 16, 3), dtype="uint8")
        Image.fromarray(picture).save(tmp_path / "faces" / f"{i}.jpg")
    (tmp_path / "mine.yaml").write_text(
        "family: vae\n"
        "data: folder:faces\n"
        "input: {image_shape: [16, 16, 3]}\n"
        "model: {latent_dim: 4, encoder: residual, decoder: residual,\n"
        "        likelihood: discretized_logistic}\n"
        "train: {steps: 3, batch_size: 8}\n"
    )
    assert main(["train", "mine.yaml", "--quiet"]) == 0
    assert main(["generate", "runs/mine", "-n", "3", "--quiet"]) == 0
    assert Image.open("mine.png").size == (100, 32)
    assert main(["export", "runs/mine", "--formats", "onnx", "--out", "art"]) == 0
    assert not (tmp_path / "art" / "1").exists() and main(["verify", "art"]) == 0
    assert main(["generate", "art", "--runtime", "litert"]) == 2


def test_an_autoencoder_does_not_generate(tmp_path, capsys):
    arguments = ["train", "autoencoder_digits", "--out", str(tmp_path / "run")]
    assert main([*arguments, "--steps", "2", "--quiet"]) == 0
    assert main(["generate", str(tmp_path / "run")]) == 2
    assert "can't generate in keras: its signatures are reconstruct" in lines(capsys)[0]


def test_module_and_usage():
    command = [sys.executable, "-m", "kerasgen"]
    helped = subprocess.run([*command, "--help"], capture_output=True, text=True)
    assert helped.returncode == 0 and "COMMAND" in helped.stdout
    wrong = subprocess.run([*command, "trian"], capture_output=True, text=True)
    assert wrong.returncode == 2


def test_the_command_alone_helps_and_says_its_version(capsys):
    assert main([]) == 0
    assert "usage: kerasgen" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"kerasgen {kerasgen.__version__}\n"


def test_bash_completes_commands_and_choices(tmp_path):
    code = [sys.executable, "-m", "kerasgen", "--print-completion", "bash"]
    done = subprocess.run(code, capture_output=True, text=True, check=True)
    script = tmp_path / "completion.bash"
    script.write_text(done.stdout)

    def completed(*words):
        ask = (
            f"source {script}; COMP_WORDS=({' '.join(words)}); "
            f"COMP_CWORD={len(words) - 1}; _shtab_kerasgen; echo ${{COMPREPLY[@]}}"
        )
        done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True)
        return done.stdout.split()

    assert completed("kerasgen", "gen") == ["generate"]
    found = completed("kerasgen", "generate", "x", "--runtime", "onnx")
    assert found == ["onnx", "onnx-fp16", "onnx-int8"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "kerasgen: unknown command 'trian': did you mean train"),
        (["generate", "x", "--runtime", "onx"], "'onx': did you mean onnx"),
        (["restore", "x", "y", "--task", "inpant"], "did you mean inpaint"),
        (["evaluate", "x", "--split", "train"], "expected one of test, validation"),
        (["train"], "kerasgen train: the following arguments are required: RECIPE"),
        (["generate", "x", "-n", "0"], "a whole number from 1 to 1,000,000, not '0'"),
        (["generate", "x", "-n", "3000000000"], "-n: must be a whole number from 1 to"),
        (["generate", "x", "-n", "1e12"], "from 1 to 1,000,000, not '1e12'"),
        (["generate", "x", "-n", "nan"], "must be a whole number from 1 to 1,000,000"),
        (["generate", "x", "--seed", "two"], "must be a whole number, not 'two'"),
        (["generate", "x", "--seed", "9" * 5000], "must be a whole number, not '999"),
        (["train", "vae_digits", "--epoch", "3", "--nothing"], "--nothing"),
    ],
)
def test_bad_usage_gets_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    (line,) = lines(capsys)
    assert message in line and "--help)" in line


def failing(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr(catalog, "list_recipes", fail)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("bad"), 2, "kerasgen: bad"),
        (RunError("failed"), 1, "kerasgen: failed"),
        (MemoryError(), 1, "kerasgen: out of memory: ask for less at once"),
        (OSError(errno.ENOSPC, "No space left"), 1, "kerasgen: the disk is full: make"),
        (
            RecursionError("deep\ndown"),
            1,
            "error: RecursionError: deep down; run",
        ),
        (KeyboardInterrupt(), 1, "kerasgen: interrupted"),
    ],
)
def test_every_error_becomes_one_line(error, status, line, monkeypatch, capsys):
    failing(monkeypatch, error)
    assert main(["list"]) == status
    (found,) = lines(capsys)
    assert line in found


@pytest.mark.parametrize("arguments", [["--debug", "list"], ["list", "--debug"]])
def test_debug_shows_the_traceback_too(arguments, monkeypatch, capsys):
    failing(monkeypatch, TypeError("odd"))
    assert main(arguments) == 1
    found = lines(capsys)
    assert found[0] == "Traceback (most recent call last):"
    assert found[-2] == "TypeError: odd" and "in fail" in "".join(found)
    assert found[-1].startswith("kerasgen: unexpected error: TypeError: odd; run again")


def test_output_that_nothing_takes(tmp_path):
    """A full disk, and a reader that has gone; Python's own exit would complain too."""
    command = [sys.executable, "-m", "kerasgen", "list"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    line = "kerasgen: the disk is full: make room, or write to another one\n"
    assert (done.returncode, done.stderr) == (1, line)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_standard_input_has_a_limit(monkeypatch, capsys):
    monkeypatch.setattr("kerasgen.commands.options.LONGEST_INPUT", 5)
    monkeypatch.setattr("sys.stdin", io.StringIO("123456" * 1000))
    assert main(["translate", "/nowhere"]) == 2
    assert "standard input has more than 5 characters: give" in lines(capsys)[0]
    monkeypatch.setattr("sys.stdin", io.StringIO("12345"))
    assert main(["translate", "/nowhere"]) == 2
    assert "there is no model" in lines(capsys)[0]


def test_list_has_columns_and_fits_a_terminal(capsys, monkeypatch):
    assert main(["list"]) == 0
    rows = capsys.readouterr().out.splitlines()
    (digits,) = [row for row in rows if row.startswith("vae_digits ")]
    assert digits.endswith("  A variational autoencoder of 8×8 handwritten digits")
    column = digits.index("A variational")
    assert len(rows) == len(recipe.names())
    assert {row[column - 2 : column] for row in rows} == {"  "}
    assert all(row[column] != " " for row in rows)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "70")
    assert main(["list"]) == 0
    narrow = capsys.readouterr().out.splitlines()
    assert max(map(len, narrow)) == 70 and any(row.endswith("…") for row in narrow)
    for row, whole in zip(narrow, rows, strict=True):
        assert whole.startswith(row.removesuffix("…"))


def test_public_names_are_listed():
    names = dir(kerasgen)
    models = {"Autoencoder", "DDPM", "GAN", "ImageClassifier", "LanguageModel"}
    assert {*models, "VAE", "Translator", "TextClassifier", "Model"} <= set(names)
    assert {"load", "verify", "list_recipes", "InputError"} <= set(names)
    assert names == sorted(["__version__", *kerasgen.__all__])
    for name in kerasgen.__all__:
        assert inspect.getdoc(getattr(kerasgen, name)), name
    kinds = kerasgen.Model.families.values()
    own = {kind.__name__ for kind in kinds if kind.__module__.startswith("kerasgen.")}
    assert own - {"GenerativeModel"} <= {*names}


def test_some_figures_are_measured_again(digits_run, tmp_path, capsys):
    run = shutil.copytree(digits_run, tmp_path / "run")
    before = json.loads((run / "metrics.json").read_text())["figures"]
    assert main(["evaluate", str(run), "--only", "reconstruction"]) == 0
    assert "nll" not in capsys.readouterr().out
    assert json.loads((run / "metrics.json").read_text())["figures"] == before
    (run / "best.keras").touch()  # the same weights
    assert main(["evaluate", str(run), "--only", "reconstruction", "--quiet"]) == 0
    assert json.loads((run / "metrics.json").read_text())["figures"] == before
    model = kerasgen.load(run)
    weight = model.trainable_variables[0]
    weight.assign(1.01 * weight)
    (model.averages or [weight])[0].assign(weight)
    model.save(run / "best.keras")
    capsys.readouterr()
    assert main(["evaluate", str(run), "--only", "reconstruction"]) == 0
    assert "no longer in" in capsys.readouterr().out
    found = json.loads((run / "metrics.json").read_text())["figures"]
    assert set(found) == {"reconstruction_error"} < set(before)
    assert main(["evaluate", str(run), "--only", "reconstructio"]) == 2
    assert "did you mean reconstruction" in capsys.readouterr().err


@pytest.fixture(scope="module")
def text_runs(tmp_path_factory):
    """A translator and a classifier, hardly trained, evaluated: run directories."""
    folder = tmp_path_factory.mktemp("texts")
    for name in ("translator_cldr", "classifier_cldr"):
        run = str(folder / name)
        options = ["--epochs", "1", "--quiet", "--set", "train.batch_size=128"]
        assert main(["train", name, "--out", run, *options]) == 0
        assert main(["evaluate", run, "--quiet", "--samples", "20"]) == 0
    return folder


def test_texts_are_translated(text_runs, capsys, monkeypatch):
    run = str(text_runs / "translator_cldr")
    assert main(["translate", run, "South Korea", "Zulu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    monkeypatch.setattr("sys.stdin", io.StringIO("\ufeffSouth Korea\n\n \t \nZulu\n"))
    assert main(["translate", run]) == 0
    found = capsys.readouterr().out.splitlines()
    assert found == [lines[0], "", "", lines[1]]  # a blank line is a blank line
    assert kerasgen.load(run).translate([" ", "Zulu", ""]) == ["", lines[1], ""]
    assert main(["translate", run, ""]) == 0
    assert capsys.readouterr().out == "\n"
    assert main(["translate", run, "Zulu", "--beam", "1"]) == 0
    seen = ["--attention", str(Path(run).with_name("map.png"))]
    assert main(["translate", run, "Zulu", *seen]) == 0
    assert Path(seen[1]).exists()
    assert main(["translate", run, "Zulu " * 20]) == 2
    assert "tokens, and the model's context" in capsys.readouterr().err
    assert main(["classify", run, "Zulu"]) == 2
    assert "can't classify_ids in keras" in capsys.readouterr().err


def test_texts_are_classified(text_runs, capsys, monkeypatch):
    run = str(text_runs / "classifier_cldr")
    assert main(["classify", run, "Frankreich", " ", "İsviçre"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [len(line) for line in lines] == [2, 0, 2]  # no words are of no class
    assert all(0 < float(line[1]) <= 1 for line in lines if line)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["classify", run]) == 2
    assert "there is no text" in capsys.readouterr().err


def test_bytes_that_are_no_text_get_one_line(text_runs, capsys, monkeypatch):
    """Of Latin-1, on standard input and on the command line."""
    latin = "Zulu\nCura\u00e7ao\n".encode("latin-1")
    for command in ("translate", "classify"):
        kind = {"translate": "translator", "classify": "classifier"}[command]
        run = str(text_runs / f"{kind}_cldr")
        stdin = io.TextIOWrapper(io.BytesIO(latin), encoding="utf-8")
        monkeypatch.setattr("sys.stdin", stdin)
        assert main([command, run]) == 2
        (line,) = lines(capsys)
        assert "standard input is not in UTF-8 (byte 0xe7 in line 2): convert" in line
        argument = latin[5:].decode("utf-8", "surrogateescape")  # as Python reads it
        assert main([command, run, argument]) == 2
        (line,) = lines(capsys)
        assert "a text is not in UTF-8 (byte 0xe7 in line 1)" in line
