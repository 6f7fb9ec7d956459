"""Trained networks that run in a page, on a signal that one bends by hand."""

from torchliquid.play._colours import DARK, LIGHT
from torchliquid.play.page import Panel, Regression, Signal, make_panel, write_page

__all__ = ["DARK", "LIGHT", "Panel", "Regression", "Signal", "make_panel", "write_page"]
