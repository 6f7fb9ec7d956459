"""The figures of README and docs, from a finished benchmark, in colours of the reader's scheme.

python benchmarks/figures.py results/article
"""

import sys
from pathlib import Path

from torchliquid.report.svg import themed

FIGURES = {
    "answer": "answer",
    "tau-sys-ltc-8-euler": "tau_sys",
    "tau-plain": "tau_plain",
    "jump-average": "jump_average",
    "loss-curves": "loss_curves",
    "parameters": "parameters",
}


def main() -> int:
    """Write docs/_static/*.svg."""
    folder = Path(sys.argv[1]) / "figures"
    static = Path(__file__).parents[1] / "docs" / "_static"
    for name, to in FIGURES.items():
        (static / f"{to}.svg").write_text(themed((folder / f"{name}.svg").read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
