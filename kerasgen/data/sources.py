"""Sources: `load_<kind>(name, image_shape)` -> what a `kerasgen.data.Source` holds."""

import re

from kerasgen.data import images, pairs, text
from kerasgen.data.folder import load_folder
from kerasgen.data.pairs import load_pairs
from kerasgen.data.splits import Split
from kerasgen.data.text import load_chorales, load_lines, load_text
from kerasgen.errors import InputError, one_line, out_of_memory, unknown
from kerasgen.extras import need

__all__ = [
    "load_bundled",
    "load_chorales",
    "load_folder",
    "load_lines",
    "load_pairs",
    "load_text",
    "load_tfds",
]

BUNDLED = {
    "digits": images.load_digits,
    "python_docs": lambda _: text.load_python_docs(),
    "python_titles": lambda _: text.load_python_titles(),
    "cldr_en_de": lambda _: pairs.load_cldr_en_de(),
    "cldr_languages": lambda _: pairs.load_cldr_languages(),
}


def load_bundled(name: str, image_shape):
    """Data that comes with the packages."""
    if name not in BUNDLED:
        raise unknown("bundled data", name, BUNDLED)
    return BUNDLED[name](image_shape)


def load_tfds(name: str, image_shape):
    """A set of tensorflow-datasets, at TFDS_DATA_DIR or where tfds puts it.

    `NAME[SPLITS]`, as in `imdb_reviews[train+test]`, is one split of those.
    """
    need("data")
    import tensorflow_datasets as tfds

    name, wanted = re.fullmatch(r"([^\[]*)(?:\[(.*)\])?", name).groups()
    try:
        builder = tfds.builder(name)
        builder.download_and_prepare()
        splits = (
            {"train": wanted} if wanted else {key: key for key in builder.info.splits}
        )
        arrays = {
            key: tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
            for key, split in splits.items()
        }
    except Exception as error:  # tfds raises a different one for every cause
        if out_of_memory(error):
            raise
        what = one_line(str(error))[:200]
        raise InputError(
            f"tensorflow-datasets has no {name!r} on this machine and could not "
            f"prepare it (see https://www.tensorflow.org/datasets/catalog): {what}"
        ) from error
    features = builder.info.features
    names = getattr(features["label"], "names", None) if "label" in features else None
    sides = builder.info.supervised_keys or ()
    return {
        key: _split(value, name, image_shape, sides) for key, value in arrays.items()
    }, [*(names or [])]


def _split(arrays, name, image_shape, sides) -> Split:
    labels = arrays["label"].astype("int32") if "label" in arrays else None
    if "image" in arrays:
        return images.from_tfds(arrays, labels, image_shape)
    if "text" in arrays:
        return text.from_tfds(arrays["text"], labels)
    if set(arrays) == set(sides):  # as translations have them: source, target
        rows = zip(*(arrays[side].tolist() for side in sides), strict=True)
        rows = [[text.decode() for text in row] for row in rows if all(row)]
        return pairs.paired(rows)
    raise InputError(
        f"tfds:{name} has no images and no text: its features are {list(arrays)}"
    )
