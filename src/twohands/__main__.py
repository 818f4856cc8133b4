"""`python -m twohands`, the same as the command `twohands`."""

import sys

from twohands.cli import main

sys.exit(main())
