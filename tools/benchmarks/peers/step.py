"""Training steps of a recipe on a backend, for `benchmark.py`: a process of its own.

    python tools/benchmarks/peers/step.py '{"recipe": NAME, "backend": "jax"}'

Writes the number of parameters, then takes as many steps as each line of input says,
and answers each with a line.
"""

import json
import sys
from collections.abc import Callable


def steps(name: str, backend: str) -> tuple[int, Callable]:
    """-> parameters, a function of the number of steps to take.

    Rows are one batch of the recipe's data where it comes with the packages, else of
    the bundled digits.
    """
    from kerasgen import backend as backends
    from kerasgen import recipe as recipes

    recipe = recipes.read(name)
    backends.choose(backend)
    import tensorflow as tf

    from kerasgen import data
    from kerasgen.building import create
    from kerasgen.data.examples import examples
    from kerasgen.data.stream import stream, untuned

    bundled = "bundled" in str(recipe.data)
    source = recipe.data if bundled else "bundled:digits"
    source = data.load(source, recipe.input.image_shape)
    model = create(recipe, source)
    model.compile()
    train = examples(model, source["train"], recipe.input.windows)
    size, binarize = recipe.train.batch_size, recipe.input.binarize
    rows = next(iter(stream(train, size, 0, 0, 1, binarize)))
    batches = untuned(tf.data.Dataset.from_tensors(rows).repeat())

    def take(n: int) -> None:
        model.fit(batches, steps_per_epoch=n, shuffle=False, verbose=0)

    return model.count_params(), take


def main() -> None:
    values = json.loads(sys.argv[1])
    parameters, take = steps(values["recipe"], values["backend"])
    print(parameters, flush=True)
    for line in sys.stdin:
        take(int(line))
        print("done", flush=True)


if __name__ == "__main__":
    main()
