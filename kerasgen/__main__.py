"""`python -m kerasgen`: the same as the command `kerasgen`."""

import sys

from kerasgen.cli import main

sys.exit(main())
