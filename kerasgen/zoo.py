"""TO BE REMOVED at the merge."""

import importlib

WHERE = {
    "list_recipes": "catalog",
    "server": "export.server",
    "codec": "loading",
    "load": "loading",
    "load_keras": "loading",
}


def __getattr__(name):
    module = importlib.import_module("kerasgen." + WHERE.get(name, "places"))
    return getattr(module, name)
