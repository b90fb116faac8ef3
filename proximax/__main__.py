"""``python -m proximax``: the command line."""

import sys

from proximax.cli import main

sys.exit(main())
