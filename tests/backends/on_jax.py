"""What the tests have JAX do, in a process of its own: python on_jax.py JOB …"""

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "contract"))


def models(*names):
    """Build the model of each recipe; -> the modules that had to be imported."""
    import toy  # noqa: F401

    from kerasgen import data, models
    from kerasgen import recipe as recipes

    for name in names:
        recipe = recipes.read(name)
        images = data.np.zeros((2, *(recipe.input.image_shape or [])), "uint8")
        texts = data.np.array(["ab", "ba"], object)
        x = texts if "tokenizer" in str(recipe.model) else images
        split = data.Split(x, data.np.zeros(2, "int32"))
        models.create(recipe, data.Data({"train": split}, []))
    print(json.dumps(sorted(sys.modules)))


def steps(folder, *names):
    """Ten steps of each recipe from the weights in `folder`; the model goes there."""
    import test_contract as contract

    for name in names:
        place = Path(folder) / name
        with contract.np.load(place / "start.npz") as file:
            start = list(file.values())
        tiny = contract.small(name)
        model, _ = contract.trained(tiny, start)
        model.save(place / "model.keras")
        contract.np.savez(place / "end.npz", *contract.values(model))
