"""`python -m physworld VERB`."""

import sys

from physworld.cli import main

sys.exit(main())
