"""The page as a file: whole, self-contained, safe, and honest about what it leaves out."""

import json
import re
from html.parser import HTMLParser

import pytest

from torchliquid.bench.report import page as page_module
from torchliquid.bench.report import write_report

CASES = (
    "article",
    "table",
    "diverged",
    "classical",
    "all-diverged",
    "long-names",
)
ALL_FIGURES = {
    "answer",
    "tau-sys-ltc-8-euler",
    "tau-sys-ltc-8",
    "tau-plain",
    "jump-average",
    "loss-curves",
    "prediction",
    "parameters",
    "differences",
}
LEFT_OUT = {
    "article": set(),
    "table": set(),
    "diverged": {"tau-sys-ltc-8-euler", "tau-plain"},  # its demonstration lane diverged
    "classical": {
        "tau-sys-ltc-8-euler",
        "tau-sys-ltc-8",
        "tau-plain",
        "jump-average",
        "loss-curves",
    },
    "all-diverged": {"tau-sys-ltc-8-euler", "tau-sys-ltc-8", "tau-plain"},
    "long-names": {"tau-sys-ltc-8-euler", "tau-sys-ltc-8"},
}
OTHERS = {"long-names": {"tau-sys-ltc-1024-exponential", "tau-sys-ltc-1024-rk4"}}


class Elements(HTMLParser):
    """Start tags with their attributes, and whether all elements are closed."""

    VOID = frozenset({"meta", "link", "br", "img", "hr"})

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", CASES)
def test_every_case_gives_a_whole_page(written, name):
    report = written(name)
    html = report.html
    elements = Elements(html)
    assert elements.open == []
    assert 20_000 < len(html) < 3_000_000
    for bad in ("nan", "inf", "None", "{{", "{%"):
        assert not re.search(rf"[>\s]{re.escape(bad)}[<\s,]", html), bad

    shown = {attrs["id"] for tag, attrs in elements.found if tag == "figure"}
    assert shown == (ALL_FIGURES - LEFT_OUT[name]) | OTHERS.get(name, set())
    files = {path.name for path in (report.page.parent / "figures").iterdir()}
    assert files == {f"{figure}.{kind}" for figure in shown for kind in ("svg", "png")}
    links = {a["href"] for tag, a in elements.found if tag == "a"}
    inside = {link for link in links if link.startswith("#")}
    assert {f"#{attrs['id']}" for _, attrs in elements.found if attrs.get("id")} >= inside
    assert links - {"summary.json"} - inside == {f"figures/{file}" for file in files}


@pytest.mark.parametrize("name", ["article", "table"])
def test_the_page_needs_nothing_else(written, name):
    html = written(name).html
    elements = Elements(html).found
    assert not {tag for tag, _ in elements} & {"script", "iframe", "object", "img"}
    loads = [a[k] for tag, a in elements for k in ("src", "xlink:href", "srcset") if k in a]
    loads += [a["href"] for tag, a in elements if tag in ("link", "image", "use") and "href" in a]
    assert all(load.startswith(("#", "data:")) for load in loads)
    assert "@import" not in html
    outside = set(re.findall(r"https?://[^\"'\s<)]+", html))
    assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_ids_are_unique_and_references_resolve(written):
    html = written("article").html
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'(?:xlink:href="#|url\(#|aria-labelledby=")([^")]+)', html))
    assert used
    assert used <= set(ids)


def test_figures_say_in_words_what_they_show(written):
    for tag, attrs in Elements(written("article").html).found:
        if tag == "svg":
            assert attrs["role"] == "img"
            assert len(attrs["aria-label"]) > 80
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", written("article").html, re.DOTALL)
    assert len(captions) == len(ALL_FIGURES)
    for caption in captions:
        assert "lane" in caption


def test_colours_on_the_page_follow_the_scheme(written):
    body = written("article").html.partition("<body>")[2]
    assert set(re.findall(r"#[0-9a-f]{6}\b", body)) == set()
    assert body.count("var(--ink)") > 100


def test_the_same_results_give_the_same_page(written, case):
    report = written("classical")
    before = report.html
    write_report(*case("classical"))
    assert report.html == before


def test_figures_of_an_earlier_report_are_cleared_away(written, case):
    report = written("classical")
    stale = report.page.parent / "figures" / "tau-sys-ltc-99.svg"
    stale.write_text("old")
    write_report(*case("classical"))
    assert not stale.exists()


def test_names_from_a_users_file_are_text_not_markup(case):
    _, summary = case("table")
    evil = "<script>alert(1)</script>&\"'"
    changed = json.loads(json.dumps(summary))
    changed["task"] |= {"name": evil, "unit": evil, "notes": [evil], "spec": {evil: evil}}
    claims = json.loads(json.dumps(case("article")[1]["claims"]))
    claims[0] |= {"claim": evil, "detail": evil, "rule": evil}
    changed |= {"claims": claims}
    html = page_module._render(changed, [{"title": evil, "why": evil}], [], None)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") > 8


def test_a_column_name_with_markup_or_dollars_draws_as_it_is(case):
    from torchliquid.bench.report.figure_data import Material
    from torchliquid.bench.report.figures_training import loss_curves
    from torchliquid.bench.report.style import drawing
    from torchliquid.bench.report.svg import for_page, to_svg

    store, summary = case("table")
    changed = json.loads(json.dumps(summary))
    changed["task"]["unit"] = "<b>$ or $\\frac&_x_"
    with drawing():
        figure = loss_curves(Material.of(store, changed)).draw(True)
    svg = for_page(to_svg(figure), "key", "label", "wide")
    assert "&lt;b&gt;$ or $\\frac&amp;_x_)</text>" in svg
    assert "<b>" not in svg


def test_the_title_asks_and_answers(case):
    from torchliquid.bench.report.conclusion import median_errors, title

    assert title(case("article")[1]) == "Liquid network or LSTM?"
    summary = case("table")[1]
    errors = median_errors(summary)
    best = min(errors, key=errors.__getitem__)
    assert title(summary).endswith(f": {best} has the lowest error")
    assert summary["task"]["unit"] in title(summary)
    changed = json.loads(json.dumps(summary))
    changed["models"]["persistence"]["test_rmse_carry"]["median"] = errors[best] / 0.995
    assert title(changed).endswith(
        f"{best} has the lowest error, but hardly below the last value's"
    )
    for row in changed["models"].values():
        row["test_rmse_carry"]["median"] = None
    assert title(changed).endswith(": which model?")
