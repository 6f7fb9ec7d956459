"""Versions of the documentation beside one another, and how a page leads to the others."""

import importlib
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def place(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("site_of_versions").place


def built(tmp_path, words):
    folder = tmp_path / f"built {words}"
    (folder / "deep").mkdir(parents=True)
    sidebar = (ROOT / "docs" / "_templates" / "versions.html").read_text().partition("#}")[2]
    page = '<!DOCTYPE html><html data-content_root="{}"><body>{}{}</body></html>'
    (folder / "index.html").write_text(page.format("./", words, sidebar))
    (folder / "deep" / "page.html").write_text(page.format("../", words, sidebar))
    return folder


def test_the_first_page_is_the_newest_release(tmp_path, place):
    site = tmp_path / "site"
    site.mkdir()
    place(site, "dev", built(tmp_path, "one"))
    assert "url=dev/" in (site / "index.html").read_text()
    for name in ("v0.10.0", "v0.9.1"):  # an older line's release comes after a newer one
        place(site, name, built(tmp_path, name))
    assert json.loads((site / "versions.json").read_text()) == [
        "stable",
        "dev",
        "v0.10.0",
        "v0.9.1",
    ]
    assert "v0.10.0" in (site / "stable" / "index.html").read_text()
    assert "url=stable/" in (site / "index.html").read_text()
    place(site, "dev", built(tmp_path, "two"))
    assert "two" in (site / "dev" / "index.html").read_text()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.mark.browser
def test_a_page_leads_to_the_other_versions(tmp_path, place, browser):
    site = tmp_path / "site"
    site.mkdir()
    for name in ("dev", "v0.1.0"):
        place(site, name, built(tmp_path, name))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/dev/deep/page.html")
        choice = page.locator("select")
        choice.wait_for()
        assert choice.locator("option").all_inner_texts() == ["stable", "dev", "v0.1.0"]
        assert choice.evaluate("s => s.selectedOptions[0].text") == "dev"
        choice.select_option("v0.1.0")
        page.wait_for_url("**/v0.1.0/")
        page.close()
        server.shutdown()
