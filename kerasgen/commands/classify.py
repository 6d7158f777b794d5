"""Say which class texts are of, and which words decided."""

from kerasgen.commands.options import place_of, texts
from kerasgen.quiet import import_tensorflow


def run(options):
    given = texts(options)
    place = place_of(options, options.runtime)
    import_tensorflow()
    from rich.console import Console
    from rich.text import Text

    from kerasgen.export.server import server
    from kerasgen.models.loading import codec

    serve, _ = server(place, options.runtime, "classify_ids")
    coded, console = codec(place), Console(highlight=False, soft_wrap=True)
    for text in given:
        if not text.strip():  # of no words, no class: a line for a line
            console.print()
            continue
        found = serve("classify_ids", token_ids=coded.ids([text]))
        (chances,), (attention,) = found["probabilities"], found["attention"]
        best = int(chances.argmax())
        line = Text(f"{coded.labels[best]} {chances[best]:.3f}")
        if console.is_terminal:  # the more a part decided, the brighter
            parts = coded.tokenizer.shown(text)[: coded.context]
            apart = "" if "".join(parts) == text else " "
            line.append("  ")
            shares = attention / max(float(attention.max()), 1e-9)
            for part, share in zip(parts, shares, strict=False):
                line.append(part, f"black on rgb(255,255,{255 - int(200 * share)})")
                line.append(apart)
        console.print(line)
