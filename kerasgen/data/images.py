"""Files of images, and images that come with packages."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from kerasgen.data.splits import Split
from kerasgen.errors import InputError
from kerasgen.pictures import FORMATS, fitted, opened, reason

# What names of pictures end in. Those that can't be read are here too: they are told.
SUFFIXES = {suffix for suffixes in FORMATS.values() for suffix in suffixes}
SUFFIXES |= {".heic", ".heif", ".avif", ".jp2", ".svg"}
SHOWN = 3  # names of files in a line


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
        raise InputError(f"no pictures below {folder}, as {', '.join(FORMATS)}")
    return files


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
            image = opened(file)
        except Exception as error:  # PIL raises all kinds for damaged files
            skipped.append(f"{file.relative_to(folder)} ({reason(error)})")
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


def _fit(images: np.ndarray, image_shape) -> np.ndarray:
    """uint8 images in the wanted shape."""
    if image_shape is None or images.shape[1:] == tuple(image_shape):
        return images
    as_images = (Image.fromarray(image.squeeze()) for image in images)
    return np.stack([fitted(image, image_shape) for image in as_images])
