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
