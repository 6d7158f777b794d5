"""Translate texts."""

from kerasgen.commands.options import out_file, place_of, texts
from kerasgen.quiet import import_tensorflow


def run(options):
    sources = texts(options)
    out = None if options.attention is None else out_file(options.attention, [".png"])
    more = [] if out is None else ["keras"]
    place = place_of(options, options.runtime, *more)
    import_tensorflow()
    from kerasgen import pictures
    from kerasgen.codec import translations
    from kerasgen.export.server import server
    from kerasgen.models.loading import codec, load_keras

    settings = {} if options.beam is None else {"beam": options.beam}
    serve, _ = server(place, options.runtime, "translate_ids", settings)
    found = translations(serve, codec(place), sources)
    for text in found:
        print(text)
    if out:
        weights = load_keras(place.keras).attention(sources[0], found[0])
        pictures.write_image(out, pictures.heatmap(*weights))
