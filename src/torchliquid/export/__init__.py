"""Trained models elsewhere: C for microcontrollers, and what proves that it is the same model."""

from torchliquid.export.description import Description, Layer, describe
from torchliquid.export.folder import to_c
from torchliquid.export.onnx_file import to_onnx
from torchliquid.export.verify import Rung, verify

__all__ = ["Description", "Layer", "Rung", "describe", "to_c", "to_onnx", "verify"]
