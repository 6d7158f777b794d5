"""Send an artifact or a preset to Hugging Face."""

from pathlib import Path

from kerasgen import hub
from kerasgen.commands.options import say


def run(options):
    hub.push(Path(options.folder), options.target)
    say(options, f"{options.folder} is at {options.target}")
