"""Files of images, and images that come with packages."""

import os
import stat
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kerasgen.data.splits import Split
from kerasgen.errors import InputError

# What names of pictures end in. Those that can't be read are here too: they are told.
SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff"}
SUFFIXES |= {".gif", ".ppm", ".pgm", ".pnm", ".heic", ".heif", ".avif", ".jp2", ".svg"}
# What is read: no format that runs a program, as EPS does.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
SHOWN = 3  # names of files in a line
GREY = ("1", "L", "LA", "La")


def from_tfds(arrays, labels, image_shape) -> Split:
    """What tensorflow-datasets has under "image"."""
    return Split(_fit(arrays["image"], image_shape), labels)


def load_digits(image_shape):
    """scikit-learn's 8×8 handwritten digits."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype("uint8")[..., None]
    split = Split(_fit(images, image_shape), digits.target.astype("int32"))
    return {"train": split}, [str(digit) for digit in digits.target_names]


def image_files(folder: Path) -> list[Path]:
    """The pictures below a folder, in order; at least one.

    Hidden files and folders are left out, and what macOS puts into archives.
    """
    files = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part[0] == "." or part == "__MACOSX" for part in parts)
        file = path.is_file() or not path.exists()  # a broken link is told later
        if file and not hidden and path.suffix.lower() in SUFFIXES:
            files.append(path)
    if not files:
        raise InputError(f"no pictures below {folder}, as .png, .jpg, .gif or .webp")
    return files


def read_image(path: str | os.PathLike, image_shape) -> np.ndarray:
    """One file as uint8 `image_shape`: cropped at the centre to its aspect, resized.

    Raises:
        InputError: if it can't be read.
    """
    try:
        image = _opened(path)
    except Exception as error:  # PIL raises all kinds for damaged files
        line = f"{path} is not a readable image: {_reason(error)}"
        raise InputError(line) from error
    return fitted(image, image_shape)


def read_images(files: Sequence[Path], folder: Path, image_shape=None):
    """Files below a folder; those that can't be read are left out.

    Args:
        files: pictures, at least one.
        folder: that they are below.
        image_shape: (height, width, channels) to crop and resize to; None: that of the
            first.
    Returns:
        uint8 images `(n, height, width, channels)`, the n files that they come from,
        the shapes that these have, and for each other file its name and why.
    Raises:
        InputError: if none can be read.
    """
    images, kept, shapes, skipped = [], [], [], []
    for file in files:
        try:
            image = _opened(file)
        except Exception as error:  # PIL raises all kinds for damaged files
            skipped.append(f"{file.relative_to(folder)} ({_reason(error)})")
            continue
        shape = (image.height, image.width, len(image.getbands()))
        image_shape = image_shape or shape
        images.append(fitted(image, image_shape))
        kept.append(file)
        shapes.append(shape)
    if not images:
        raise InputError(f"no picture below {folder} can be read: {told(skipped)}")
    return np.stack(images), kept, shapes, skipped


def told(skipped: Sequence[str]) -> str:
    """ "4 skipped: …", of files and why."""
    rest = len(skipped) - SHOWN
    more = f", and {rest} more" if rest > 0 else ""
    return f"{len(skipped)} skipped: {', '.join(skipped[:SHOWN])}{more}"


def _opened(path: str | os.PathLike) -> Image.Image:
    """A file as people see it, in mode L or RGB: upright, 8 bits, on white."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe may never end
        raise OSError("no regular file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures and odd metadata
        with Image.open(Path(path), formats=FORMATS) as image:
            image.load()
            return _on_white(_of_8_bits(ImageOps.exif_transpose(image)))


def fitted(image: Image.Image, image_shape) -> np.ndarray:
    """An image as uint8 `image_shape`: cropped at the centre to its aspect, resized."""
    height, width, channels = image_shape
    if channels not in (1, 3):
        raise InputError(f"images have 1 or 3 channels, not {channels}")
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        scale = min(image.width / width, image.height / height)
        w, h = width * scale, height * scale
        left, top = (image.width - w) / 2, (image.height - h) / 2
        image = image.resize(
            (width, height),
            Image.Resampling.BICUBIC,
            box=(left, top, left + w, top + h),
        )
    return np.asarray(image, "uint8").reshape(image_shape)


def _of_8_bits(image: Image.Image) -> Image.Image:
    """Greys of 16 bits as ones of 8, where PIL would cut them off at 255."""
    if image.mode == "F":
        raise ValueError("floats, whose range is not known")
    if not image.mode.startswith("I"):
        return image
    greys = np.asarray(image).astype("int64")
    if greys.min() < 0 or greys.max() > 65535:
        raise ValueError("greys of more than 16 bits")
    greys[greys == image.info.get("transparency")] = 65535
    return Image.fromarray(np.round(greys / 257).astype("uint8"))


def _on_white(image: Image.Image) -> Image.Image:
    """In mode L or RGB, without the colour that transparent pixels hide."""
    grey = image.mode in GREY
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("L" if grey else "RGB")


def _reason(error: BaseException) -> str:
    """Why a file can't be read, in a few words."""
    if isinstance(error, UnidentifiedImageError):
        return "no picture of a known format"
    line = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(line.split())[:100]


def _fit(images: np.ndarray, image_shape) -> np.ndarray:
    """uint8 images in the wanted shape."""
    if image_shape is None or images.shape[1:] == tuple(image_shape):
        return images
    as_images = (Image.fromarray(image.squeeze()) for image in images)
    return np.stack([fitted(image, image_shape) for image in as_images])
