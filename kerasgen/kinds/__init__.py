"""Kinds: what an example or a sample is. One file each, found by itself.

All that differs between images, texts and so on is asked of a `Kind`: by the commands,
runs, cards, the gallery and figures, which name none. A module outside of this folder
adds one by being imported.
"""

import importlib
import pkgutil
from collections.abc import Mapping

from kerasgen.errors import InputError
from kerasgen.kinds.base import Kind

__all__ = ["Kind", "evaluations", "known", "of", "suffixes"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def known() -> list[Kind]:
    """Every kind; one that derives from another comes after it."""
    return list(Kind.known.values())


def of(signatures: Mapping, recipe=None) -> Kind:
    """The kind of what a model gives by its first signature; else of what it takes.

    Args:
        signatures: name -> `Signature`, or its description, as in manifests.
        recipe: the `kerasgen.recipe.Recipe` that the model is of, where it is known.
    Raises:
        InputError: if no kind has the names of any signature.
    """
    for served in signatures.values():
        described = served if isinstance(served, Mapping) else served.describe()
        for name in [*described["outputs"], *described["inputs"]]:
            found = [k for k in known() if name in k.names and k.suits(recipe)]
            if found:
                return found[-1]  # the most special
    names = ", ".join(dict.fromkeys(n for kind in known() for n in sorted(kind.names)))
    raise InputError(
        "this model's signatures have no input or output of a known kind: name one as "
        f"kinds do ({names}), or import the module of its own kind"
    )


def evaluations() -> dict[str, str]:
    """Evaluation -> its module, of all kinds, in order; see `kerasgen.metrics`."""
    paths = (path for kind in known() for path in kind.evaluations)
    return {path.rpartition(".")[2]: path for path in paths}


def suffixes() -> list[str]:
    """What files of samples end in, of all kinds."""
    return list(dict.fromkeys(s for kind in known() for s in kind.suffixes))
