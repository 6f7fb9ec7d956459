"""Drawings as SVG and PNG files, and as parts of a page."""

import io
import re

from matplotlib.figure import Figure
from matplotlib.text import Text

from torchliquid.bench.report.style import drawing
from torchliquid.play import DARK, LIGHT

_NO_METADATA = dict.fromkeys(["Date", "Creator", "Format", "Type"])
_TAU_SYS = "\N{GREEK SMALL LETTER TAU}_sys"
_NAMES = {colour: name for name, colour in LIGHT.items()}


def to_svg(figure: Figure) -> str:
    """The figure as a file of its own; the same figure gives the same text."""
    buffer = io.StringIO()
    with drawing():
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    short = re.sub(r'(?<= d=")[^"]*', lambda path: _shorter(path[0]), buffer.getvalue())
    return re.sub(f">([^<]*){_TAU_SYS}([^<]*)<", _subscript, short)


def _subscript(match: re.Match[str]) -> str:
    """Words with tau_sys as a symbol; by dy, which all browsers know, unlike baseline-shift."""
    low = '<tspan dy="0.28em" font-size="75%">sys</tspan>'
    return f'>{match[1]}{_TAU_SYS[0]}{low}<tspan dy="-0.21em">{match[2]}</tspan><'


def to_png(figure: Figure) -> bytes:
    """The figure at 200 dots per inch, on white."""
    buffer = io.BytesIO()
    for text in figure.findobj(Text):
        if isinstance(text, Text) and _TAU_SYS in text.get_text():
            text.set_text(text.get_text().replace(_TAU_SYS, r"$\mathrm{\tau_{sys}}$"))
            text.set_parse_math(True)
    with drawing():
        # An inch of the drawing holds 72 px of type: the file is as sharp as print needs.
        figure.savefig(buffer, format="png", dpi=200, pil_kwargs={"compress_level": 3})
    return buffer.getvalue()


def for_page(svg: str, key: str, label: str, css_class: str) -> str:
    """An SVG file as an element of an HTML page.

    Args:
        svg: as `to_svg` returns it.
        key: unique in the page; ids inside the SVG begin with it.
        label: alternative text, already safe inside a double-quoted attribute.
        css_class: of the element.

    Returns:
        The element. It fills its container's width, its colours are CSS variables of the page and
        its text has the page's font.
    """
    start = svg.index("<svg")
    box = re.search(r'viewBox="([^"]+)"', svg)
    body = svg[svg.index(">", start) + 1 : svg.rindex("</svg>")]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    body = re.sub(r"#[0-9a-f]{6}\b", _variable, body)
    used = set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", body)
    body = re.sub(r'( id="|xlink:href="#|url\(#)', rf"\g<1>{key}-", body)
    return (
        f'<svg class="{css_class}" role="img" aria-label="{label}" '
        f'viewBox="{box[1] if box else "0 0 1 1"}" '
        f'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f"{body}</svg>"
    )


def themed(svg: str) -> str:
    """An SVG file for a web page, whose colours follow the reader's light or dark scheme.

    Only browsers read it rightly; `to_svg` has plain colours, for everything else.
    """
    start = svg.index(">", svg.index("<svg")) + 1
    schemes = [
        " ".join(f"--{name}: {colour};" for name, colour in scheme.items())
        for scheme in (LIGHT, DARK)
    ]
    style = (
        f"<style>svg {{ {schemes[0]} }} "
        f"@media (prefers-color-scheme: dark) {{ svg {{ {schemes[1]} }} }}</style>"
    )
    return svg[:start] + style + re.sub(r"#[0-9a-f]{6}\b", _variable, svg[start:])


def _variable(colour: re.Match[str]) -> str:
    name = _NAMES.get(colour[0])
    return f"var(--{name})" if name else colour[0]


def _shorter(path: str) -> str:
    """A path's data with two decimals: a hundredth of a pixel, and half the bytes."""
    rounded = re.sub(r"-?\d+\.\d{3,}", lambda m: f"{float(m[0]):.2f}", path)
    return re.sub(r"\s*\n\s*", " ", rounded)
