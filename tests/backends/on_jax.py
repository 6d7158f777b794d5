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
    """A step in bfloat16, and samples, where TensorFlow isn't installed."""
    sys.modules["tensorflow"] = None  # importing it fails
    import numpy as np
    import toy  # noqa: F401

    from kerasgen import data, kinds
    from kerasgen import recipe as recipes
    from kerasgen.building import create
    from kerasgen.data.examples import examples

    for name in names:
        recipe = recipes.read(name, {"train.precision": "mixed_bfloat16"})
        text = np.array(["to be", "or not"], object)
        x, y = {
            "language_model": (text, None),
            "translator": (text, text),
            "text_classifier": (text, np.arange(2)),
        }.get(recipe.family, (None, np.arange(4)))
        if x is None:
            x = np.zeros((4, *recipe.input.image_shape), "uint8")
        source = data.Data({"train": data.Split(x, y)}, ["a", "b"])
        model = create(recipe, source)
        model.compile()
        rows = examples(model, source["train"], recipe.input.windows)
        history = model.fit(rows.x, rows.y, verbose=0).history
        assert np.isfinite(list(history.values())).all()
        assert {v.dtype for v in model.trainable_variables} == {"float32"}
        kind = kinds.of(model.signatures(), recipe)
        assert len(kind.preview(model, rows.x, 2)) == 2


def samples(run, out):
    """What the model of a run draws."""
    import numpy as np

    import kerasgen

    np.save(out, kerasgen.load(run).generate(8, seed=3))


def refusals(run, out):
    """What JAX can't do, each in a line."""
    import keras
    import numpy as np

    import kerasgen
    from kerasgen.cli import main
    from kerasgen.tokenizers import Bytes

    small = {"width": 8, "depth": 1, "heads": 1}
    gpt = kerasgen.LanguageModel(Bytes(), 8, {"name": "transformer", **small})
    gpt.compile()
    calls = (
        lambda: gpt.fit(["to be", "or not"]),
        lambda: gpt.serve("complete", prompt=np.array([b"to"]), seed=[0]),
        lambda: kerasgen.VAE((8, 8, 1), 2, dtype="mixed_float16").compile(),
    )
    for call in calls:
        try:
            call()
        except kerasgen.InputError as error:
            print(error)
    keras.config.set_dtype_policy("float32")
    for arguments in (
        ["export", run, "--out", out],
        ["verify", run],
        ["train", "vae_digits", "--out", out, "--strategy", "multiworker"],
        ["train", "vae_digits", "--out", out, "--devices", "3"],
        ["train", "vae_digits", "--out", out, "--backend", "tensorflow"],
    ):
        print(main(arguments))


globals()[sys.argv[1]](*sys.argv[2:])
