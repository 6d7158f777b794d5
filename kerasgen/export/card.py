"""The card of an artifact: what it is, how good, how to use it."""

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path

from kerasgen import kinds
from kerasgen import recipe as recipes
from kerasgen.export import runtimes, serving
from kerasgen.kinds import Kind
from kerasgen.models.base import Model
from kerasgen.recipe import Recipe


def write(
    model: Model,
    folder: Path,
    recipe: Recipe | None,
    examples=None,
    labels: Sequence[str] = (),
) -> None:
    """Write `folder`/README.md from the files that are there already.

    Args:
        model, recipe: see `kerasgen.export.artifact.write_artifact`.
        folder: the artifact.
        examples: test inputs, for requests.
        labels: the names of the classes.
    """
    kind = kinds.of(model.signatures(), recipe)
    name = recipe.name if recipe else model.name
    about = (recipe.description if recipe else "") or _first_line(model)
    parts = [f"# {name}", about + "."]
    parts.append(_shown(folder, "samples", kind))
    parts += [_facts(model, folder, recipe), _figures(folder, recipe)]
    parts += [_signatures(model), _inputs(model, labels)]
    parts.append(_use(model, folder, name, kind.typical(model, examples)))
    files = [*folder.glob("*.png"), *folder.glob(f"*{kind.suffixes[0]}")]
    for title in sorted({path.stem for path in files} - {"samples"}):
        parts.append(f"## {title.capitalize()}\n\n{_shown(folder, title, kind)}")
    text = "\n\n".join(part for part in parts if part) + "\n"
    (folder / "README.md").write_text(text, encoding="utf-8")


def _shown(folder: Path, title: str, kind: Kind) -> str:
    """What `Kind.publish` wrote: its picture, or how it begins, and a link to it."""
    picture, parts = folder / f"{title}.png", []
    path = folder / f"{title}{kind.suffixes[0]}"
    if picture.exists():
        parts.append(f"![{title}]({picture.name})")
    elif path.exists() and (begin := kind.excerpt(path)):
        parts.append(f"```\n{begin}\n```")
    if path.exists() and path != picture:
        parts.append(f"[More {title}]({path.name})")
    return "\n\n".join(parts)


def _first_line(model: Model) -> str:
    """The first line of the model's docstring."""
    return (
        (type(model).__doc__ or type(model).__name__)
        .strip()
        .splitlines()[0]
        .rstrip(".")
    )


def _facts(model, folder, recipe) -> str:
    lines = [f"- Model: `{type(model).__name__}`, {model.count_params():,} parameters"]
    if recipe:
        splits = recipe.data
        if isinstance(splits, dict):
            parts = ", ".join(f"{split} `{data}`" for split, data in splits.items())
        else:
            parts = f"`{splits}`"
        lines.append(f"- Data: {parts}")
        known = recipe.name in recipes.names()
        how = f"`kerasgen train {recipe.name if known else 'recipe.yaml'}`"
        lines.append(
            f"- Trained by {how}, seed {recipe.train.seed} ([recipe.yaml](recipe.yaml))"
        )
    abouts = [signature.about for signature in model.signatures().values()]
    lines += [f"- {about}" for about in abouts if about]
    parity = json.loads((folder / "parity.json").read_text(encoding="utf-8"))
    names = list(dict.fromkeys(row["runtime"] for row in parity["rows"]))
    worst = max((row["max_abs_difference"] for row in parity["rows"]), default=0.0)
    lines.append(
        f"- Verified: {len(parity['rows'])} comparisons with Keras in "
        f"{', '.join(names)}; largest difference {worst:.1e}"
    )
    for kind, bits in (("fp16", 16), ("int8", 8)):
        rows = [row for row in parity["variants"] if row["runtime"].endswith(kind)]
        values = [row for row in rows if "tokens" not in row]
        parts = []
        if values:
            rms = max(row["rms_difference"] for row in values)
            most = max(row["max_abs_difference"] for row in values)
            parts = [
                f"values differ by {rms:.1e} (root mean square), {most:.1e} at most"
            ]
        if len(rows) > len(values):
            share = max(r["max_abs_difference"] for r in rows if "tokens" in r)
            parts.append(f"{share:.0%} of tokens are others")
        if rows:
            what = f"Weights of {bits} bits (`*.{kind}.*`)"
            lines.append(f"- {what}: {', '.join(parts)}")
    lines += [
        f"- Not exported: `{row['signature']}` to {row['runtime']}: "
        + textwrap.shorten(row["reason"], 80, placeholder=" …")
        for row in parity["unsupported"]
    ]
    return "\n".join(lines)


def _figures(folder, recipe) -> str:
    content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    if not content["figures"]:
        return ""
    paper = recipe.paper if recipe else {}
    rows = [
        "## Figures",
        "",
        "| figure | value | paper | protocol |",
        "|---|---|---|---|",
    ]
    for name, figure in content["figures"].items():
        protocol = f"{figure['split']}, {figure['samples']:,} examples; "
        protocol += figure["protocol"].replace("|", r"\|")  # it would end a cell
        rows.append(
            f"| {name} | {figure['value']:.4g} {figure['unit']} | "
            f"{paper.get(name, '')} | {protocol} |"
        )
    weights = figure["identity"]["weights"]
    rows += ["", f"Of the weights `{weights[:12]}`, and [more values](metrics.json)."]
    return "\n".join(rows)


def _signatures(model) -> str:
    rows = ["## Signatures", "", "| name | inputs | outputs |", "|---|---|---|"]
    for name, signature in model.signatures().items():
        inputs = ", ".join(
            f"`{key}` {entry.dtype} {('batch', *entry.shape)}".replace(
                "'batch'", "batch"
            )
            for key, entry in signature.inputs.items()
        ).replace(",)", ")")
        outputs = ", ".join(f"`{key}`" for key in signature.outputs)
        rows.append(f"| `{name}` | {inputs} | {outputs} |")
    if "generate" in model.signatures():
        rows.append("")
        rows.append(
            "A seed a row: row *i* of `generate(n, seed)` has the seed `(seed * "
            "2654435761 + i) mod 2^32` as int32, and gives the same sample in every "
            "runtime and batch."
        )
    return "\n".join(rows)


def _inputs(model, labels=()) -> str:
    """What the files take for each input; `labels` are the names of classes."""
    head = [
        "| input | range | default | what is outside counts as |",
        "|---|---|---|---|",
    ]
    rows = {}  # those of several signatures once
    for signature in model.signatures().values():
        for name, entry in signature.inputs.items():
            if entry.low is None:
                continue
            limit = "" if entry.limit is None else f" {entry.limit:g}"
            default = "" if entry.default is None else f"{entry.default:g}"
            outside = "the nearest" if entry.outside is None else f"{entry.outside}"
            row = f"| `{name}` | {entry.low:g} …{limit} | {default} | {outside} |"
            rows[row] = None
    if not rows:
        return ""
    parts = [
        "What is out of range the files themselves take for something in it, the same "
        "in every runtime; NaN for the smallest. Every request has every input: a "
        "default is what kerasgen's own commands fill in.",
        "\n".join([*head, *rows]),
    ]
    named = [f"{i} {name}" for i, name in enumerate(labels) if name != str(i)]
    if named and any("label" in s.inputs for s in model.signatures().values()):
        line = textwrap.shorten(", ".join(named), 500, placeholder=" …")
        parts.append(f"`label`: {line}.")
    return "\n\n".join(parts)


def _use(model, folder, served, typical) -> str:
    def first(format):
        """The first signature of a format, and NumPy code of its inputs."""
        serving_it = {k: s for k, s in model.signatures().items() if s.serves(format)}
        name, signature = next(iter(serving_it.items()))
        inputs = signature.inputs.items()
        value = serving.python_value
        return name, {k: value(k, entry, typical) for k, entry in inputs}

    blocks = ["## Use"]
    if (folder / "1").exists():
        name, values = first("savedmodel")
        tensors = ", ".join(f"{k}=tf.constant({v})" for k, v in values.items())
        text = "import tensorflow_text  # SentencePiece, which TF Serving has\n"
        text = text if runtimes.libraries(folder / "1") else ""
        blocks += [
            "TensorFlow, without kerasgen or Keras:\n\n```python\n"
            f"import numpy as np\nimport tensorflow as tf\n{text}\n"
            f'model = tf.saved_model.load("1")\n'
            f'outputs = model.signatures["{name}"]({tensors})\n```',
            _serving(model, served, typical),
        ]
    name, values = first("onnx")
    if (folder / "onnx" / f"{name}.onnx").exists():
        arrays = ", ".join(f'"{k}": {v}' for k, v in values.items())
        blocks.append(
            "ONNX Runtime (keep `onnx/shared.weights`, where there is one, beside the "
            "files):\n\n```python\nimport numpy as np\nimport onnxruntime\n\n"
            f'session = onnxruntime.InferenceSession("onnx/{name}.onnx")\n'
            f"outputs = session.run(None, {{{arrays}}})\n```"
        )
    for name in runtimes.answered("litert", folder, model.signatures())[:1]:
        entries = model.signatures()[name].inputs.items()
        arrays = ", ".join(
            f"{k}={serving.python_value(k, entry, typical)}" for k, entry in entries
        )
        blocks.append(
            "LiteRT (`pip install ai-edge-litert`):\n\n```python\n"
            "import numpy as np\n"
            "from ai_edge_litert.interpreter import Interpreter\n\n"
            f'interpreter = Interpreter("{runtimes.FILES["litert"]}")\n'
            f'runner = interpreter.get_signature_runner("{name}")\n'
            f"outputs = runner({arrays})\n```"
        )
    return "\n\n".join(blocks)


def _serving(model, served, typical) -> str:
    """How TF Serving takes this folder as a model's base path, and is asked."""
    signatures = {k: s for k, s in model.signatures().items() if s.serves("savedmodel")}
    asked = [serving.curl(served, k, s.inputs, typical) for k, s in signatures.items()]
    name, signature = next(iter(signatures.items()))
    start = (
        f'docker run -p 8500:8500 -p 8501:8501 -v "$PWD:/models/{served}" \\\n'
        f"  -e MODEL_NAME={served} tensorflow/serving"
    )
    program = serving.grpc_program(served, name, signature, typical)
    return "\n\n".join(
        [
            "TF Serving, asked by HTTP:",
            "```\n" + "\n".join([start, *asked]) + "\n```",
            *_limits(signatures),
            "By gRPC (`pip install tensorflow-serving-api`):",
            f"```python\n{program}\n```",
        ]
    )


def _limits(signatures) -> list[str]:
    """What clients of TF Serving should know."""
    lines = []
    slow = [f"`{name}`" for name, signature in signatures.items() if signature.loops]
    if slow:
        lines.append(
            f"HTTP answers within 30 s, or not at all (`--rest_api_timeout_in_ms`): "
            f"{', '.join(slow)} take a whole loop of steps for each row, perhaps "
            "seconds. So ask for few rows at a time, or by gRPC."
        )
    lines.append(
        f"With `batching.config` a request has at most {serving.LARGEST_BATCH} rows."
    )
    inputs = {name: e for s in signatures.values() for name, e in s.inputs.items()}
    if "token_ids" in inputs:
        lines[-1] += (
            " Rows of requests that share a batch may have different lengths: TF "
            "Serving fills them up *with the first number of each request*. So begin "
            "rows as above, with 0, or 1 where texts begin with it: then it counts as "
            "padding. Outputs may end in padding that other requests caused."
        )
    return lines
