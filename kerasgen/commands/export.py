"""Write a model for other runtimes, and verify it."""

from pathlib import Path

from kerasgen import recipe as recipes
from kerasgen.commands.options import chosen, place_of, recipe_of, sampler, say
from kerasgen.conventions import FORMATS
from kerasgen.errors import InputError, unknown
from kerasgen.extras import need
from kerasgen.files import read_json
from kerasgen.places import label_names
from kerasgen.quiet import import_tensorflow


def run(options):
    need("export")
    settings = chosen(options, "model")["model"] | sampler(options, "guidance")
    place = place_of(options, "keras")
    recipe = recipe_of(place)
    formats = tuple(options.formats.split(","))
    for name in formats:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
    if recipe is None and options.out is None:
        raise InputError(f"there is no recipe.yaml beside {place.keras}: give --out")
    out = Path(options.out or Path("saved_models") / recipe.name)
    import_tensorflow()
    from kerasgen.metrics import identity
    from kerasgen.models.loading import load_keras

    own = load_keras(place.keras)
    model = own.changed(**settings) if settings else own
    figures = identity.read(place.folder, own, recipe) if recipe else None
    if figures:
        figures, others = identity.Identity.of(model).belonging(figures)
        for line in others:
            say(options, f"figures that are not shipped: {line}")
    if recipe and settings:
        changes = {f"model.{key}": value for key, value in settings.items()}
        recipe = recipes.from_values(recipe.values(), changes)
    about = _about_data(recipe, options) if recipe else {}
    names = label_names(place)
    if names:  # of what it was trained on, where the data changed since
        about["labels"] = names
    model.export(out, formats=formats, recipe=recipe, figures=figures, **about)
    parity = read_json(out / "parity.json")
    say(options, f"{out}: {len(parity['rows'])} comparisons, all equal")
    for row in parity["unsupported"]:
        say(options, f"not exported: {row['signature']} to {row['runtime']}")


def _about_data(recipe, options) -> dict:
    """Test examples for the card, and names of labels; none where the data isn't on
    this machine."""
    from kerasgen import data

    try:
        source = data.load_for(recipe)
    except InputError as error:
        say(options, f"no pictures of test examples: {error}")
        return {}
    return {"examples": source[source.judged_by].shown(), "labels": source.label_names}
