"""What every kind of example or sample says; imports neither NumPy nor TensorFlow."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from kerasgen.conventions import family_name, same
from kerasgen.errors import InputError


class Kind:
    """What an example or a sample is: how it is read, shown, written and judged.

    A class that has the name, the evaluation or, without a key of its own, the names of
    another kind raises `InputError` where it is defined.

    Attributes:
        name: the class's, in snake case.
        names: inputs and outputs of signatures that are of this kind.
        key: the value of `recipe.evaluate` that tells it from the kind that it derives
            from, whose names it has; "" for none.
        suffixes: what files of samples end in. Cards and runs have the first.
        evaluations: paths of the modules that judge models of it; see
            `kerasgen.metrics`.
        baseline: in words, what figures are shown beside, so that a number means
            something: what gives it without learning.
        comparable: whether samples are arrays of one shape, whose distances mean
            something.
        script: a JavaScript module for the gallery. Of arrays it exports `show(canvas,
            tensor, i)`, which draws row i of an output; of texts `title`, `go` and
            `count` of their panel, and perhaps `show(place, texts)`.
        packages: what its script imports from `../lib/`: npm's package -> files of its
            folder dist/.
    """

    known: ClassVar[dict[str, "Kind"]] = {}

    name = ""
    names: frozenset = frozenset()
    key = ""
    suffixes: Sequence[str] = ()
    evaluations: Sequence[str] = ()
    baseline = ""
    comparable = False
    script = ""
    packages: Mapping[str, Sequence[str]] = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.name = family_name(cls.__name__)
        others = [kind for kind in Kind.known.values() if not same(cls, type(kind))]
        for line in cls._clashes(others):
            raise InputError(f"kind {cls.__name__}: {line}")
        Kind.known[cls.name] = cls()

    @classmethod
    def _clashes(cls, others) -> Iterator[str]:
        """A line for whatever would keep it, or one of the others, from being found."""
        paths = {p.rpartition(".")[2]: p for k in others for p in k.evaluations}
        for path in cls.evaluations:
            name = path.rpartition(".")[2]
            if paths.get(name, path) != path:
                yield f"{paths[name]} is the evaluation {name} already: rename {path}"
        if cls.names and not cls.suffixes:
            yield "say by suffixes what files of its samples end in"
        for kind in others:
            if cls.name == kind.name:
                yield f"{type(kind).__module__} has one of that name: rename it"
            if cls.names & kind.names and cls.key in ("", kind.key):
                yield (
                    f"{min(cls.names & kind.names)} and the like are of the kind "
                    f"{kind.name}: name others, or say by a key of its own which value "
                    "of recipe.evaluate tells it"
                )

    def suits(self, recipe) -> bool:
        """Whether models of a recipe, or of none, None, may be of this kind."""
        if not self.key or recipe is None:
            return not self.key
        if not hasattr(recipe.evaluate, self.key):
            line = f"recipe.evaluate has no {self.key}, the key of the kind {self.name}"
            raise InputError(line)
        return bool(getattr(recipe.evaluate, self.key))

    # Files.

    def read(self, path: Path, shape: Sequence[int]):
        """A user's file as one example, as signatures take it.

        Raises:
            InputError: if it can't be read.
        """
        raise NotImplementedError

    def write(self, path: Path, samples) -> None:
        """Write samples to a file that ends in one of `suffixes`."""
        raise NotImplementedError

    def write_one(self, path: Path, sample) -> None:
        """Write one sample alone, as it is."""
        self.write(path, [sample])

    def publish(self, stem: Path, samples) -> None:
        """Write samples for cards and runs, to `stem` with the first of `suffixes`; and
        what they look like, if they do, as PNG."""
        from kerasgen import pictures

        stem.parent.mkdir(parents=True, exist_ok=True)
        path = stem.with_name(stem.name + self.suffixes[0])
        self.write(path, samples)
        if path.suffix != ".png" and (picture := self.picture(samples)) is not None:
            pictures.write_image(stem.with_name(f"{stem.name}.png"), picture)

    # Showing.

    def picture(self, samples):
        """Samples as one picture `(height, width, channels)`, in [0, 1] or uint8; None
        of what can't be seen."""

    def printed(self, samples) -> str | None:
        """Samples as a terminal shows them; None of what it can't."""

    def excerpt(self, path: Path) -> str:
        """How a file that `write` wrote begins, for people; "" of what isn't text."""
        return ""

    def prompt(self, path: Path) -> str:
        """What a panel of the gallery begins with, given the file of a card's
        samples."""
        return ""

    # What models draw, for people to look at.

    def drawn(
        self,
        serve: Callable,
        described: Mapping,
        n: int,
        seed: int,
        conditions: Mapping,
        codec=None,
        progress: Callable = lambda steps, *_: steps,
    ):
        """n samples, as `write` takes them.

        Args:
            serve: computes signatures, `(name, **arrays) -> dict`.
            described: the description of the signature `generate`.
            n, seed, conditions: see `kerasgen.rows.generate_inputs`.
            codec: a model's of texts.
            progress: see `kerasgen.rows.in_parts`.
        """
        from kerasgen.rows import generate_inputs, in_parts

        rows = generate_inputs(described["inputs"], n, seed, conditions)
        outputs = in_parts(serve, "generate", rows, progress)
        return self.joined([out[described["outputs"][0]] for out in outputs], codec)

    def joined(self, parts: Sequence, codec=None):
        """Outputs of a signature, in parts -> samples."""
        import numpy as np

        return np.concatenate(parts)

    def preview(self, model, examples, n: int):
        """What to look at while a model trains: n samples, of all classes in turn where
        they can be asked for."""
        label = model.signatures()["generate"].inputs.get("label")
        labels = [i % label.high for i in range(n)] if label else None
        return model.generate(n, label=labels)

    def pictures(self, model, examples=None) -> dict:
        """Title -> samples, for the card.

        Args:
            model: what draws them.
            examples: test inputs, as `Split.shown` gives them; None: there are none.
        """
        return {"samples": self.preview(model, examples, 64)}

    def typical(self, model, examples=None) -> dict[str, Sequence]:
        """Input -> values of two rows, for the requests on the card, where made-up
        numbers make no sense; see `pictures`."""
        return {}
