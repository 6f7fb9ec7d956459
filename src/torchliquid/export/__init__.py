"""Trained models elsewhere: C, JavaScript, ONNX, and what proves that it is the same model."""

from torchliquid.export.c.folder import to_c
from torchliquid.export.cells import register_export
from torchliquid.export.cells.base import CellExport, Layer
from torchliquid.export.description import Description, describe
from torchliquid.export.js.source import js_source
from torchliquid.export.js.writer import to_js
from torchliquid.export.onnx.writer import to_onnx
from torchliquid.export.verify.measuring import CORES, Measurement, check_tools, measure
from torchliquid.export.verify.verification import MAX_ERROR, CheckResult, verify

__all__ = [
    "CORES",
    "MAX_ERROR",
    "CellExport",
    "CheckResult",
    "Description",
    "Layer",
    "Measurement",
    "check_tools",
    "describe",
    "js_source",
    "measure",
    "register_export",
    "to_c",
    "to_js",
    "to_onnx",
    "verify",
]
