"""Documents say what is so: commands, releases, order, links."""

import argparse
import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import torchliquid
from torchliquid.cli.main import _parser

ROOT = Path(__file__).parents[1]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GALLERY = sorted((ROOT / "examples" / "gallery").glob("*.py"))


def commands(parser, before=""):
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                deeper = list(commands(sub, f"{before}{name} "))
                yield from deeper or [f"{before}{name}"]


def test_the_table_of_commands_is_whole():
    text = (ROOT / "docs" / "reference.md").read_text()
    table = text[text.index("## Command line") :]
    missing = [name for name in commands(_parser()) if name not in table]
    assert not missing


def test_versions_and_dates_are_those_of_the_newest_release():
    head = re.search(
        r"^## (\S+) (?:- (\S+)|\(unreleased\))$", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
    citation = (ROOT / "CITATION.cff").read_text()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert head[1] == torchliquid.__version__ == settings["project"]["version"]
    assert f"version: {head[1]}\n" in citation
    assert (f"date-released: {head[2]}\n" in citation) if head[2] else "date-rel" not in citation


@pytest.mark.parametrize("repository", ["", "https://example.org/torchliquid"])
def test_the_page_of_a_package_index_leads_somewhere(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    page = importlib.import_module("index_page").index_page(
        (ROOT / "README.md").read_text(), repository, "0.2.0"
    )
    targets = re.findall(r"\]\(([^)\s]+)\)", page)
    assert all(target.startswith("https://") for target in targets)
    assert bool(targets) == bool(repository)
    assert "\npip install 'torchliquid[bench]'\n" in page
    pictures = re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", page)
    assert len(pictures) == (2 if repository else 0)
    assert all(picture.startswith(f"{repository}/raw/v0.2.0/docs/") for picture in pictures)
    if repository:
        assert f"]({repository}/blob/v0.2.0/docs/playground.md)" in page


def test_the_log_is_newest_first():
    dates = re.findall(r"^\*\*(\d{4}-\d\d-\d\d)", (ROOT / "docs/log.md").read_text(), re.MULTILINE)
    assert dates == sorted(dates, reverse=True)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_no_address_is_invented(path):
    text = path.read_text()
    assert "git+URL" not in text
    # from an index that may not hold it
    index = r"pip install ['\"]?torchliquid(\[\w+\])?['\"]?(?! @)(\s|`)"
    assert not re.search(index, text)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_local_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text()):
        if not target.startswith(("http:", "https:")) and target != "changelog.md":
            assert (path.parent / target).exists(), target


def test_an_environment_that_is_a_link_is_ignored(tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    for name in (".venv", ".venv-oldest"):
        (tmp_path / name).symlink_to(tmp_path)
        found = subprocess.run(
            ["git", "-C", str(tmp_path), "check-ignore", "-q", name], check=False
        )
        assert found.returncode == 0


def test_the_example_of_the_readme_runs(capsys):
    readme = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    exec(compile(code.replace("range(300)", "range(2)"), "README.md", "exec"), {})  # noqa: S102
    assert re.fullmatch(r"LTC: [\d.]+, nn.LSTM: [\d.]+\n", capsys.readouterr().out)


def test_the_notebook_is_the_first_script_of_the_gallery_and_runs():
    done = subprocess.run(
        [sys.executable, ROOT / "tools/notebook.py", "--check"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


WIDEST = 78
"""Columns of code that a page of 1,280 px shows without scrolling."""


def code_of(path):
    """The lines of code in a page, with the number of each."""
    fence = ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.lstrip().startswith("```"):
            fence = "" if fence else line.strip()
        elif fence and not fence.startswith("```{"):
            yield number, line


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_no_code_is_cut_off(path):
    assert not [f"{path.name}:{n}" for n, line in code_of(path) if len(line) > WIDEST]


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_no_code_of_the_gallery_is_cut_off(path):
    lines = path.read_text().splitlines()
    assert not [n for n, line in enumerate(lines, 1) if len(line) > WIDEST and line[:2] != "# "]


COMMAND = r"^(?:\S*/)?torchliquid ([a-z]+ .*)$"


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_commands_can_be_parsed(path):
    text = path.read_text().replace("\\\n", " ")
    for line in re.findall(COMMAND, text, re.MULTILINE):
        _parser().parse_args(shlex.split(line, comments=True))


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_the_page_of_names_is_that_of_the_code(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    machinery = importlib.import_module("api_page")
    assert machinery.PAGE.read_text() == machinery.page(), "run python tools/api_page.py"


@pytest.mark.parametrize("module", ["torchliquid", "torchliquid.nn", "torchliquid.functional"])
def test_the_reference_has_every_public_name(module):
    reference = (ROOT / "docs" / "reference.md").read_text()
    whole = importlib.import_module(module)
    names = [name for name in whole.__all__ if callable(getattr(whole, name))]
    assert not [name for name in names if not re.search(rf"\.{name}\b", reference)]


def test_the_page_of_claims_says_what_the_suites_say(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    machinery = importlib.import_module("claims_page")
    assert machinery.PAGE.read_text() == machinery.page(), "run python tools/claims_page.py"
