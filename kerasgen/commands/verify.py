"""Check an artifact: files, and answers in every runtime."""

from pathlib import Path

from kerasgen import hub
from kerasgen.errors import tell
from kerasgen.extras import need
from kerasgen.places import find
from kerasgen.quiet import import_tensorflow


def run(options):
    need("export")
    folder = Path(options.model)
    named = hub.is_address(options.model) or folder.name == options.model
    if named and not folder.exists():
        runtimes = None if options.runtime is None else ("keras", options.runtime)
        place = find(options.model, runtimes, options.quiet)
        folder = place.folder or place.keras
    import_tensorflow()
    from kerasgen.export.runtimes import left_out
    from kerasgen.export.verify import verify

    rows = verify(folder, options.runtime)
    for name, reason in left_out().items():
        tell(f"{name} is not compared: {reason}")
    if options.quiet:
        return
    for row in rows:
        what = f"{row['signature']:<15} {row['runtime']:<13} batch {row['batch']}"
        if row["tolerance"] is None:
            said = f"{row['max_abs_difference']:.0%} of tokens are others"
        else:
            judged = row.get("rms_difference", row["max_relative_difference"])
            said = f"difference {judged:.1e} of {row['tolerance']:.0e} allowed"
        print(f"ok  {what}  {said}")
    which = "all files" if options.runtime is None else f"files for {options.runtime}"
    print(f"{folder}: {which} unchanged, {len(rows)} comparisons equal")
