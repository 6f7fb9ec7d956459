"""The papers behind a model, as BibTeX."""

import sys

from torch import nn

from torchliquid.errors import TorchliquidError
from torchliquid.nn._registry import CELLS
from torchliquid.nn.mixed_memory import MixedMemory

HASANI = "Hasani, Ramin and Lechner, Mathias and Amini, Alexander"
PAPERS = {
    "hasani2021liquid": (
        "inproceedings",
        "Liquid Time-constant Networks",
        f"{HASANI} and Rus, Daniela and Grosu, Radu",
        2021,
        {"booktitle": "Proceedings of the AAAI Conference on Artificial Intelligence",
         "volume": "35", "number": "9", "pages": "7657--7666"},
    ),
    "lechner2020neural": (
        "article",
        "Neural circuit policies enabling auditable autonomy",
        "Lechner, Mathias and Hasani, Ramin and Amini, Alexander and Henzinger, Thomas A. and "
        "Rus, Daniela and Grosu, Radu",
        2020,
        {"journal": "Nature Machine Intelligence", "volume": "2", "pages": "642--652"},
    ),
    "hasani2022closed": (
        "article",
        "Closed-form continuous-time neural networks",
        f"{HASANI} and Liebenwein, Lucas and Ray, Aaron and Tschaikowski, Max and Teschl, Gerald "
        "and Rus, Daniela",
        2022,
        {"journal": "Nature Machine Intelligence", "volume": "4", "pages": "992--1003"},
    ),
    "lechner2020learning": (
        "misc",
        "Learning long-term dependencies in irregularly-sampled time series",
        "Lechner, Mathias and Hasani, Ramin",
        2020,
        {"eprint": "2006.04418", "archiveprefix": "arXiv"},
    ),
    "farsang2024liquid": (
        "misc",
        "Liquid Resistance Liquid Capacitance Networks",
        "Farsang, M{\\'o}nika and Neubauer, Sophie A. and Grosu, Radu",
        2024,
        {"eprint": "2403.08791", "archiveprefix": "arXiv",
         "note": "NeuroAI workshop at NeurIPS 2024"},
    ),
    "che2018recurrent": (
        "article",
        "Recurrent Neural Networks for Multivariate Time Series with Missing Values",
        "Che, Zhengping and Purushotham, Sanjay and Cho, Kyunghyun and Sontag, David and Liu, Yan",
        2018,
        {"journal": "Scientific Reports", "volume": "8", "eprint": "1606.01865",
         "archiveprefix": "arXiv"},
    ),
    "orvieto2023resurrecting": (
        "inproceedings",
        "Resurrecting Recurrent Neural Networks for Long Sequences",
        "Orvieto, Antonio and Smith, Samuel L. and Gu, Albert and Fernando, Anushan and Gulcehre, "
        "Caglar and Pascanu, Razvan and De, Soham",
        2023,
        {"booktitle": "International Conference on Machine Learning"},
    ),
    "boyer2025learning": (
        "misc",
        "Learning to Dissipate Energy in Oscillatory State-Space Models",
        "Boyer, Jared and others",
        2025,
        {"eprint": "2505.12171", "archiveprefix": "arXiv"},
    ),
    "funahashi1993approximation": (
        "article",
        "Approximation of dynamical systems by continuous time recurrent neural networks",
        "Funahashi, Ken-ichi and Nakamura, Yuichi",
        1993,
        {"journal": "Neural Networks", "volume": "6", "number": "6", "pages": "801--806"},
    ),
    "hochreiter1997long": (
        "article",
        "Long Short-Term Memory",
        "Hochreiter, Sepp and Schmidhuber, J{\\\"u}rgen",
        1997,
        {"journal": "Neural Computation", "volume": "9", "number": "8", "pages": "1735--1780"},
    ),
    "cho2014learning": (
        "inproceedings",
        "Learning Phrase Representations using {RNN} Encoder-Decoder for Statistical Machine "
        "Translation",
        "Cho, Kyunghyun and others",
        2014,
        {"booktitle": "Conference on Empirical Methods in Natural Language Processing",
         "eprint": "1406.1078", "archiveprefix": "arXiv"},
    ),
}  # fmt: skip
"""By key: kind, title, authors, year, and further fields."""


def citations(model: nn.Module) -> str:
    """Give the papers behind the layers of a model as BibTeX, this package first.

    Args:
        model: any module; all layers within it count, and each paper once.

    Returns:
        Entries with a blank line between; ``print`` them.

    Raises:
        TorchliquidError: it is no module.

    >>> import torchliquid as tl
    >>> found = tl.citations(tl.SequenceModel(tl.LTC(1, 8), 1))
    >>> [line for line in found.splitlines() if line.startswith("@")]
    ['@software{torchliquid,', '@inproceedings{hasani2021liquid,']
    """
    if not isinstance(model, nn.Module):
        raise TorchliquidError(
            f"model is a {type(model).__name__}: give a layer, or a model with layers in it"
        )
    cells = {cell.layer: cell for cell in CELLS.values()}
    keys: dict[str, None] = {}
    for module in model.modules():
        kinds = [type(module)]
        if isinstance(module, MixedMemory):
            kinds.append(module.layer.kind)
        for kind in kinds:
            cell = next((cells[base] for base in kind.__mro__ if base in cells), None)
            keys |= dict.fromkeys(cell.papers if cell else ())
    own = _entry(
        "software", "torchliquid", "torchliquid: liquid neural networks for PyTorch",
        "{The torchliquid authors}", 2026, {"version": sys.modules["torchliquid"].__version__},
    )  # fmt: skip
    return "\n\n".join([own, *(_of_paper(key) for key in keys)])


def _of_paper(key: str) -> str:
    kind, title, authors, year, more = PAPERS[key]
    return _entry(kind, key, title, authors, year, more)


def _entry(kind: str, key: str, title: str, authors: str, year: int, more: dict[str, str]) -> str:
    fields = {"title": title, "author": authors, "year": str(year), **more}
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
    return f"@{kind}{{{key},\n{lines}}}"
