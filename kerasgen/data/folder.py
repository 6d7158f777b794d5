"""A folder of pictures: which of them are of which split and class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kerasgen.data.images import image_files, read_images, told
from kerasgen.data.splits import SPLITS, Source, Split, find_file
from kerasgen.errors import InputError


def load_folder(name: str, image_shape) -> Source:
    """The pictures below a folder.

    Folders in it that are called train, test, … (`kerasgen.data.SPLITS`) are splits.
    The folders in a split, or in the folder itself, are classes: however deep a picture
    is below one, it is of that class. Pictures beside these folders, or in no split,
    are skipped; where there is only one such folder it is no class, and all are read.
    """
    folder = find_file(name)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    files = image_files(folder)
    splits = _split_folders(folder, files)
    places = {file: _place(file.relative_to(folder).parts, splits) for file in files}
    out = _out_of_place(places)
    files = [file for file in files if file not in out]
    images, files, shapes, skipped = read_images(files, folder, image_shape)
    skipped = [f"{f.relative_to(folder)} ({why})" for f, why in out.items()] + skipped

    names = sorted({places[file][1] for file in files} - {None})
    present = {split for split, _ in places.values()}
    rows = {split: [] for split in dict.fromkeys(SPLITS.values()) if split in present}
    for row, file in enumerate(files):
        rows[places[file][0]].append(row)
    found = {}
    for split, at in rows.items():
        of = [places[files[row]][1] for row in at]
        y = None if None in of else np.array([names.index(c) for c in of], "int32")
        found[split] = Split(images[at], y)
    if all(split.y is None for split in found.values()):
        names = []
    notes = [
        _read(name, found, names, skipped),
        *_fitted(name, shapes, images, image_shape),
    ]
    return Source(found, names, notes, skipped)


def _split_folders(folder: Path, files: Sequence[Path]) -> dict[str, str]:
    """Name of a folder -> the split that it is; none where these are classes."""
    parts = [file.relative_to(folder).parts for file in files]
    tops = {first for first, *rest in parts if rest}
    named = {top: SPLITS[top.lower()] for top in tops if top.lower() in SPLITS}
    splits = {*named.values()}
    if "train" in splits and (len(splits) > 1 or len(named) == len(tops)):
        return named
    if splits - {"train"}:
        found = ", ".join(sorted(named))
        raise InputError(f"{folder} has {found}, but no train: put the rest there")
    return {}


def _place(
    parts: Sequence[str], splits: dict[str, str]
) -> tuple[str | None, str | None]:
    """Parts of a path -> its split and class, or None."""
    split = "train"
    if splits:
        split, parts = splits.get(parts[0]), parts[1:]
    return split, parts[0] if len(parts) > 1 else None


def _out_of_place(places: dict) -> dict[Path, str]:
    """The files that are of no split, or of no class where others are; and why."""
    classed = {place for place in places.values() if None not in place}
    several = len({name for _, name in classed}) > 1
    labelled = {split for split, _ in classed} if several else ()
    out = {}
    for file, (split, name) in places.items():
        if split is None:
            out[file] = "in no split"
        elif split in labelled and name is None:
            out[file] = "beside the folders of classes"
    return out


def _read(name: str, splits: dict, names: list[str], skipped: list[str]) -> str:
    """What was read, in a line."""
    sizes = {split: len(examples) for split, examples in splits.items()}
    total = sum(sizes.values())
    line = f"{name}: {total:,} picture{'s' * (total != 1)}"
    if len(sizes) > 1:
        line += f" ({', '.join(f'{size:,} {split}' for split, size in sizes.items())})"
    count = len(names)
    line += f", {count or 'no'} class{'es' * (count != 1)}"
    return f"{line}, {told(skipped)}" if skipped else line


def _fitted(name: str, shapes: list, images, image_shape) -> list[str]:
    """What shape the pictures have, if it is another than they are read as."""
    found = sorted({*shapes}, key=np.prod)
    if found == [images.shape[1:]]:
        return []
    ends = dict.fromkeys((found[0], found[-1]))  # the smallest and the largest
    line = (
        f"{name}: pictures of {' to '.join(str([*shape]) for shape in ends)} are read "
    )
    why = "input.image_shape says" if image_shape else "the first one is"
    return [line + f"as {[*images.shape[1:]]}, as {why}"]
