"""Make a hub of saved_models/: write index.json, after which any web server serves it.

python tools/hub.py [DIR]
"""

import sys
from pathlib import Path

from kerasgen import hub

if __name__ == "__main__":
    hub.write_index(Path(*sys.argv[1:] or ["saved_models"]))
