"""What the tests have JAX do, in a process of its own: python on_jax.py JOB …"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "contract"))


def steps(folder, *names):
    """Ten steps of each recipe from the weights in `folder`/NAME/start.npz.

    Beside them are then the trained model, the values of its variables, and what its
    signatures answer.
    """
    import numpy as np
    import test_contract as contract

    for name in names:
        place = Path(folder) / name
        with np.load(place / "start.npz") as file:
            start = list(file.values())
        model, _ = contract.trained(contract.small(name), lambda _: start)  # noqa: B023
        model.save(place / "model.keras")
        np.savez(place / "end.npz", *contract.values(model))
        for key, signature in contract.served(model).items():
            answers = model.serve(key, **signature.example(3))
            np.savez(place / f"{key}.npz", **answers)


def without_tensorflow(*names):
    """A step of training, and what models serve, where TensorFlow isn't installed."""
    sys.modules["tensorflow"] = None  # importing it fails
    import numpy as np
    import toy  # noqa: F401

    from kerasgen import data, models
    from kerasgen import recipe as recipes

    for name in names:
        recipe = recipes.read(name)
        if recipe.input.image_shape:
            x, y = np.zeros((4, *recipe.input.image_shape), "uint8"), np.arange(4)
        else:
            x, y = np.array(["to be", "or not"], object), None
        source = data.Data({"train": data.Split(x, y)}, [])
        model = models.create(recipe, source)
        model.compile()
        rows = model.examples(source["train"], recipe)
        model.fit(rows.x, rows.y, verbose=0)
        assert len(model.preview(rows.x, 2)) == 2


globals()[sys.argv[1]](*sys.argv[2:])
