"""Write docs/api.md: every public name with its arguments; a test says when it is out of date."""

import importlib
import inspect
import types
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "api.md"
MODULES = {
    "torchliquid": "The package",
    "torchliquid.nn": "More layers, and a saved model's scaling",
    "torchliquid.wirings": "Wirings",
    "torchliquid.forecast": "Forecasts",
    "torchliquid.training": "Training",
    "torchliquid.export": "Export",
    "torchliquid.play": "Pages",
    "torchliquid.functional": "Equations, as functions of tensors",
}
HEAD = """# Names at a glance

Every public name, with its first line, its arguments, and the file that says the rest. Shapes,
errors, papers and examples are in [the reference](reference.md). `python tools/api_page.py` makes
this page.
"""


def names(module: Any) -> list[str]:
    """What a module makes public: functions and classes, in the order of the alphabet."""
    listed = getattr(module, "__all__", None) or [
        name for name, value in vars(module).items()
        if name[0] != "_" and getattr(value, "__module__", "") == module.__name__
    ]  # fmt: skip
    return sorted(listed, key=str.lower)


def arguments(value: Any) -> str:
    """A signature without types, as it is called."""
    try:
        taken = inspect.signature(value).parameters.values()
    except ValueError:
        return "..."
    bare = [p.replace(annotation=p.empty) for p in taken if p.name != "self"]
    return str(inspect.Signature(bare))[1:-1]


def methods(value: Any) -> str:
    """What can be called on an object of a class, but for what torch and Python give it."""
    if not inspect.isclass(value):
        return ""
    own = [
        name
        for parent in value.__mro__ if parent.__module__.startswith("torchliquid")
        for name, found in vars(parent).items()
        if name[0] != "_" and inspect.isfunction(found) and found.__doc__
    ]  # fmt: skip
    listed = ", ".join(f"`{name}`" for name in sorted(set(own) - {"forward", "extra_repr"}))
    return f"; methods {listed}." if listed else "."


def page() -> str:
    """The whole page."""
    parts, seen = [HEAD], set()
    for path, title in MODULES.items():
        module = importlib.import_module(path)
        rows = []
        for name in names(module):
            value = getattr(module, name)
            if isinstance(value, types.ModuleType) or not callable(value) or id(value) in seen:
                continue
            seen.add(id(value))
            source = inspect.getsourcefile(inspect.unwrap(value)) or ""
            file = Path(source).relative_to(ROOT)
            first = (inspect.getdoc(value) or "").splitlines()[0].replace("``", "`")
            whole = f"{path.replace('torchliquid', 'tl', 1)}.{name}"
            rows.append(f"- **{whole}**: {first} `{name}({arguments(value)})`{methods(value)} "
                        f"[{file.name}](../{file})")  # fmt: skip
        parts.append(f"\n## {title}\n\n" + "\n".join(rows) + "\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
