"""Features: the networks that images are compared by.

`evaluate.features` of a recipe names one: "mnist" or "fashion_mnist", classifiers that
come with kerasgen (made by the recipes `features_mnist` and `features_fashion_mnist`);
the path of an `ImageClassifier` of the user's own; or "inception".
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import keras
import numpy as np

from kerasgen import places
from kerasgen.errors import InputError, unknown
from kerasgen.models import loading

WEIGHTS = Path(__file__).parent / "weights"


@dataclasses.dataclass(frozen=True)
class Extractor:
    """A network that turns images into features, and maybe into classes.

    Args:
        figure: what the Fréchet distance of its features is called: "fcd" for a
            classifier, "fid" for Inception.
        about: its name and the hash of its weights, for protocols.
        classes: number of classes that it tells apart; 0 for none.
        compute: float32 images in [0, 1] -> {"features"[, "probabilities"]}.
    """

    figure: str
    about: str
    classes: int
    compute: Callable

    def __call__(self, batches: Iterable) -> tuple[np.ndarray, np.ndarray | None]:
        """Features `(n, features)` and predicted classes `(n,)`, or None, of the n
        images `(…, height, width, channels)` of all batches, float32 in [0, 1]."""
        outputs = [self.compute(images=images) for images in batches]
        features = np.concatenate([output["features"] for output in outputs])
        if not self.classes:
            return features, None
        probabilities = [output["probabilities"] for output in outputs]
        return features, np.concatenate(probabilities).argmax(axis=1)


def scaled(images: np.ndarray) -> np.ndarray:
    """Images, uint8 or float in [0, 1], as float32 in [0, 1]."""
    return images * np.float32(1.0 / 255.0 if images.dtype == np.uint8 else 1.0)


def batches(images: np.ndarray, size: int = 500) -> Iterator[np.ndarray]:
    """`scaled`, `size` at a time."""
    for i in range(0, len(images), size):
        yield scaled(images[i : i + size])


def identified(name: str) -> str:
    """The name of `evaluate.features`, and the hash of the classifier's file."""
    if name == "inception":
        return name
    return f"{name} {_digest(_place(name))}"


def _place(name: str) -> places.Place:
    bundled = {path.stem: path for path in WEIGHTS.glob("*.keras")}
    try:
        return places.find(bundled.get(name, name))
    except InputError as error:
        names = [*bundled, "inception", "a path"]
        raise unknown("evaluate.features", name, names) from error


def _digest(place: places.Place) -> str:
    return hashlib.sha256(place.keras.read_bytes()).hexdigest()[:12]


def extractor(name: str, image_shape) -> Extractor:
    """The extractor that `evaluate.features` names.

    Args:
        name: see the module.
        image_shape: (height, width, channels) of the images to come.
    Raises:
        InputError: if there is none, it can't be downloaded, or it takes other images.
    """
    if name == "inception":
        return inception(image_shape)
    place = _place(name)
    model = loading.load_keras(place.keras)
    if "classify" not in model.signatures():
        raise InputError(
            f"evaluate.features: {name} is no image classifier: train one on your "
            "images, as the recipe features_mnist does"
        )
    if model.image_shape != tuple(image_shape):
        raise InputError(
            f"evaluate.features: {name} takes images of shape {model.image_shape}, not "
            f"{tuple(image_shape)}: train one for those, as features_mnist does"
        )
    serve = model.signatures()["classify"]
    about = f"classifier {name} {_digest(place)}"
    return Extractor("fcd", about, model.classes, serve)


def inception(image_shape, weights: str | None = "imagenet") -> Extractor:
    """The 2,048 pooled features of the InceptionV3 of `keras.applications`.

    Not the weights of Heusel et al. (2017): figures are near those of papers, not
    equal to them.

    Args:
        image_shape: (height, width, channels); grey images are repeated.
        weights: "imagenet", downloaded by Keras; None for random ones, in tests.
    """
    if image_shape[-1] not in (1, 3):
        raise InputError(f"inception takes 1 or 3 channels, not {image_shape[-1]}")
    try:
        network = keras.applications.InceptionV3(False, weights, pooling="avg")
    except Exception as error:  # of the download, of the file
        raise InputError(
            "evaluate.features: inception needs its ImageNet weights, which could not "
            "be downloaded: put them in ~/.keras/models, or name a classifier"
        ) from error
    resized = keras.Sequential(
        [
            keras.layers.Resizing(299, 299),  # bilinear
            keras.layers.Rescaling(2.0, -1.0),  # to [-1, 1]
            network,
        ]
    )

    def compute(images):
        colour = np.broadcast_to(images, (*images.shape[:-1], 3))
        return {"features": resized.predict(colour, batch_size=50, verbose=0)}

    digest = hashlib.sha256()
    for array in network.get_weights():
        digest.update(array.tobytes())
    about = f"keras.applications InceptionV3 {digest.hexdigest()[:12]}"
    return Extractor("fid", about, 0, compute)
