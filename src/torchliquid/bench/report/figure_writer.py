"""A figure as files and as a part of a page."""

import html
from pathlib import Path
from typing import Any

from markupsafe import Markup

from torchliquid.bench.report.figure_data import Omitted, Picture
from torchliquid.bench.report.style import drawing, settle
from torchliquid.bench.report.svg import for_page, to_png, to_svg
from torchliquid.bench.run.store import write_file


def drawn(picture: Picture, folder: Path) -> dict[str, Any]:
    """Write a figure's files; what the page needs of it."""
    with drawing():
        wide, narrow = picture.draw(True), picture.draw(False)
        settle(wide)
        settle(narrow)
    wide_svg = to_svg(wide)
    write_file(folder / f"{picture.name}.svg", wide_svg.encode())
    write_file(folder / f"{picture.name}.png", to_png(wide))  # last: it alters words
    label = html.escape(picture.alt, quote=True)
    drawings = [
        for_page(wide_svg, f"{picture.name}-w", label, "wide"),
        for_page(to_svg(narrow), f"{picture.name}-n", label, "narrow"),
    ]
    return {
        "name": picture.name,
        "title": picture.title,
        "caption": picture.caption,
        "svg": Markup("\n".join(drawings)),  # noqa: S704 - drawn here, its label escaped above
    }


class FigureWriter:
    """The figures of a page, in one folder; those of an earlier page are swept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, figure: Picture | Omitted) -> dict[str, Any]:
        """Draw a figure, or say why it is not there."""
        if isinstance(figure, Omitted):
            return {"title": figure.title, "why": figure.why}
        self._kept.update((f"{figure.name}.svg", f"{figure.name}.png"))
        return drawn(figure, self.folder)

    def remove_stale(self) -> None:
        """Delete the figures that are no longer shown."""
        for stale in self.folder.iterdir():
            ours = stale.suffix in {".svg", ".png"} and not stale.is_dir()
            if ours and stale.name not in self._kept:
                stale.unlink()
