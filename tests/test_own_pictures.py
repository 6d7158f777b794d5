"""Own pictures, from a folder of odd files to a verified artifact."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kerasgen
from kerasgen.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "own-data.md"


def odd_pictures(folder: Path) -> None:
    """24 pictures of all sizes and kinds in two classes, and files that are none."""
    rng = np.random.default_rng(0)
    turned = Image.Exif()
    turned[0x0112] = 6
    for i in range(24):
        height, width = rng.integers(40, 200, 2)
        pixels = rng.integers(0, 256, (height, width, 3), dtype="uint8")
        picture = Image.fromarray(pixels)
        deep = Image.fromarray(pixels[..., 0].astype("uint16") * 257)
        clear = picture.copy()
        clear.putalpha(Image.fromarray(pixels[..., 1]))
        suffix, image, options = (
            ("jpg", picture, {"exif": turned}),
            ("png", deep, {}),
            ("png", clear, {}),
            ("webp", clear, {}),
            ("jpeg", picture.convert("CMYK"), {}),
            ("gif", picture.convert("P"), {}),
            ("tiff", picture, {}),
            ("bmp", picture.convert("L"), {}),
        )[i % 8]
        place = folder / ("cat", "dog")[i // 12] / ("2021" if i % 3 else ".")
        place.mkdir(parents=True, exist_ok=True)
        image.save(place / f"{i}.{suffix}", **options)
    (folder / "cat" / "broken.png").write_bytes(b"no image")
    (folder / "cat" / "._0.jpg").write_bytes(b"of macOS")


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """The recipe of the documents beside odd pictures: a folder."""
    folder = tmp_path_factory.mktemp("faces")
    odd_pictures(folder / "my_pictures")
    _, text = PAGE.read_text(encoding="utf-8").split("`kerasgen train faces.yaml`")
    recipe = text.split("```yaml\n")[1].split("```")[0]
    (folder / "faces.yaml").write_text(recipe, encoding="utf-8")
    return folder


def test_the_recipe_of_readme_trains_on_odd_pictures(faces, monkeypatch, capsys):
    monkeypatch.chdir(faces)
    arguments = ["train", "faces.yaml", "--steps", "1", "--batch-size", "4"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "my_pictures: 24 pictures, 2 classes, 1 skipped: cat/broken.png (no picture of "
        "a known format)"
    )
    assert lines[1].endswith("are read as [64, 64, 3], as input.image_shape says")
    assert "only 1 for validation and 1 for test are held out" in lines[2]
    model = kerasgen.load("runs/faces")
    assert model.image_shape == (64, 64, 3) and model.classes == 2
    assert len(model.serve("score", **model.signatures()["score"].example(1))) == 1


@pytest.mark.slow  # all formats of a model of 64×64 pixels
def test_the_recipe_of_readme_becomes_an_artifact(faces, monkeypatch):
    monkeypatch.chdir(faces)
    arguments = ["train", "faces.yaml", "--steps", "2", "--batch-size", "4", "--quiet"]
    assert main([*arguments, "--out", "run"]) == 0
    assert main(["export", "run", "--out", "artifact", "--quiet"]) == 0
    assert main(["verify", "artifact"]) == 0


SMALL = """
family: vae
data: folder:pictures
input: {image_shape: [8, 8, 1], holdout: 0.2}
model: {latent_dim: 2, classes: auto, encoder: {name: dense, widths: [8]},
        decoder: {name: dense, widths: [8]}}
train: {epochs: 1, batch_size: 8}
"""


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """A model of two classes, trained from `small.yaml`: a folder with its run."""
    folder = tmp_path_factory.mktemp("conditional")
    odd_pictures(folder / "pictures")
    (folder / "small.yaml").write_text(SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "small.yaml", "--quiet"]) == 0
    return folder


@pytest.fixture
def copy(conditional, tmp_path, monkeypatch):
    """A copy of that folder, where the test runs."""
    shutil.copytree(conditional, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def test_quiet_prints_nothing(copy, capfd):
    assert main(["train", "small.yaml", "--quiet", "--out", "other"]) == 0
    out, err = capfd.readouterr()
    assert out == "" and "skipped" not in err


def test_a_label_is_a_name_on_the_command_line(copy, capsys):
    def drawn(label, *more):
        arguments = ["generate", "runs/small", "-n", "2", "--quiet", "--out", "x.npy"]
        assert main([*arguments, "--label", label, *more]) == 0
        return np.load("x.npy")

    np.testing.assert_array_equal(drawn("dog"), drawn("1"))
    assert np.abs(drawn("dog") - drawn("cat")).max() > 1e-4
    assert np.abs(drawn("-1") - drawn("cat")).max() > 1e-4
    for label, message in (
        ("dgo", "unknown label 'dgo': did you mean dog"),
        ("2", "label must be the name of a class, or a number from 0 to 1, or -1"),
        ("-2147483649", "not -2147483649"),
    ):
        assert main(["generate", "runs/small", f"--label={label}"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


def test_an_artifact_knows_its_classes_without_its_data(copy):
    shutil.rmtree("pictures")
    arguments = ["export", "runs/small", "--formats", "onnx", "--out", "art", "--quiet"]
    assert main(arguments) == 0
    assert json.loads(Path("art/manifest.json").read_text())["labels"] == ["cat", "dog"]
    drawn = []
    for label in ("dog", "1"):
        arguments = ["generate", "art", "--runtime", "onnx", "--out", "x.npy"]
        assert main([*arguments, "-n", "2", "--quiet", "--label", label]) == 0
        drawn.append(np.load("x.npy"))
    np.testing.assert_array_equal(*drawn)


def test_auto_resumes_where_classes_are_the_same(copy, capsys):
    more = ["train", "small.yaml", "--epochs", "2", "--resume"]
    assert main(more) == 0
    assert "already finished" not in capsys.readouterr().out
    assert kerasgen.load("runs/small").classes == 2
    Path("pictures/cat").rename("pictures/owl")
    assert main([*more, "--epochs", "3"]) == 2
    assert "run with other classes in its data (cat, owl)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "model.classes=1"], r"label 1 (dog), but labels are from 0 to 0"),
        (["--data", "folder:pictures/cat"], "model.classes is 2, and the train data"),
        (["--set", "input.strict=true"], "no file to be skipped: cat/broken.png"),
        (["--set", "input.holdout=0.5"], "too few to train on"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(copy, arguments, message, capsys):
    if arguments[0] == "--data":
        arguments = [*arguments, "--set", "model.classes=2"]
    assert main(["train", "small.yaml", "--out", "other", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and not Path("other").exists()
