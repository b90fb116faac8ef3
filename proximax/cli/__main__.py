"""``python -m proximax.cli``: the command line."""

import sys

from proximax.cli import main

if __name__ == "__main__":
    sys.exit(main())
