"""TO BE REMOVED at the merge."""

from kerasgen.catalog import list_recipes  # noqa: F401
from kerasgen.export.server import server  # noqa: F401
from kerasgen.loading import codec, load, load_keras  # noqa: F401
from kerasgen.places import *  # noqa: F403
from kerasgen.places import LABELS, SAVED_MODELS, Place, find, label_names  # noqa: F401
