"""What the command ``torchliquid`` runs: Ctrl-C while torch is being imported is one line too."""

import sys


def main() -> int:
    """Run the command line; its exit code."""
    try:
        from torchliquid.cli import main as run
    except KeyboardInterrupt:
        print("torchliquid: interrupted before it began", file=sys.stderr)
        return 130
    return run()
