"""`python -m torchliquid.cli`."""

import sys

from torchliquid.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
