"""Draw the rooms of the package and who imports whom: docs/_static/imports.svg, and a count.

Arrows that follow from others are left out. `python tools/import_drawing.py`
"""

import ast
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "torchliquid"
OUT = Path(__file__).parents[1] / "docs" / "_static" / "imports.svg"
SMALL = ("errors", "files", "install", "messages", "_checks", "__init__", "__main__")
LIBRARY = ("functional", "kernels", "nn", "insight", "export", "tables")
SECOND = ("bench/environment", "bench/git", "bench/suites")
WIDTH, STEP, BOX = 720, 74, (128, 36)


def room_of(module: str) -> str | None:
    """Return the room of a module, such as "nn" or "bench/run"; None for what all may import."""
    parts = module.split(".")[1:]
    if not parts or parts[0] in SMALL:
        return None
    if parts[0] == "bench":
        return f"bench/{parts[1]}" if len(parts) > 1 else None
    return parts[0]


def arrows(package: Path) -> Counter[tuple[str, str]]:
    """Count the imports between rooms."""
    counts: Counter[tuple[str, str]] = Counter()
    for path in package.rglob("*.py"):
        module = ".".join(path.relative_to(package.parent).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                one, other = room_of(module), room_of(name)
                if name.startswith("torchliquid.") and one and other and one != other:
                    if other in ("bench/__version__", "__version__") or not _is_room(other):
                        continue
                    counts[one, other] += 1
    return counts


def _is_room(name: str) -> bool:
    path = PACKAGE / name
    return path.is_dir() or path.with_suffix(".py").exists()


def below(edges: set[tuple[str, str]], room: str) -> set[str]:
    """Return all rooms that a room imports, directly or not."""
    found, todo = set(), [room]
    while todo:
        here = todo.pop()
        for one, other in edges:
            if one == here and other not in found:
                found.add(other)
                todo.append(other)
    return found


def reduced(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the arrows that do not follow from others."""
    return {
        (a, b)
        for a, b in edges
        if not any(c != b and (a, c) in edges and b in below(edges, c) for _, c in edges)
    }


def levels(edges: set[tuple[str, str]], rooms: set[str]) -> dict[str, int]:
    """Return the height of each room: above all that it imports."""
    height = dict.fromkeys(rooms, 0)
    for _ in rooms:
        for one, other in edges:
            height[one] = max(height[one], height[other] + 1)
    return height


def main() -> None:
    """Draw, and print the count of rooms, arrows and circles."""
    counts = arrows(PACKAGE)
    edges = set(counts)
    rooms = {room for edge in edges for room in edge}
    circles = sorted(room for room in rooms if room in below(edges, room))
    print(f"{len(rooms)} rooms, {len(edges)} arrows, {len(circles)} rooms in circles {circles}")
    height = levels(edges, rooms)
    top = max(height.values())
    place = {}
    for half, left in ((True, 20), (False, 380)):
        for level in range(top + 1):
            row = sorted(r for r in rooms if height[r] == level and (r in LIBRARY) == half)
            for k, room in enumerate(row):
                column = 1 if room in SECOND else k  # beside the long arrows
                place[room] = (left + 136 * column + 64, 40 + STEP * (top - level) + 18)
    lines = []
    for a, b in sorted(reduced(edges)):
        (x0, y0), (x1, y1) = place[a], place[b]
        lines.append(f'<path d="M{x0} {y0 + 18} L{x1} {y1 - 20}" marker-end="url(#a)"/>')
    boxes = [
        f'<g class="{"lib" if room in LIBRARY else "bench"}"><rect x="{x - 64}" y="{y - 18}" '
        f'width="{BOX[0]}" height="{BOX[1]}" rx="6"/><text x="{x}" y="{y + 5}">{room}</text></g>'
        for room, (x, y) in sorted(place.items())
    ]
    style = (
        "text{font:13px sans-serif;text-anchor:middle;fill:#1b1f24}"
        ".t{font-weight:bold;fill:#59636e}rect{stroke:#59636e}.lib rect{fill:#d6e9f8}"
        ".bench rect{fill:#f6e3d7}path{stroke:#59636e;fill:none}"
        "@media(prefers-color-scheme:dark){.t{fill:#a3adb8}path{stroke:#a3adb8}}"
    )
    head = '<marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    marker = f'{head}orient="auto"><path d="M0 0 L8 4 L0 8"/></marker>'
    tall = 60 + STEP * (top + 1)
    title = '<text class="t" x="150" y="22">library</text><text class="t" x="520" y="22">benchmark'
    OUT.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {tall}"><style>{style}'
        f"</style><defs>{marker}</defs>{title}</text>{''.join(lines)}{''.join(boxes)}</svg>\n"
    )


if __name__ == "__main__":
    main()
