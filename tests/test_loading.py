"""The artifacts that ship: whole, and equal in every runtime; and files that lie."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

import kerasgen
from kerasgen import manifest, places
from kerasgen.errors import InputError
from kerasgen.export.server import server
from kerasgen.models import loading

ARTIFACTS = sorted((Path(__file__).parents[1] / "saved_models").glob("*/manifest.json"))


@pytest.mark.slow
@pytest.mark.parametrize("manifest", ARTIFACTS, ids=lambda path: path.parent.name)
def test_artifacts_verify(manifest):
    assert all(row["ok"] for row in kerasgen.verify(manifest.parent))


def test_load_by_name(monkeypatch):
    monkeypatch.chdir(ARTIFACTS[0].parents[2])
    assert kerasgen.load("vae_digits").generate(2).shape == (2, 8, 8, 1)


def test_smaller_files_serve_what_their_format_does(monkeypatch):
    monkeypatch.chdir(ARTIFACTS[0].parents[2])
    place = places.find("gpt_jsb")
    (_, exact), (_, halves) = (server(place, f"onnx{end}") for end in ("", "-fp16"))
    assert set(halves) == set(exact) >= {"generate", "decode_step"}


def test_list_recipes_knows_the_artifacts(monkeypatch):
    monkeypatch.chdir(ARTIFACTS[0].parents[2])
    rows = {row["name"]: row for row in kerasgen.list_recipes()}
    assert rows["vae_digits"]["artifact"] == "saved_models/vae_digits"
    assert rows["vae_digits"]["parameters"] > 100_000


@pytest.fixture(scope="module")
def model():
    """A VAE of a few weights."""
    dense = {"name": "dense", "widths": [4]}
    return kerasgen.VAE((4, 4, 1), latent_dim=2, encoder=dense, decoder=dense)


@pytest.fixture
def members(model, tmp_path):
    """What is in the file of that model."""
    model.save(tmp_path / "good.keras")
    with zipfile.ZipFile(tmp_path / "good.keras") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def saved(folder, members, compression=zipfile.ZIP_STORED):
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_file_that_was_packed_anew_is_the_same(model, members, tmp_path):
    path = saved(tmp_path, members, zipfile.ZIP_DEFLATED)
    seen = kerasgen.load(path).generate(2)
    np.testing.assert_array_equal(seen, model.generate(2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config.json": b"[1]"}, "config.json in .* must hold an object in JSON"),
        ({"config.json": b"[" * 100_000}, "config.json in .* must hold an object"),
        ({"config.json": b'{"registered_name": 7}'}, "is not a kerasgen model"),
        ({"config.json": None}, "has not the members of a model"),
        ({"more.py": b""}, "has not the members of a model"),
        ({"model.weights.h5": b"nothing"}, "can't be loaded: Unable to"),
        ({"model.weights.h5": bytes(2 * 10**7)}, "20,00[0-9],[0-9]{3} are packed in"),
    ],
)
def test_files_that_lie_are_not_loaded(members, tmp_path, changes, message):
    changed = {k: v for k, v in (members | changes).items() if v is not None}
    large = sum(map(len, changed.values())) > 10**7
    packed = zipfile.ZIP_DEFLATED if large else zipfile.ZIP_STORED
    with pytest.raises(InputError, match=message) as caught:
        kerasgen.load(saved(tmp_path, changed, packed))
    assert "\n" not in str(caught.value)


def test_weights_of_another_model_get_one_line(members, tmp_path, capfd, recwarn):
    config = json.loads(members["config.json"])
    config["config"]["latent_dim"] = 3
    path = saved(tmp_path, members | {"config.json": json.dumps(config)})
    expected = "its weights are not those of its config.json$"
    with pytest.raises(InputError, match=expected):
        kerasgen.load(path)
    assert capfd.readouterr() == ("", "") and not recwarn.list


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(model, tmp_path, value):
    copy = model.changed()
    kernel = copy.trainable_variables[0]
    array = np.array(kernel)
    array[0, :3] = value
    kernel.assign(array)
    copy.save(tmp_path / "model.keras")
    expected = rf"model.keras can't be used: 3 of {array.size} numbers of its weight "
    with pytest.raises(InputError, match=expected + r"dense_\d+/kernel are NaN"):
        kerasgen.load(tmp_path)
    with pytest.raises(InputError, match="^the model can't be used: 3 of"):
        loading.require_finite(copy, "the model")
    loading.require_finite(model, "the model")


GOOD = {
    "tokenizer": {"name": "characters", "characters": "ab"},
    "labels": ["x"],
    "ends": True,
    "context": 8,
    "cut": False,
}


@pytest.mark.parametrize(
    "changes",
    [
        {"tokenizer": None},
        {"tokenizer": {"name": "none"}},
        {"tokenizer": {"name": "characters"}},
        {"tokenizer": {"name": "sentencepiece", "proto": "!"}},
        {"tokenizer": {"name": "sentencepiece", "proto": "aGVsbG8="}},
        {"tokenizer": {"name": "words", "words": 5}},
        {"ends": 1},
        {"context": "8"},
        {"context": 0},
        {"labels": [1]},
        {"labels": None},
        {"more": 1},
    ],
)
def test_a_damaged_tokenizer_gets_one_line(tmp_path, changes):
    path, place = tmp_path / "tokenizer.json", places.Place(tmp_path / "x", tmp_path)
    path.write_text(json.dumps(GOOD))
    assert loading.codec(place).ids(["ab"]).tolist() == [[1, 2, 3]]
    path.write_text(json.dumps(GOOD | changes))
    with pytest.raises(InputError, match="tokenizer.json is damaged: it must hold a"):
        loading.codec(place)
    path.write_text(json.dumps(GOOD)[:-9])
    with pytest.raises(InputError, match="tokenizer.json is damaged: it must hold an"):
        loading.codec(place)


@pytest.mark.parametrize("content", ['["a", 1]', '["a"', "{}", '{"labels": 3}'])
def test_damaged_names_of_classes_get_one_line(tmp_path, content):
    place = places.Place(tmp_path / "x", tmp_path)
    (tmp_path / places.LABELS).write_text(content)
    with pytest.raises(InputError, match="labels.json is damaged: it must hold"):
        places.label_names(place)
    (tmp_path / places.LABELS).write_text('["a", "b"]')
    assert places.label_names(place) == ["a", "b"]
    (tmp_path / manifest.NAME).write_text('{"labels": ["c"]}')
    assert places.label_names(place) == ["c"]
    (tmp_path / manifest.NAME).write_text('{"labels": 3}')
    with pytest.raises(InputError, match="manifest.json is damaged: it must hold the"):
        places.label_names(place)
    (tmp_path / manifest.NAME).write_text("[")
    with pytest.raises(InputError, match="manifest.json is damaged: it must hold an"):
        places.label_names(place)


def test_one_damaged_manifest_does_not_hide_the_others(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, content in (("vae_digits", '{"parameters": 7}'), ("vae_mnist", "{")):
        folder = tmp_path / "saved_models" / name
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(content)
    rows = {row["name"]: row for row in kerasgen.list_recipes()}
    assert rows["vae_digits"]["parameters"] == 7
    assert rows["vae_mnist"]["artifact"] is rows["vae_mnist"]["parameters"] is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "saved_models/vae_mnist/manifest.json is damaged" in line
