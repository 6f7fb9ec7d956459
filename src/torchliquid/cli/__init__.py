"""The command line: parses, calls, prints. All else is imported inside its commands."""

from torchliquid.cli.main import main

__all__ = ["main"]
