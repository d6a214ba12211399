"""`python -m mrinr`: the shell command where it is not on the path."""

import sys

from mrinr.cli import main

sys.exit(main())
