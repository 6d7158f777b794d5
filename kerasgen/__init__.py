"""kerasgen: generative models for TensorFlow and Keras 3 that train right and ship.

The public names stand in `__init__.pyi`, where type checkers see them too. They are
imported when they are first used, so that `import kerasgen` is quick.
"""

import lazy_loader

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
