"""Cells that can be exported, one file each: `register_export` adds one."""

import importlib
import pkgutil

from torchliquid.errors import TorchliquidError
from torchliquid.export.cells.base import CellExport

EXPORTS: dict[str, CellExport] = {}
"""What the exporters know of cells, by the cell's name."""


def register_export(cell: type[CellExport]) -> type[CellExport]:
    """Add a cell to `EXPORTS`; a decorator of its class."""
    EXPORTS[cell.name] = cell()
    return cell


def export_of(name: str) -> CellExport:
    """Return what the exporters know of a cell.

    Raises:
        TorchliquidError: they do not know it.
    """
    if name not in EXPORTS:
        raise TorchliquidError(
            f"{name} cannot be exported yet: only {', '.join(EXPORTS)} can; "
            "torch.export writes any layer as a program of torch's operations"
        )
    return EXPORTS[name]


for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_module.name)  # each cell registers itself
