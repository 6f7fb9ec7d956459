"""`examples/tour.ipynb`: the gallery's first script as a notebook, with its results in it.

    python tools/notebook.py            # make it and run it anew
    python tools/notebook.py --check    # run the one that is there; it must be the script

With `--check` nothing is written; the exit code tells whether it is the script, and runs.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from sphinx_gallery.notebook import jupyter_notebook
from sphinx_gallery.py_source_parser import split_code_and_text_blocks

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "examples" / "gallery" / "plot_0_tour.py"
NOTEBOOK = ROOT / "examples" / "tour.ipynb"
INSTALL = "# once: pip install 'torchliquid[bench] @ git+ADDRESS'\n%matplotlib inline"
"""ADDRESS stands for where the repository is found, as in the README."""
CONF = {"pypandoc": False, "first_notebook_cell": INSTALL, "last_notebook_cell": None,
        "notebook_images": False, "promote_jupyter_magic": False}  # fmt: skip


def as_notebook() -> Any:
    """The script's cells, without results."""
    _, blocks = split_code_and_text_blocks(str(SCRIPT))
    made = jupyter_notebook(blocks, CONF, str(SCRIPT.parent))
    made["metadata"] = {"kernelspec": {"display_name": "Python 3", "language": "python",
                                       "name": "python3"}}  # fmt: skip
    made["nbformat_minor"] = 5
    cells = made["cells"]
    cells[:2] = cells[1::-1]  # the title first, then how to install
    for k, cell in enumerate(cells):
        cell["id"] = f"cell-{k}"
    return nbformat.reads(json.dumps(made), 4)


def sources(notebook: Any) -> list[tuple[str, str]]:
    """The kind and the text of every cell."""
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def main() -> None:
    """Make the notebook, or check the one that is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    os.environ["OMP_NUM_THREADS"] = "1"
    notebook = as_notebook()
    if check and sources(nbformat.read(NOTEBOOK, 4)) != sources(notebook):
        sys.exit(f"{NOTEBOOK.name} is not {SCRIPT.name}: run python tools/notebook.py")
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata.pop("language_info", None)
    if not check:
        nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
