"""Recipes: everything about a training run, as one YAML file.

Read and checked without TensorFlow, so that a wrong name or key is answered at once.
"""

import ast
import copy
import dataclasses
from pathlib import Path

import yaml

from kerasgen.backend import BACKENDS
from kerasgen.conventions import MOST_SAMPLES
from kerasgen.errors import InputError, not_utf8, unknown
from kerasgen.files import read_bytes
from kerasgen.values import parsed, typed

BUNDLED = Path(__file__).parent / "recipes"
MODELS = Path(__file__).parent / "models"
SCHEDULES = ("constant", "cosine", "inverse_sqrt")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
MONITOR_MODES = ("auto", "min", "max")
STRATEGIES = ("auto", "single", "mirrored", "multiworker")
LARGEST = 2**18  # bytes of a recipe
LONGEST_SIDE = 2**14  # pixels of an image
_COUNT, _SEED = (1, 2**31 - 1), (0, 2**32 - 1)
RANGES = {
    "input.split_seed": _SEED,
    "train.epochs": _COUNT,
    "train.steps": _COUNT,
    "train.batch_size": (1, 2**20),
    "train.accumulate": _COUNT,
    "train.seed": _SEED,
    "train.devices": (1, 64),
    "train.warmup_steps": (0, 2**31 - 1),
    "train.cooldown_steps": (0, 2**31 - 1),
    "train.steps_per_execution": _COUNT,
    "train.checkpoint_steps": _COUNT,
    "train.quality_samples": (1, MOST_SAMPLES),
    "evaluate.seed": _SEED,
    "evaluate.batch_size": _COUNT,
    "evaluate.nll_samples": _COUNT,
    "evaluate.nll_every": _COUNT,
    "evaluate.samples": (1, MOST_SAMPLES),
    "evaluate.bound_draws": _COUNT,
    "evaluate.restorations": _COUNT,
}


@dataclasses.dataclass
class Inputs:
    """What the model sees of the data."""

    image_shape: list | None = None  # [height, width, channels]; other sizes are fitted
    binarize: bool = False  # draw pixels as 0 or 1, anew each time (MNIST in nats)
    # Text: all of it in windows; or an example a row, cut off at the model's context.
    windows: bool = True
    split_seed: int = 0  # which examples are held out, where the source doesn't say
    holdout: float = 0.05  # share of them that validation gets then, and test as much
    strict: bool = False  # refuse files that can't be read, rather than leave them out


@dataclasses.dataclass
class Train:
    """How the model is trained."""

    epochs: int = 10
    steps: int | None = None  # instead of epochs
    batch_size: int = 128  # of all devices together
    accumulate: int = 1  # parts a batch is computed in, for less memory
    seed: int = 0
    # As keras.optimizers names it, or {name: …, …}; or phase -> such a value.
    optimizer: str | dict = "adam"
    learning_rate: float | dict[str, float] = 1e-3  # or phase -> learning rate
    schedule: str = "constant"  # or cosine: down to 0 over the run; or inverse_sqrt
    warmup_steps: int = 0  # of the learning rate, from 0
    cooldown_steps: int = 0  # the last ones, in which it falls to 0
    clip_norm: float | None = None  # of the global gradient
    ema_decay: float = 0.0
    backend: str = "tensorflow"
    strategy: str = "auto"
    devices: int | None = None
    precision: str = "float32"
    steps_per_execution: int = 1
    jit_compile: bool | None = None  # None: what is faster for the model
    monitor: str | None = None  # best.keras has its best; None: the model's own
    monitor_mode: str = "auto"  # max of accuracies and their like, min of all others
    checkpoint_seconds: float = 60.0
    checkpoint_steps: int | None = None  # instead; several workers need it in an epoch
    quality_every: int = 0  # epochs between looks at samples (val_fcd, …); 0: none
    quality_samples: int = 2_000


@dataclasses.dataclass
class Evaluate:
    """How the model is judged."""

    seed: int = 0
    batch_size: int = 100
    nll_samples: int = 5000  # importance samples of the figure `nll`
    nll_every: int = 1  # `nll` is over every n-th test example
    # mnist, fashion_mnist, inception, or the path of a classifier
    features: str | None = None
    samples: int = 10_000  # beside as many test images, where features are named
    frames: bool = False  # lines of text are steps of music
    molecules: bool = False  # samples are SMILES, to be judged as molecules
    language: str = "en"  # of translations, whose words are counted
    bound_draws: int = 10  # time steps an example, for a diffusion model's bits_per_dim
    restorations: int = 500  # examples that a diffusion model restores


@dataclasses.dataclass
class Recipe:
    """A recipe with every value filled in.

    Args:
        name: the file's name without its suffix.
        family: the model's class in snake case.
        data: a source, or a dict split -> source (see `kerasgen.data`).
        description: one line.
        paper: figures of the paper to compare with: figure -> value and where from.
        model: arguments of the model's constructor, without the input's shape.
    """

    name: str
    family: str
    data: str | dict
    description: str = ""
    paper: dict = dataclasses.field(default_factory=dict)
    input: Inputs = dataclasses.field(default_factory=Inputs)
    model: dict = dataclasses.field(default_factory=dict)
    train: Train = dataclasses.field(default_factory=Train)
    evaluate: Evaluate = dataclasses.field(default_factory=Evaluate)

    def values(self) -> dict:
        """As plain values, all of them, for `recipe.yaml`."""
        return dataclasses.asdict(self)

    def text(self) -> str:
        """As YAML."""
        return yaml.safe_dump(self.values(), sort_keys=False, allow_unicode=True)


def names() -> list[str]:
    """The recipes that come with kerasgen."""
    return sorted(path.stem for path in BUNDLED.glob("*.yaml"))


def read(
    recipe: str, settings: dict | None = None, profile: str | None = None
) -> Recipe:
    """A recipe by name or path, with `settings` applied and every value checked.

    Args:
        recipe: a name of `names()`, or the path of a YAML file.
        settings: dotted key -> value, as in {"train.epochs": 3}.
        profile: a name under the recipe's `profiles`, whose values replace its own.
    Raises:
        InputError: for an unknown recipe or key, or a value of the wrong type.
    """
    path = Path(recipe)
    if path.suffix not in (".yaml", ".yml"):
        if recipe not in names():
            raise unknown("recipe", recipe, names())
        path = BUNDLED / f"{recipe}.yaml"
    if not path.is_file():
        raise InputError(f"no recipe file {path}")
    try:
        text = read_bytes(path, LARGEST).decode()
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from error
    values = parsed(text, str(path))
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold a mapping of recipe keys")
    values = _profiled({"name": path.stem} | values, profile, str(path))
    return from_values(values, settings, str(path))


def _profiled(values: dict, profile: str | None, origin: str) -> dict:
    """The values without `profiles`, of which one is merged in; all are checked."""
    profiles = values.pop("profiles", {})
    each = [profiles, *(profiles.values() if isinstance(profiles, dict) else ())]
    if not all(isinstance(entry, dict) for entry in each):
        raise InputError(f"{origin}: profiles must be {{NAME: {{SECTION: …}}}}")
    merged = {name: _merged(values, own) for name, own in profiles.items()}
    for name, own in merged.items():
        from_values(own, origin=f"{origin}, profile {name}")
    if profile is None:
        return values
    if not merged:
        raise InputError(f"{origin} has no profiles")
    if profile not in merged:
        raise unknown("profile", profile, merged)
    return merged[profile]


def _merged(values, own):
    """`own` over `values`, key by key; what has another name replaces."""
    both = isinstance(values, dict) and isinstance(own, dict)
    if not both or own.get("name", values.get("name")) != values.get("name"):
        return own
    return values | {key: _merged(values.get(key), value) for key, value in own.items()}


def from_values(values: dict, settings: dict | None = None, origin="recipe") -> Recipe:
    """A checked recipe from plain values; see `read`."""
    values = copy.deepcopy(values)
    for key, value in (settings or {}).items():
        place = values
        *sections, last = key.split(".")
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise InputError(f"{key}: {section} has no keys below it")
        place[last] = value
    for required in ("name", "family", "data"):
        if required not in values:
            raise InputError(f"{origin} lacks the key {required!r}")
    recipe = typed(Recipe, values, "")
    name = recipe.name
    if not name.isprintable() or name[:1] in ("", ".") or set(name) & set("/\\"):
        raise InputError(
            f"{origin}: name must be a plain one for a folder, without a slash and "
            f"not beginning with a dot, not {name!r}"
        )
    known = model_arguments(recipe.family)
    if known is not None:
        for key in recipe.model:
            if key not in known:
                raise unknown(
                    f"key of {recipe.family}",
                    f"model.{key}",
                    [f"model.{name}" for name in known],
                )
    _check_ranges(recipe)
    _check_train(recipe.train)
    return recipe


def _check_ranges(recipe: Recipe) -> None:
    """Refuse numbers that would only fail after the data is read."""
    for key, (least, most) in RANGES.items():
        section, _, name = key.partition(".")
        value = getattr(getattr(recipe, section), name)
        if value is not None and value < least:
            raise InputError(f"{key} must be at least {least:,}, not {value}")
        if value is not None and value > most:
            raise InputError(f"{key} must be at most {most:,}, not {value}")
    shape = recipe.input.image_shape
    whole = all(type(size) is int and 0 < size <= LONGEST_SIDE for size in shape or ())
    if shape is not None and (len(shape) != 3 or shape[-1] not in (1, 3) or not whole):
        raise InputError(
            "input.image_shape must be [height, width, channels] with 1 or 3 channels, "
            f"as [64, 64, 3], not {shape}"
        )
    train = recipe.train
    if train.accumulate > train.batch_size:
        raise InputError(
            f"train.accumulate must be at most train.batch_size, {train.batch_size}, "
            f"not {train.accumulate}"
        )
    rates = train.learning_rate
    for rate in rates.values() if isinstance(rates, dict) else [rates]:
        if rate < 0.0:
            raise InputError(f"train.learning_rate must be at least 0, not {rate}")


def _check_train(train: Train) -> None:
    """Refuse names that would only fail after the data is read."""
    if "parameter" in train.strategy or train.strategy in ("tpu", "ps"):
        raise InputError(
            f"strategy {train.strategy!r} is not supported: Keras 3 has no parameter "
            "servers and TPUs were never tried; use mirrored or multiworker"
        )
    for key, names in (
        ("schedule", SCHEDULES),
        ("precision", PRECISIONS),
        ("strategy", STRATEGIES),
        ("monitor_mode", MONITOR_MODES),
        ("backend", BACKENDS),
    ):
        if getattr(train, key) not in names:
            raise unknown(f"train.{key}", getattr(train, key), names)


def model_arguments(family: str) -> list[str] | None:
    """The arguments of a model's constructor that a recipe may set.

    Read from the source, not imported, as that would take TensorFlow. None for a
    family of the user's own, whose constructor checks its arguments itself.
    """
    own = {path.stem: path for path in MODELS.glob("*.py")}
    if family not in own:
        return None
    for node in ast.parse(own[family].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if getattr(method, "name", "") == "__init__":
                    names = [argument.arg for argument in method.args.args]
                    return [n for n in names if n not in ("self", "image_shape")]
    return None
