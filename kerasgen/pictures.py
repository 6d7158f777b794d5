"""Pictures: files of all formats -> arrays of pixels -> grids, plots and PNG."""

import io
import math
import os
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kerasgen.errors import InputError
from kerasgen.files import atomic

# What is read, and what its files end in: no format that runs a program, as EPS does.
FORMATS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pnm"),
}
GREY = ("1", "L", "LA", "La")
COLUMNS = 8
SMALLEST = 32  # images smaller than this are enlarged, to be seen


def read_image(path: str | os.PathLike, image_shape) -> np.ndarray:
    """One file as uint8 `image_shape`: cropped at the centre to its aspect, resized.

    Raises:
        InputError: if it can't be read.
    """
    try:
        image = opened(path)
    except Exception as error:  # PIL raises all kinds for damaged files
        line = f"{path} is not a readable image: {reason(error)}"
        raise InputError(line) from error
    return fitted(image, image_shape)


def opened(path: str | os.PathLike) -> Image.Image:
    """A file as people see it, in mode L or RGB: upright, 8 bits, on white."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe may never end
        raise OSError("no regular file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures and odd metadata
        with Image.open(Path(path), formats=[*FORMATS]) as image:
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


def reason(error: BaseException) -> str:
    """Why a file can't be read, in a few words."""
    if isinstance(error, UnidentifiedImageError):
        return "no picture of a known format"
    line = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(line.split())[:100]


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


def pixels(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1] as uint8; uint8 ones as they are."""
    images = np.asarray(images)
    if images.dtype == np.uint8:
        return images
    return np.round(np.clip(images, 0.0, 1.0) * 255).astype("uint8")


def grid(images: np.ndarray, columns: int = COLUMNS) -> np.ndarray:
    """Images `(n, height, width, channels)` -> one uint8 picture of them all."""
    images = pixels(images)
    n, height, width, channels = images.shape
    rows, columns = math.ceil(n / columns), min(n, columns)
    padded = np.zeros((rows * columns, height + 1, width + 1, channels), "uint8")
    padded[:n, :height, :width] = images
    cells = padded.reshape(rows, columns, height + 1, width + 1, channels)
    picture = cells.transpose(0, 2, 1, 3, 4)
    picture = picture.reshape(rows * (height + 1), columns * (width + 1), channels)
    scale = max(1, SMALLEST // max(height, width))
    return picture[:-1, :-1].repeat(scale, axis=0).repeat(scale, axis=1)


def in_turn(*sides: np.ndarray) -> np.ndarray:
    """Images of equally many sides for one `grid`: a row of each, one above the other.

    `(n, …)` each -> `(sides n, …)`.
    """
    starts = range(0, len(sides[0]), COLUMNS)
    return np.concatenate([side[i : i + COLUMNS] for i in starts for side in sides])


def heatmap(weights: np.ndarray, rows: list[str], columns: list[str]) -> np.ndarray:
    """Weights `(rows, columns)` as squares, the larger the darker, with names at the
    rim: an image in [0, 1]."""
    from matplotlib.figure import Figure

    figure = Figure([0.3 * len(names) + 1.5 for names in (columns, rows)], dpi=100)
    axes = figure.subplots()
    axes.imshow(weights, cmap="Blues", vmin=0.0)
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(range(len(rows)), rows)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    with io.BytesIO() as file:
        figure.savefig(file, bbox_inches="tight")
        return np.asarray(Image.open(file).convert("RGB")) / 255.0


def write_image(path: Path, image: np.ndarray) -> None:
    """Write one image `(height, width, channels)`, in [0, 1] or uint8, as PNG."""
    with atomic(path) as temporary:
        Image.fromarray(pixels(image).squeeze()).save(temporary)


def write_array(path: Path, samples: np.ndarray) -> None:
    """Write samples as they are, as .npy."""
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.save(file, samples)


def read(path: Path) -> np.ndarray:
    """A PNG as uint8 `(height, width, channels)`."""
    array = np.asarray(Image.open(path))
    return array[..., None] if array.ndim == 2 else array
