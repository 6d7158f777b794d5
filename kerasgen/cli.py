"""The command line: `kerasgen COMMAND`.

Exit status 0 done, 1 failed, 2 bad usage or input; told in one line, and with --debug
by a traceback too.
"""

import argparse
import contextlib
import decimal
import os
import sys
import traceback
from collections.abc import Callable

import shtab

from kerasgen import __version__, backend, commands, kinds
from kerasgen.conventions import MOST_SAMPLES
from kerasgen.errors import InputError, one_line, told, unknown
from kerasgen.recipe import PRECISIONS, STRATEGIES

RUNTIMES = (
    "keras",
    "savedmodel",
    "onnx",
    "onnx-fp16",
    "onnx-int8",
    "litert",
    "litert-int8",
)
TASKS = ("inpaint", "denoise", "deblur", "super-resolve")
PATHS = ("MODEL", "RECIPE", "FILE", "DIR", "DIR|MODEL", "IMAGE|FOLDER")
_INT64 = 2**63 - 1


def main(arguments: list[str] | None = None) -> int:
    """Run one command; -> exit status. Whatever goes wrong is told in one line."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options = argparse.Namespace(debug=False)
    try:
        parser().parse_args(arguments, options)
        options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:  # `kerasgen list | head`
        _drop_output()
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if options.debug:
            traceback.print_exc()
        print(f"kerasgen: {told(error)}", file=sys.stderr)
        _drop_output()
        return 2 if isinstance(error, InputError) else 1
    return 0


def _drop_output() -> None:
    """Write what standard output takes no more of to nowhere, or Python complains."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    """Whose errors are one line, with the nearest names."""

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            what = action.option_strings[0] if action.option_strings else "command"
            raise argparse.ArgumentError(
                None, str(unknown(what, value, action.choices))
            )

    def error(self, message):
        self.exit(2, f"{self.prog}: {one_line(message)} (see {self.prog} --help)\n")


def _whole(least: int = -(2**63), most: int = _INT64) -> Callable:
    """The type of an argument that is a whole number in a range; 1e6 is one."""
    within = "" if most == _INT64 else f" from {least:,} to {most:,}"

    def read(text: str) -> int:
        try:
            value = decimal.Decimal(text)
            good = least <= value <= most and value % 1 == 0
        except ArithmeticError:  # decimal's, for what is no number
            good = False
        if not good:
            line = f"must be a whole number{within}, not {text!r}"
            raise argparse.ArgumentTypeError(line)
        return int(value)

    return read


def parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="kerasgen", description="Train, judge and ship generative models."
    )
    parser.add_argument(
        "--version", action="version", version=f"kerasgen {__version__}"
    )
    shtab.add_argument_to(
        parser, "--print-completion", help="a script for the shell, to be sourced"
    )
    debug = {"action": "store_true", "help": "show the traceback of an error"}
    parser.add_argument("--debug", **debug)
    parser.set_defaults(command=lambda _: parser.print_help())
    entries = parser.add_subparsers(metavar="COMMAND")

    def command(module):
        name, help = module.__name__.rpartition(".")[2], module.__doc__.rstrip(".")
        help = help[0].lower() + help[1:]
        entry = entries.add_parser(name, help=help, description=help)
        entry.add_argument("--quiet", action="store_true", help="print nothing")
        entry.add_argument("--debug", default=argparse.SUPPRESS, **debug)
        entry.set_defaults(command=module.run)
        return entry.add_argument

    add = command(commands.list)
    add("--hub", action="store_true", help="models of the hub that KERASGEN_HUB names")
    add("--json", action="store_true")

    add = command(commands.train)
    add("recipe", metavar="RECIPE")
    add("--out", metavar="DIR", help="run directory (default runs/RECIPE)")
    add("--epochs", type=_whole(), metavar="N")
    add("--steps", type=_whole(), metavar="N", help="instead of epochs")
    add("--batch-size", type=_whole(), metavar="N", help="of all devices together")
    add("--seed", type=_whole(), metavar="N")
    add("--data", metavar="SOURCE", help="tfds:NAME, folder:DIR, text:FILE, …")
    add("--init", metavar="MODEL", help="start from the weights of this model")
    add("--strategy", metavar="NAME", help=" | ".join(STRATEGIES))
    add("--devices", type=_whole(), metavar="N", help="of this machine")
    add("--precision", metavar="NAME", help=" | ".join(PRECISIONS))
    add("--backend", metavar="NAME", help=" | ".join(backend.BACKENDS))
    add("--profile", metavar="NAME", help="values that the recipe has for it, as gpu")
    add("--resume", action="store_true", help="continue, or start if nothing is saved")
    _add_set(add, "any value of the recipe, as in --set train.learning_rate=1e-4")

    add = command(commands.generate)
    add("model", metavar="MODEL")
    add("-n", type=_whole(1, MOST_SAMPLES), default=16, metavar="N")
    add("--seed", type=_whole(), default=0, help="equal seeds give equal samples")
    add(
        "--out",
        metavar="FILE",
        help=f"ends in {', '.join(kinds.suffixes())}, as its samples do; default "
        "MODEL.png, or so; texts are printed",
    )
    add("--runtime", choices=RUNTIMES, default="keras")
    add("--label", metavar="CLASS", help="its name or number; -1 draws one")
    add("--guidance", type=float, metavar="W")
    add("--prompt", metavar="TEXT", help="what texts begin with")
    add("--max-new-tokens", type=_whole(), metavar="N")
    add("--temperature", type=float, metavar="T", help="0 takes the best token")
    add("--top-k", type=_whole(), metavar="K", help="choose among the best K; 0: all")
    add("--top-p", type=float, metavar="P", help="choose among the likeliest P in 1")
    _add_sampler(add)

    add = command(commands.restore)
    add("model", metavar="MODEL")
    add("image", metavar="IMAGE|FOLDER")
    add("--task", choices=TASKS, required=True)
    add("--mask", metavar="FILE", help="for inpaint; white is filled in")
    add("--noise-level", type=float, metavar="S", help="for denoise; s.d. of [0, 1]")
    add("--out", metavar="FILE", help=".png or .npy (default IMAGE-TASK.png)")
    add("--seed", type=_whole(), default=0)
    add("--runtime", choices=RUNTIMES, default="keras")

    for module in (commands.translate, commands.classify):
        add = command(module)
        add("model", metavar="MODEL")
        add("text", metavar="TEXT", nargs="*", help="default: lines of standard input")
        add("--runtime", choices=RUNTIMES, default="keras")
        if module is commands.translate:
            add("--beam", type=_whole(), metavar="N", help="default the model's, 5")
            what = "what each word of the first looked at, as .png"
            add("--attention", metavar="FILE", help=what)

    add = command(commands.evaluate)
    add("model", metavar="MODEL")
    add("--samples", type=_whole(1, 2**31 - 1), metavar="N", help="use only N examples")
    add(
        "--split",
        choices=("test", "validation"),
        help="default test, or validation where the data has no other",
    )
    add("--runtime", choices=RUNTIMES, default="keras")
    add("--json", metavar="FILE")
    every = ",".join(kinds.evaluations())
    add("--only", metavar="NAME,…", default=every, help=f"of {every}")
    what = "as evaluate.features=mnist; or what needs no training, as model.scale=2"
    _add_set(add, what)
    _add_sampler(add)
    add("--guidance", type=float, metavar="W", help="of all samples")
    what = "judge a run's last weights, not their moving average"
    add("--no-ema", action="store_true", help=what)

    add = command(commands.export)
    add("model", metavar="MODEL")
    add("--out", metavar="DIR", help="default saved_models/RECIPE")
    add("--formats", default="savedmodel,onnx,litert")
    _add_set(add, "what needs no training, as model.resampling=8")
    _add_sampler(add)
    add("--guidance", type=float, metavar="W", help="where a call gives none")

    add = command(commands.verify)
    add("model", metavar="DIR|MODEL")
    add("--runtime", choices=RUNTIMES[1:], help="only its files; default all")

    add = command(commands.pull)
    add("model", metavar="NAME", help="of the hub; or hf://ORG/REPO, https://…")
    add("--runtime", choices=RUNTIMES, help="only what it needs; default all")

    add = command(commands.push)
    add(
        "folder",
        metavar="DIR",
        help="an artifact, a preset, or a folder of them with index.json",
    )
    add("target", metavar="hf://ORG/REPO")
    for entry in entries.choices.values():
        for action in entry._actions:  # as the shell should complete them
            if action.metavar in PATHS:
                action.complete = shtab.FILE
    return parser


def _add_set(add, help):
    add("--set", action="append", default=[], metavar="KEY=VALUE", help=help)


def _add_sampler(add):
    what = "ddpm | ddim | heun | dpm-solver++, or with values: '{name: ddim, eta: 1}'"
    add("--sampler", metavar="NAME", help=what)
    add("--sampling-steps", type=_whole(), metavar="N")
