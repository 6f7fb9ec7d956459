"""Write docs/options.md from the options in the code; a test says when it is out of date."""

from pathlib import Path

from torchliquid.bench.config import Protocol
from torchliquid.bench.options import options_page
from torchliquid.bench.tasks.kinds import KINDS

GROUPS = {kind.command: kind.options for kind in KINDS.values()} | {"protocol": Protocol}
PAGE = Path(__file__).parents[1] / "docs" / "options.md"

if __name__ == "__main__":
    PAGE.write_text(options_page(GROUPS), encoding="utf-8")
