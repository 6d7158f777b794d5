"""Recipes: every key known, every value typed, without TensorFlow."""

import json
import subprocess
import sys

import pytest

from kerasgen import recipe
from kerasgen.errors import InputError


@pytest.mark.parametrize("name", recipe.names())
def test_every_recipe_reads_and_survives_a_round_trip(name, tmp_path):
    read = recipe.read(name)
    path = tmp_path / f"{name}.yaml"
    path.write_text(read.text(), encoding="utf-8")
    assert recipe.read(str(path)) == read


def test_settings_replace_values():
    changed = recipe.read("vae_digits", {"train.epochs": 3, "model.beta": 2.0})
    assert changed.train.epochs == 3 and changed.model["beta"] == 2.0
    assert recipe.read(
        "vae_digits", {"train.learning_rate": "1e-4"}
    ).train.learning_rate
    rates = recipe.read("vae_digits", {"train.learning_rate": {"vae": "1e-4"}})
    assert rates.train.learning_rate == {"vae": 1e-4}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train.epoch": 3}, "did you mean train.epochs"),
        ({"model.laten_dim": 3}, "did you mean model.latent_dim"),
        ({"trian.epochs": 3}, "did you mean train"),
        ({"train.epochs": "many"}, "train.epochs must be int, not 'many'"),
        ({"train.epochs": True}, "train.epochs must be int"),
        ({"train.epochs": 0}, "at least 1"),
        ({"train.accumulate": 0}, "train.accumulate must be at least 1"),
        ({"train.strategy": "parameter_server"}, "use mirrored or multiworker"),
        ({"train.strategy": "tpu"}, "use mirrored or multiworker"),
        ({"train.strategy": "mirorred"}, "did you mean mirrored"),
        ({"train.precision": "float16"}, "did you mean float32 or mixed_float16"),
        ({"train.schedule": "cosin"}, "did you mean cosine"),
        ({"train": 3}, "train must hold keys"),
        (
            {"train.learning_rate": {"vae": "high"}},
            "train.learning_rate.vae must be float",
        ),
        ({"family.x": 3}, "family has no keys below it"),
    ],
)
def test_bad_settings_get_one_line(settings, message):
    with pytest.raises(InputError, match=message) as caught:
        recipe.read("vae_digits", settings)
    assert "\n" not in str(caught.value)


def test_unknown_recipes_name_the_nearest():
    with pytest.raises(InputError, match="did you mean vae_digits"):
        recipe.read("vae_digit")


def test_files_must_hold_recipes(tmp_path):
    path = tmp_path / "mine.yaml"
    with pytest.raises(InputError, match="no recipe file"):
        recipe.read(str(path))
    path.write_text("family: [vae", encoding="utf-8")
    with pytest.raises(InputError, match="not a YAML file"):
        recipe.read(str(path))
    path.write_text("family: vae", encoding="utf-8")
    with pytest.raises(InputError, match="lacks the key 'data'"):
        recipe.read(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: 2001-01-01", "data must be text or a number, not a date: put it in q"),
        ("data: 2001-99-99", "not a YAML file: month must be in 1..12"),
        ("data: !!set {a, b}", "data must be text or a number, not a set"),
        ("data: !!binary aGk=", "data must be text or a number, not a bytes"),
        ("data: !!timestamp x", "is not a YAML file"),
        ("train: {learning_rate: !!float abc}", "not a YAML file: could not convert"),
        ("train: {epochs: !!int ''}", "is not a YAML file"),
        (f"train: {{epochs: {'9' * 5000}}}", "not a YAML file: Exceeds the limit"),
        (f"train: {{epochs: {2**63}}}", "epochs must be a finite number of at most 64"),
        ("train: {learning_rate: .nan}", "learning_rate must be a finite number"),
        ("train: {clip_norm: -.inf}", "clip_norm must be a finite number"),
        ("train: {learning_rate: nan}", "learning_rate must be float or dict, not 'n"),
        ("1: 2", "the key 1 must be text: put it in quotes"),
        ("model: {2001-01-01: 2}", "the key 2001-01-01 must be text"),
        ("train: " + "[" * 3000, "is not a YAML file: maximum recursion"),
        ("paper: &a [*a]", "has more than 100,000 values, with those that aliases"),
        ("train: {seed: -1}", "train.seed must be at least 0, not -1"),
        (f"train: {{seed: {2**32}}}", "train.seed must be at most 4,294,967,295, not"),
        ("train: {devices: 1000}", "train.devices must be at most 64, not 1000"),
        ("train: {batch_size: 4000000000}", "train.batch_size must be at most 1,048,"),
        ("train: {batch_size: 4, accumulate: 5}", "at most train.batch_size, 4, not 5"),
        ("train: {warmup_steps: -1}", "train.warmup_steps must be at least 0, not -1"),
        ("train: {learning_rate: -1e-3}", "learning_rate must be at least 0, not -0.0"),
        ("train: {learning_rate: {vae: -1}}", "learning_rate must be at least 0, not"),
        ("input: {image_shape: [8]}", r"must be \[height, width, channels\] with 1 or"),
        ("input: {image_shape: [a, 8, 1]}", r"as \[64, 64, 3\], not \['a', 8, 1\]"),
        ("input: {image_shape: [8, 8, 2]}", "with 1 or 3 channels"),
        ("input: {image_shape: [100000, 8, 1]}", "input.image_shape must be"),
        ("evaluate: {samples: 3000000000}", "evaluate.samples must be at most 1,000,"),
        ("evaluate: {nll_every: 0}", "evaluate.nll_every must be at least 1, not 0"),
        ("name: caf\u00e9\ndata: \ud83d", "is not in UTF-8"),
    ],
)
def test_values_that_no_recipe_has(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    rest = "family: vae\n" + "data: bundled:digits\n" * ("data: " not in text)
    path.write_bytes((rest + text).encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=message) as caught:
        recipe.read(str(path))
    assert "\n" not in str(caught.value)


def test_a_family_is_no_path():
    assert recipe.model_arguments("../models/vae") is None
    assert recipe.model_arguments("x" * 5000) is None
    assert "latent_dim" in recipe.model_arguments("vae")


def test_aliases_that_stand_for_a_few_values_are_read(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "family: vae\ndata: bundled:digits\n"
        "model: {encoder: &net {name: dense, widths: [8]}, decoder: *net}\n"
    )
    assert recipe.read(str(path)).model["decoder"] == {"name": "dense", "widths": [8]}
    levels = [f"l{k}: &l{k} [{f'*l{k - 1}, ' * 9}]" for k in range(1, 30)]  # 9^29
    path.write_text("paper:\n  l0: &l0 x\n  " + "\n  ".join(levels) + "\n")
    with pytest.raises(InputError, match="more than 100,000 values"):
        recipe.read(str(path))


def test_large_recipes_are_not_read(tmp_path):
    with open(tmp_path / "mine.yaml", "wb") as file:
        file.truncate(5 * 10**9)
    with pytest.raises(InputError, match="has more than 262,144 bytes"):
        recipe.read(str(tmp_path / "mine.yaml"))


def test_names_and_keys_are_answered_without_tensorflow():
    """TensorFlow is made unimportable; so is Keras."""
    program = (
        "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "from kerasgen.cli import main\n"
        "assert main(['list', '--json']) == 0\n"
        "assert main(['train', 'vae_digit']) == 2\n"
        "assert main(['train', 'vae_digits', '--set', 'model.x=1']) == 2\n"
        "assert main(['generate', 'nowhere']) == 2\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["recipes"]
    keys = {"name", "family", "description", "data", "parameters", "artifact"}
    assert keys == set(rows[0])


def test_a_profile_replaces_values(tmp_path):
    path = tmp_path / "mine.yaml"
    text = """
        family: vae
        data: bundled:digits
        model: {latent_dim: 4, encoder: {name: dense, widths: [8], dropout: 0.1}}
        train: {batch_size: 8}
        profiles:
          gpu: {model: {encoder: {widths: [99]}}, train: {precision: mixed_bfloat16}}
          other: {model: {encoder: {name: residual}}}
    """
    path.write_text(text)
    small, gpu, other = (
        recipe.read(str(path), None, p) for p in (None, "gpu", "other")
    )
    assert small.train.precision == "float32"
    assert gpu.model["encoder"] == {"name": "dense", "widths": [99], "dropout": 0.1}
    assert (gpu.train.precision, gpu.train.batch_size) == ("mixed_bfloat16", 8)
    assert other.model == {"latent_dim": 4, "encoder": {"name": "residual"}}
    with pytest.raises(InputError, match="unknown profile 'gpus': did you mean gpu"):
        recipe.read(str(path), profile="gpus")
    with pytest.raises(InputError, match="vae_digits.yaml has no profiles"):
        recipe.read("vae_digits", profile="gpu")
    path.write_text(text.replace("precision", "precisions"))
    with pytest.raises(InputError, match="did you mean train.precision"):
        recipe.read(str(path))
