"""Speed of one model in several places: backends, and runtimes of its files."""

import functools
import json
import time
from collections.abc import Iterator

from benchmarks.common import Case, other_python
from benchmarks.peers import step

from kerasgen import places, recipe
from kerasgen.errors import InputError
from kerasgen.export.server import server
from kerasgen.models import loading


def backends() -> Iterator[Case]:
    """Training steps on JAX against TensorFlow, of a recipe of every family.

    Of those on bundled data, where a family has one.
    """
    families = {}
    for name in sorted(recipe.names(), key=lambda n: "bundled" not in source(n)):
        families.setdefault(recipe.read(name).family, name)
    for family, name in sorted(families.items()):
        _, peer = step.steps(name, "tensorflow")
        values = {"recipe": name, "backend": "jax"}
        with other_python("step.py", values) as (parameters, ours):
            for run in (peer, ours):
                run(3)  # compiles
            start = time.perf_counter()
            peer(5)
            rest = time.perf_counter() - start
            steps = min(200, max(5, round(5 * 2.0 / rest)))  # of about 2 seconds
            about = {"recipe": name, "parameters": parameters, "steps": steps}
            both = (functools.partial(run, steps) for run in (ours, peer))
            yield f"backends/{family}", *both, "s/step", steps, lambda _: about  # noqa: B023


def source(name: str) -> str:
    """What a recipe reads."""
    return str(recipe.read(name).data)


def every_runtime() -> Iterator[Case]:
    """The first signature that all have of each family's largest artifact, at batch 1
    and 32: each runtime of exported files against the compiled function of Keras."""
    largest = {}
    for path in sorted(places.SAVED_MODELS.glob("*/manifest.json")):
        place = places.find(path.parent)
        parameters = json.loads(path.read_text(encoding="utf-8"))["parameters"]
        largest[place.recipe().family] = max(
            largest.get(place.recipe().family, (0, None)),
            (parameters, place),
            key=lambda entry: entry[0],
        )
    for family, (_, place) in largest.items():
        model = loading.load_keras(place.keras)
        signature, about = next(
            (name, s) for name, s in model.signatures().items() if s.only is None
        )
        for runtime in ("savedmodel", "onnx", "litert"):
            try:
                serve, _ = server(place, runtime, signature)
            except InputError:
                continue  # it isn't exported to that
            for batch in (1, 32):
                rows = about.example(batch)
                ours = functools.partial(serve, signature, **rows)
                peer = functools.partial(model.serve, signature, **rows)
                yield f"runtimes/{family}/{runtime}/{batch}", ours, peer, "s/call", 1
