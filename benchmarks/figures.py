"""The figures of README and docs, from a finished benchmark, in colours of the reader's scheme.

python benchmarks/figures.py results/article
"""

import sys
from pathlib import Path

import torch

import torchliquid as tl
from torchliquid.bench.report.svg import themed

FIGURES = {
    "answer": "answer",
    "tau-sys-ltc-8-euler": "tau_sys",
    "tau-plain": "tau_plain",
    "jump-average": "jump_average",
    "loss-curves": "loss_curves",
    "parameters": "parameters",
}


def tutorial(path: Path) -> None:
    """The tutorial's own picture, of the model that it trains."""
    torch.manual_seed(0)
    t = 0.1 * torch.arange(201)
    series = torch.sin(t) + 0.05 * torch.randn(201)
    x, target = series[None, :-1, None], series[None, 1:, None]
    model = tl.SequenceModel(tl.LTC(1, 8, batch_first=True, dt=0.1), output_size=1)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(60):
        optimiser.zero_grad()
        (model(x)[0] - target).square().mean().backward()
        optimiser.step()
    tl.plot_time_constants(model, x).savefig(path)


def main() -> int:
    """Write docs/_static/*.svg."""
    folder = Path(sys.argv[1]) / "figures"
    static = Path(__file__).parents[1] / "docs" / "_static"
    for name, to in FIGURES.items():
        (static / f"{to}.svg").write_text(themed((folder / f"{name}.svg").read_text()))
    tutorial(static / "tutorial_tau_sys.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
