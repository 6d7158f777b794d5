"""Repair images with a diffusion model."""

from pathlib import Path

from kerasgen import kinds
from kerasgen.commands.options import check_suffix, out_file, place_of, progress, say
from kerasgen.errors import InputError
from kerasgen.quiet import import_tensorflow


def run(options):
    task = options.task.replace("-", "_")
    for name, of in (("mask", "inpaint"), ("noise_level", "denoise")):
        given = getattr(options, name) is not None
        if given != (task == of):
            flag = "--" + name.replace("_", "-")
            raise InputError(
                f"--task {of} needs a {flag}"
                if task == of
                else f"only {of} takes {flag}"
            )
    source = Path(options.image)
    if not source.exists():
        raise InputError(f"there is no image or folder {source}")
    out = None if options.out is None else out_file(options.out, kinds.suffixes())
    place = place_of(options, options.runtime)
    import_tensorflow()
    import numpy as np

    from kerasgen.export.server import server
    from kerasgen.rows import in_parts

    serve, signatures = server(place, options.runtime, task)
    kind, inputs = kinds.of({task: signatures[task]}), signatures[task]["inputs"]
    check_suffix(out, kind)
    out = out or Path(f"{source.stem}-{options.task}{kind.suffixes[0]}")
    examples = _examples(options, source, kind, next(iter(inputs.values()))["shape"])
    rows = _rows(options, examples, kind, inputs)
    parts = in_parts(serve, task, rows, progress(options))
    restored = np.concatenate([part["restored"] for part in parts])
    if source.is_dir():
        kind.write(out, restored)
    else:
        kind.write_one(out, restored[0])
    say(options, f"{len(restored)} restored in {out}")


def _examples(options, source: Path, kind, shape):
    """The image, or those in the folder, as signatures take them."""
    from kerasgen.data.images import image_files, read_images, told

    if not source.is_dir():
        return kind.read(source, shape[1:])[None]
    images, _, _, skipped = read_images(image_files(source), source, shape[1:])
    if skipped:
        say(options, told(skipped))
    return images / 255.0


def _rows(options, examples, kind, inputs) -> dict:
    """Each input of the signature, of which the first takes the examples."""
    import numpy as np

    from kerasgen.inputs import require_range
    from kerasgen.random import row_seeds

    n, first = len(examples), next(iter(inputs))
    rows = {first: examples, "seed": row_seeds(options.seed, n)}
    if "mask" in inputs:
        mask = kind.read(options.mask, inputs["mask"]["shape"][1:])
        rows["mask"] = np.broadcast_to(mask, (n, *mask.shape))
    if "noise_level" in inputs:
        rows["noise_level"] = np.full(n, options.noise_level)
    for key, entry in inputs.items():  # files would take the nearest
        require_range(key, rows[key], entry)
    return {key: rows[key].astype(entry["dtype"]) for key, entry in inputs.items()}
