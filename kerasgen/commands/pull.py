"""Fetch a model of the hub, or of an address, to the cache."""

from kerasgen import hub
from kerasgen.commands.options import say


def run(options):
    runtimes = None if options.runtime is None else [options.runtime]
    say(options, str(hub.fetch(options.model, runtimes, options.quiet)))
