"""Sources of images."""

import os
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from kerasgen.data import Split, find_file
from kerasgen.errors import InputError

SUFFIXES = {".png", ".jpg", ".jpeg"}


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


def load_folder(name: str, image_shape):
    """PNG and JPEG files below a folder; the names of sub-folders are labels."""
    folder = find_file(name)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    files = image_files(folder)
    names = sorted({file.parent.name for file in files if file.parent != folder})
    if image_shape is None:
        with _opened(files[0]) as first:
            image_shape = (first.height, first.width, len(first.getbands()))
    images = np.stack([read_image(file, image_shape) for file in files])
    if not names or any(file.parent == folder for file in files):
        return {"train": Split(images)}, []
    labels = [names.index(file.parent.name) for file in files]
    return {"train": Split(images, np.array(labels, "int32"))}, names


def image_files(folder: Path) -> list[Path]:
    """The PNG and JPEG files below a folder, in order; at least one."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"no PNG or JPEG files below {folder}")
    return files


def read_image(path: str | os.PathLike, image_shape) -> np.ndarray:
    """One file as uint8 `image_shape`: cropped at the centre to its aspect, resized."""
    with _opened(path) as image:
        return _resized(image, image_shape)


def _opened(path):
    try:
        image = Image.open(Path(path))
        image.load()
        return image
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{path} is not a readable image") from error


def _fit(images: np.ndarray, image_shape) -> np.ndarray:
    """uint8 images in the wanted shape."""
    if image_shape is None or images.shape[1:] == tuple(image_shape):
        return images
    as_images = (Image.fromarray(image.squeeze()) for image in images)
    return np.stack([_resized(image, image_shape) for image in as_images])


def _resized(image: Image.Image, image_shape) -> np.ndarray:
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
