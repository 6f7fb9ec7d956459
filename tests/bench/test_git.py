"""git is asked about a folder without running what its repository configures."""

import subprocess

import pytest

from torchliquid.bench.git import git, is_as_committed
from torchliquid.bench.suites.planned import planned


def repository(folder, content=b"a = 1\n"):
    def run(*words):
        subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)

    folder.mkdir(parents=True, exist_ok=True)
    run("init", "-q")
    run("config", "user.name", "A")
    run("config", "user.email", "a@b.c")
    (folder / "s.toml").write_bytes(content)
    run("add", "s.toml")
    run("commit", "-qm", "plan")
    return run


@pytest.fixture
def hostile(tmp_path):
    """A repository, every setting of which that names a command makes a file when it is run."""
    folder, mark = tmp_path / "theirs", tmp_path / "RUN"
    run = repository(folder)
    touch = f"touch {mark}; false"
    for key in (
        "core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "core.askPass",
        "filter.x.clean", "filter.x.process", "diff.external", "gpg.program", "pager.log",
        "core.alternateRefsCommand", "credential.helper",
    ):  # fmt: skip
        run("config", key, touch)
    run("config", "log.showSignature", "true")
    run("config", "core.hooksPath", str(folder / "hooks"))
    run("config", "remote.origin.url", f"ext::sh -c 'touch {mark}'")
    run("config", "remote.origin.promisor", "true")
    run("config", "extensions.partialClone", "origin")
    (folder / ".gitattributes").write_text("* filter=x\n")
    (folder / "hooks").mkdir()
    for hook in ("post-index-change", "pre-auto-gc", "reference-transaction"):
        (folder / "hooks" / hook).write_text(f"#!/bin/sh\n{touch}\n")
        (folder / "hooks" / hook).chmod(0o755)
    return folder, mark


def test_nothing_of_a_hostile_repository_is_run(hostile):
    folder, mark = hostile
    found = planned(folder / "s.toml", None)
    assert found["label"] == "planned"
    (folder / "s.toml").write_bytes(b"a = 2\n")
    assert planned(folder / "s.toml", None)["label"] == "exploratory"
    for loose in (folder / ".git" / "objects").glob("??"):  # what is missing is not fetched
        for file in loose.iterdir():
            file.unlink()
    assert planned(folder / "s.toml", None)["label"] == "exploratory"
    assert not mark.exists()
    # the trap is one: git by itself falls into it
    subprocess.run(["git", "-C", str(folder), "status"], capture_output=True, check=False)
    assert mark.exists()


def test_a_committed_file_is_known_by_its_content(tmp_path):
    repository(tmp_path / "r")
    file = tmp_path / "r" / "s.toml"
    assert is_as_committed(file)
    file.write_bytes(b"a = 1\r\n")  # as git writes it on Windows
    assert is_as_committed(file)
    file.write_bytes(b"a = 2\n")
    assert not is_as_committed(file)
    (tmp_path / "r" / "new.toml").write_text("")
    assert not is_as_committed(tmp_path / "r" / "new.toml")
    assert not is_as_committed(tmp_path / "none" / "s.toml")
    assert git(tmp_path, "log") is None
