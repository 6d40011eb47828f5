"""``python -m morelli``: the command line."""

import sys

from morelli.cli import main

if __name__ == "__main__":
    sys.exit(main())
