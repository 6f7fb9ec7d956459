"""``python -m torchliquid``: the command line."""

import sys

from torchliquid.cli import main

sys.exit(main())
