"""Configuration of the documentation."""

import sys
import tomllib
from pathlib import Path

import torchliquid

sys.path.insert(0, str(Path(__file__).parent))

project = "torchliquid"
author = "The torchliquid authors"
copyright = "2026, the torchliquid authors"
version = release = torchliquid.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
# run when the pages are built: an example that fails, or warns, fails the build
sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "gallery",
    "image_scrapers": ("gallery_style.svg_scraper",),
    "reset_modules": ("gallery_style.begin",),
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "ignore_repr_types": r"matplotlib\.",
    "show_memory": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
    "show_signature": False,
    "remove_config_comments": True,
}
# what is copied from an example is what one types: no prompts, no output
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "substitution"]
_settings = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
repository = _settings["tool"]["torchliquid"]["repository"]
_address = repository or "ADDRESS"
myst_substitutions = {
    "from_git": f"Anywhere: `pip install 'torchliquid[bench] @ git+{_address}'`"
    + ("." if repository else ", ADDRESS being where you would clone from.")
}
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
default_role = "code"
suppress_warnings = ["config.cache"]

html_theme = "furo"
html_title = f"torchliquid {release}"
html_static_path = ["_static"]
html_css_files = ["narrow.css"]
templates_path = ["_templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "versions.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
