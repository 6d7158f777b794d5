"""Image classifier: which class is it? Its features judge generative models."""

from keras import layers, ops

from kerasgen import inputs, networks
from kerasgen.errors import require, require_positive, require_share, unknown
from kerasgen.models.base import Model
from kerasgen.models.images import (
    TakesImages,
    image_shape_of,
    one_hot,
    shifted_and_flipped,
)
from kerasgen.models.phase import Phase
from kerasgen.signature import served

AUGMENTATIONS = {"shift": 0, "flip": False}  # see `images.shifted_and_flipped`


class ImageClassifier(TakesImages, Model):
    """Image classifier, minimising the cross-entropy of its softmax, in nats.

    Args:
        image_shape: (height, width, channels).
        classes: number of classes, at least 2; labels are 0 … classes - 1.
        feature_dim: width of the features, which one dense layer classifies.
        network: images -> `(batch, feature_dim)`: a `keras.Model`, or what
            `kerasgen.networks.build` takes.
        augment: changes of training images: {"shift": pixels, "flip": bool}.
        label_smoothing: share of the target that all classes get in equal parts, in
            [0, 1) (Szegedy et al., 2016). It pulls the features of a class together,
            so networks whose features are used have 0.
        **kwargs: see `kerasgen.models.base.Model`.
    Raises:
        InputError: if a value is out of range, a network's shapes don't fit, or
            images to train or evaluate on come without labels.
    """

    no_label = 0

    def __init__(
        self,
        image_shape,
        classes: int,
        feature_dim: int = 64,
        network="convolutional",
        augment=None,
        label_smoothing: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        require_positive(feature_dim=feature_dim, classes=classes)
        require(classes >= 2, "classes", "at least 2", classes)
        require_share(label_smoothing=label_smoothing)
        self.image_shape = image_shape_of(image_shape)
        self.classes, self.feature_dim = classes, feature_dim
        self.label_smoothing = label_smoothing
        self.augment = AUGMENTATIONS | (augment or {})
        for key in self.augment:
            if key not in AUGMENTATIONS:
                raise unknown("key of augment", key, AUGMENTATIONS)
        shift = self.augment["shift"]
        whole = isinstance(shift, int) and shift >= 0
        require(whole, "augment.shift", "a whole number of at least 0", shift)
        self.network = networks.build(
            "classifier",
            network,
            self.dtype_policy,
            input_shape=self.image_shape,
            outputs=feature_dim,
        )
        self.logits = layers.Dense(classes, dtype="float32", name="logits")
        self.logits.build((None, feature_dim))
        self.build()

    @property
    def averaged_variables(self):  # the statistics of batch normalisation too
        variables = [*self.network.variables, *self.logits.variables]
        return [v for v in variables if "float" in v.dtype]

    def phases(self):
        parts, terms = [self.network, self.logits], ["loss", "accuracy"]
        return [Phase("classifier", parts, self.example_losses, terms)]

    def example_losses(self, batch, noise, training):
        """Cross-entropy, and whether the label is the most probable class."""
        images, label = batch["images"], batch["label"]
        if training and any(self.augment.values()):
            images = shifted_and_flipped(images, noise, **self.augment)
        logits = self.logits(self.network(images, training=training))
        a = self.label_smoothing
        target = (1.0 - a) * one_hot(label, self.classes) + a / self.classes
        loss = -ops.sum(target * ops.log_softmax(logits), axis=1)
        right = ops.equal(ops.cast(ops.argmax(logits, axis=1), label.dtype), label)
        return {"loss": loss, "accuracy": ops.cast(right, "float32")}

    @served({"images": inputs.images}, ["probabilities", "features"])
    def classify(self, images):
        """Images in [0, 1] -> probabilities `(batch, classes)`, and features."""
        features = self.network(images)
        return ops.softmax(self.logits(features)), features

    def call(self, inputs, training=False):
        """Images, or a batch of `preprocess` -> probabilities `(batch, classes)`."""
        batch = inputs if isinstance(inputs, dict) else self.preprocess(inputs)
        features = self.network(batch["images"], training=training)
        return ops.softmax(self.logits(features))
