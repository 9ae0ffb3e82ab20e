"""`python -m physworld VERB`."""

import sys

from physworld.cli import main

if __name__ == "__main__":
    sys.exit(main())
