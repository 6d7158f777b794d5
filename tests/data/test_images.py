"""Pictures as people have them: turned, deep, transparent, hidden, broken."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kerasgen.data.images import image_files, read_images
from kerasgen.errors import InputError
from kerasgen.pictures import FORMATS, read_image

COLOURS = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype="uint8")


def saved(path, image, shape=None, **options):
    """An image written to a file and read again, in its own shape."""
    image.save(path, **options)
    return read_image(path, shape or (image.height, image.width, len(image.getbands())))


@pytest.mark.parametrize("suffix", ["png", "webp", "bmp", "tif", "tiff", "ppm"])
def test_lossless_formats_are_read(suffix, tmp_path):
    options = {"lossless": True} if suffix == "webp" else {}
    read = saved(tmp_path / f"a.{suffix}", Image.fromarray(COLOURS), **options)
    np.testing.assert_array_equal(read, COLOURS)


def test_of_an_animation_the_first_frame_is_read(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert (read_image(path, (4, 4, 3)) == [255, 0, 0]).all()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_the_orientation_of_a_camera_is_applied(suffix, tmp_path):
    """6: the camera was held so that the picture must be turned clockwise."""
    picture = np.zeros((16, 32, 3), "uint8")
    picture[:, :16] = 255  # white at the left, which is then at the top
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"a.{suffix}"
    read = saved(path, Image.fromarray(picture), (32, 16, 3), exif=exif)
    assert read[:15].min() > 240 and read[17:].max() < 15


def test_greys_of_16_bits_are_divided_by_257(tmp_path):
    deep = np.array([[0, 128, 129, 257], [32768, 40000, 65407, 65535]], "uint16")
    read = saved(tmp_path / "a.png", Image.fromarray(deep))
    assert read[..., 0].tolist() == [[0, 0, 1, 1], [128, 156, 255, 255]]
    image = Image.fromarray(deep.astype("int32"))
    assert image.mode == "I"
    np.testing.assert_array_equal(saved(tmp_path / "a.tif", image), read)


@pytest.mark.parametrize("kind", ["float32", "int32"])
def test_greys_without_a_known_range_are_refused(kind, tmp_path):
    image = Image.fromarray(np.full((4, 4), 70000, kind))
    with pytest.raises(InputError, match="a.tif is not a readable image: .*r"):
        saved(tmp_path / "a.tif", image)


def test_what_is_transparent_is_white(tmp_path):
    """The hidden colour is black, half of it shows as grey."""
    colours = Image.new("RGBA", (2, 1))
    colours.putdata([(0, 0, 0, 0), (255, 0, 0, 51)])
    read = saved(tmp_path / "a.png", colours, (1, 2, 3))
    assert read.tolist() == [[[255, 255, 255], [255, 204, 204]]]

    greys = Image.new("LA", (3, 1))
    greys.putdata([(0, 0), (0, 255), (100, 51)])
    read = saved(tmp_path / "b.png", greys, (1, 3, 1))
    assert read.ravel().tolist() == [255, 0, 224]

    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putdata([0, 1])
    read = saved(tmp_path / "c.png", palette, (1, 2, 3), transparency=0)
    assert read.tolist() == [[[255, 255, 255], [40, 50, 60]]]

    deep = Image.fromarray(np.array([[500, 1000]], "uint16"))
    read = saved(tmp_path / "d.png", deep, transparency=500)
    assert read.ravel().tolist() == [255, 4]


def test_print_colours_are_read(tmp_path):
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # red
    read = saved(tmp_path / "a.jpg", image, (8, 8, 3))
    np.testing.assert_allclose(read[4, 4], [255, 0, 0], atol=4)


def test_hidden_files_are_no_pictures(tmp_path):
    places = ["a.png", "sub/b.PNG", "._a.png", ".git/c.png", "__MACOSX/d.png", "e.txt"]
    for place in places:
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
    (tmp_path / "folder.png").mkdir()
    hidden = tmp_path / ".hidden"  # a source may itself be
    for folder in (tmp_path, hidden):
        folder.mkdir(exist_ok=True)
        (folder / "a.png").touch()
        assert [p.name for p in image_files(folder)][:1] == ["a.png"]
    assert [p.name for p in image_files(tmp_path)] == ["a.png", "b.PNG"]
    with pytest.raises(InputError, match=r"no pictures below .*empty"):
        image_files(tmp_path / "empty")


def test_files_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("L", (9, 9)).save(tmp_path / "a.png")
    Image.new("L", (15, 10)).save(tmp_path / "large.png")  # only PIL's warning
    Image.new("L", (99, 99)).save(tmp_path / "bomb.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "runs.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    files = image_files(tmp_path)
    images, kept, shapes, skipped = read_images(files, tmp_path)
    assert images.shape == (2, 9, 9, 1) and shapes == [(9, 9, 1), (10, 15, 1)]
    assert [file.name for file in kept] == ["a.png", "large.png"]
    found = dict(line.split(" ", 1) for line in skipped)
    assert "exceeds limit of 200 pixels" in found["bomb.png"]
    assert found["gone.png"] == "(No such file or directory)"
    unknown = "(no picture of a known format)"
    assert found["phone.heic"] == found["runs.png"] == unknown
    assert list(found) == ["bomb.png", "cut.png", "gone.png", "phone.heic", "runs.png"]
    with pytest.raises(InputError, match=r"can be read: 1 skipped: bomb\.png \(Image"):
        read_images([tmp_path / "bomb.png"], tmp_path)
    with pytest.raises(InputError, match=r"cut\.png is not a readable image: ") as got:
        read_image(tmp_path / "cut.png", (9, 9, 1))
    assert "\n" not in str(got.value)


def test_the_formats_that_are_read_are_those_that_are_named(tmp_path):
    """By the documents, by the error, and by the ends of names."""
    page = Path(__file__).parents[2] / "docs" / "how-to" / "own-data.md"
    listed = re.search(r"folder of pictures \(([^)]*)\)", page.read_text()).group(1)
    assert sorted(re.split(r",\s+", listed)) == sorted(FORMATS)
    with pytest.raises(InputError) as caught:
        image_files(tmp_path)
    assert all(name in str(caught.value) for name in FORMATS)
    for name, suffixes in FORMATS.items():
        for suffix in suffixes:
            Image.new("L", (2, 2), 7).save(tmp_path / f"a{suffix}", name)
    files = image_files(tmp_path)
    images, kept, *_ = read_images(files, tmp_path)
    assert len(kept) == sum(map(len, FORMATS.values()))
    assert np.ptp(images) <= 2  # JPEG rounds
