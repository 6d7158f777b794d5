"""kerasgen: generative models for TensorFlow and Keras 3 that train right and ship.

The public names stand in `__init__.pyi`, where type checkers see them too. They are
imported when they are first used, so that `import kerasgen` is quick.
"""

import lazy_loader

from kerasgen.errors import unknown
from kerasgen.extras import needing

__version__ = "0.2.0"
_lazy, _, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name):
    try:
        with needing("export"):  # for `verify`
            return _lazy(name)
    except AttributeError as error:
        line = str(unknown("name in kerasgen", name, __all__))
        raise AttributeError(line, name=name) from error


def __dir__():
    return ["__version__", *__all__]
