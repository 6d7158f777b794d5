"""What samples of a conditional model are worth as training data.

    python tools/augment.py MODEL [--real 100] [--samples 1000] [--json FILE]

The same small classifier is trained on samples alone, on a few real images a class, and
on both, for the same number of steps, and tested on real test images. MODEL is a run,
an artifact or a name in saved_models/.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from kerasgen.errors import InputError, require_positive
from kerasgen.quiet import import_tensorflow


def accuracy(train, test, classes: int, steps: int, seed: int) -> float:
    """On `test`, of a classifier that takes `steps` steps on `train`, both `Split`s."""
    import keras

    from kerasgen import networks
    from kerasgen.data.stream import stream

    keras.utils.set_random_seed(seed)
    shape = {"input_shape": test.x.shape[1:], "outputs": 64}
    network = networks.build("classifier", "convolutional", **shape)
    model = keras.Sequential([network, keras.layers.Dense(classes)])
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    batches = stream(train, min(128, len(train)), seed, 0, steps)
    model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)
    return model.evaluate(test.x, test.y, verbose=0, return_dict=True)["accuracy"]


def training_sets(model, train, classes: int, real: int, samples: int, seed: int):
    """Name -> `Split`, with `real` images and `samples` samples of each class."""
    from kerasgen.data import Split
    from kerasgen.metrics.samples import draw

    images, asked = draw(model, model.serve, samples * classes, seed)
    drawn = Split(images, asked.astype("int32"))
    order = np.random.default_rng(seed).permutation(len(train))
    chosen = [order[train.y[order] == k][:real] for k in range(classes)]
    few = train.take(np.concatenate(chosen))
    both = Split(np.concatenate([few.x, drawn.x]), np.concatenate([few.y, drawn.y]))
    return {"samples": drawn, "real": few, "real and samples": both}


def compare(name: str, real: int, samples: int, steps: int, repeats: int, report):
    """The content of the JSON file; `report` is called with each line as it is done."""
    from kerasgen import data, places
    from kerasgen.data import Split
    from kerasgen.metrics.features import scaled
    from kerasgen.metrics.samples import SIGNATURE, label_count
    from kerasgen.models import loading

    place = places.find(name)
    recipe = place.recipe()
    model = loading.load_keras(place.keras)
    classes = label_count(model) if SIGNATURE in model.signatures() else 0
    if not classes:
        raise InputError(f"{name} takes no label: train a conditional model")
    source = data.load_for(recipe)
    train, test = (Split(scaled(s.x), s.y) for s in (source["train"], source["test"]))
    found = {}
    for seed in range(repeats):
        sets = training_sets(model, train, classes, real, samples, seed)
        for kind, split in sets.items():
            found.setdefault(kind, []).append(
                accuracy(split, test, classes, steps, seed)
            )
            if seed == repeats - 1:
                values = found[kind]
                mean, error = np.mean(values), np.std(values)
                report(f"{kind:18}{len(split):>8,} images  {mean:.4f} ± {error:.4f}")
    protocol = f"{repeats} runs of {steps} steps, tested on {len(test)} real images"
    about = {"real": real, "samples": samples, "protocol": protocol}
    return {"model": place.name, "per_class": about, "accuracy": found}


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description="Samples as training data.")
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--real", type=int, default=100, help="real images a class")
    parser.add_argument("--samples", type=int, default=1000, help="samples a class")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", metavar="FILE")
    options = vars(parser.parse_args(arguments))
    name, target = options.pop("model"), options.pop("json")
    try:
        require_positive(**options)
        import_tensorflow()
        from kerasgen.files import atomic

        content = compare(name, **options, report=print)
    except InputError as error:
        print(f"augment: {error}", file=sys.stderr)
        return 2
    if target:
        with atomic(Path(target)) as temporary:
            text = json.dumps(content, indent=1) + "\n"
            temporary.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
