"""Samples as files: image grids as PNG, text as it is."""

import io
import math
from pathlib import Path

import numpy as np
from PIL import Image

from kerasgen.files import atomic

COLUMNS = 8
SMALLEST = 32  # images smaller than this are enlarged, to be seen


def grid(images: np.ndarray, columns: int = COLUMNS) -> np.ndarray:
    """Images `(n, height, width, channels)` in [0, 1] -> one uint8 picture."""
    images = np.round(np.clip(np.asarray(images), 0.0, 1.0) * 255).astype("uint8")
    n, height, width, channels = images.shape
    rows, columns = math.ceil(n / columns), min(n, columns)
    padded = np.zeros((rows * columns, height + 1, width + 1, channels), "uint8")
    padded[:n, :height, :width] = images
    cells = padded.reshape(rows, columns, height + 1, width + 1, channels)
    picture = cells.transpose(0, 2, 1, 3, 4)
    picture = picture.reshape(rows * (height + 1), columns * (width + 1), channels)
    scale = max(1, SMALLEST // max(height, width))
    return picture[:-1, :-1].repeat(scale, axis=0).repeat(scale, axis=1)


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


def molecules(texts: list[str]) -> np.ndarray:
    """Structural formulas of the SMILES that are molecules: an image in [0, 1], white
    where none is."""
    from rdkit.Chem import Draw, Mol

    from kerasgen.metrics.molecules import parsed

    found = [molecule for molecule in map(parsed, texts) if molecule]
    drawn = Draw.MolsToGridImage(found or [Mol()], molsPerRow=3)
    return np.asarray(drawn.convert("RGB"), "float32") / 255.0


def write(stem: Path, samples) -> Path:
    """Write samples to `stem`.png (images) or `stem`.txt (strings); return the path."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(samples, list):
        path = stem.with_name(stem.name + ".txt")
        write_texts(path, samples)
        return path
    path = stem.with_name(stem.name + ".png")
    with atomic(path) as temporary:
        Image.fromarray(grid(samples).squeeze()).save(temporary)
    return path


def write_texts(path: Path, texts: list[str]) -> None:
    """Write texts: a line each, or, if some have more lines, with rules between them;
    or the first as music, if the path ends in .mid."""
    if path.suffix == ".mid":
        from kerasgen.data import music

        with atomic(path) as temporary:
            music.midi(texts[0]).save(temporary)
        return
    lines = any("\n" in text for text in texts)
    with atomic(path) as temporary:
        text = ("\n---\n" if lines else "\n").join(texts) + "\n"
        temporary.write_text(text, encoding="utf-8")


def write_image(path: Path, image: np.ndarray) -> None:
    """Write one image in [0, 1] as it is, as PNG."""
    pixels = np.round(np.clip(image, 0.0, 1.0) * 255).astype("uint8")
    with atomic(path) as temporary:
        Image.fromarray(pixels.squeeze()).save(temporary)


def write_array(path: Path, samples: np.ndarray) -> None:
    """Write samples as they are, as .npy."""
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.save(file, samples)


def read(path: Path) -> np.ndarray:
    """A PNG as uint8 `(height, width, channels)`."""
    array = np.asarray(Image.open(path))
    return array[..., None] if array.ndim == 2 else array
