"""Documents say what is so: commands, releases, order, links."""

import argparse
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_what_is_not_released_has_no_date():
    unreleased = "0.1.0 (unreleased)" in (ROOT / "CHANGELOG.md").read_text()
    assert ("date-released" in (ROOT / "CITATION.cff").read_text()) != unreleased


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


COMMAND = r"^(?:\S*/)?torchliquid ((?:bench|export|verify|info) .*)$"


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_commands_can_be_parsed(path):
    text = path.read_text().replace("\\\n", " ")
    for line in re.findall(COMMAND, text, re.MULTILINE):
        _parser().parse_args(shlex.split(line, comments=True))


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_the_page_of_claims_says_what_the_suites_say(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    machinery = importlib.import_module("claims_page")
    assert machinery.PAGE.read_text() == machinery.page(), "run python tools/claims_page.py"
