"""The page in a real browser, headless: nothing overflows, everything is shown and can be read."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

SIZES = {
    "desktop": (1280, 900),
    "phone": (375, 812),
    "small": (320, 640),
    "tablet": (768, 1024),
    "laptop": (900, 700),
}
VIEWS = [
    ("article", "desktop", "light"),
    ("article", "desktop", "dark"),
    ("article", "phone", "light"),
    ("article", "phone", "dark"),
    ("article", "small", "light"),
    ("article", "tablet", "light"),
    ("article", "laptop", "dark"),
    ("table", "laptop", "light"),
    ("table", "small", "light"),
    ("diverged", "phone", "light"),
    ("classical", "desktop", "light"),
    ("long-names", "desktop", "light"),
    ("long-names", "small", "dark"),
]

LOOK = """
() => {
  const problems = [];
  const width = document.documentElement.clientWidth;
  const say = (what, element, more) => problems.push(
    `${what}: <${element.tagName.toLowerCase()} class="${element.getAttribute("class") || ""}"> `
    + `"${(element.textContent || "").trim().slice(0, 40)}" ${more || ""}`);
  const shown = (element) => {
    const box = element.getBoundingClientRect();
    return box.width > 0 && box.height > 0 && getComputedStyle(element).visibility !== "hidden";
  };
  const clipped = (element) => {
    for (let e = element; e && e !== document.body; e = e.parentElement)
      if (["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(e).overflowX)) return true;
    return false;
  };
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = numbers(colour).slice(0, 3).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      const parts = numbers(colour);
      if (parts.length < 4 || parts[3] === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };

  document.querySelectorAll("details").forEach((d) => { d.open = true; });
  if (document.documentElement.scrollWidth > width || document.body.scrollWidth > width)
    problems.push(`the page is ${document.documentElement.scrollWidth} px wide on ${width} px`);
  for (const e of [document.documentElement, document.body])
    if (getComputedStyle(e).overflowX !== "visible") say("hides what overflows", e);

  let texts = 0;
  for (const element of document.body.querySelectorAll("*")) {
    if (!shown(element)) continue;
    const inside = element.ownerSVGElement;
    const box = element.getBoundingClientRect();
    if (!inside && !clipped(element) && (box.right > width + 0.5 || box.left < -0.5))
      say("sticks out", element, `from ${box.left} to ${box.right}`);
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || (inside && element.tagName !== "text")) continue;
    texts += 1;
    const style = getComputedStyle(element);
    const ratio = contrast(inside ? style.fill : style.color, background(element));
    if (ratio < 4.5) say("hard to see", element, ratio.toFixed(2));
    let size = parseFloat(style.fontSize);
    if (inside) {
      const m = element.getScreenCTM();
      size *= Math.hypot(m.a, m.b);
    }
    if (size < 10.5) say("tiny", element, `${size.toFixed(1)} px`);
  }

  for (const box of document.querySelectorAll(".scroll"))
    if (box.scrollWidth > box.clientWidth) say("has to be scrolled", box);

  const figures = [...document.querySelectorAll("figure")];
  for (const figure of figures) {
    const drawings = [...figure.querySelectorAll("svg")].filter(shown);
    if (drawings.length !== 1) { say("not one drawing", figure, drawings.length); continue; }
    const frame = drawings[0].getBoundingClientRect();
    if (frame.width < 250 || frame.height < 100) say("too small", figure);
    const marks = [...drawings[0].querySelectorAll("path, use, image")].map(
      (e) => e.getBoundingClientRect()).filter((b) => b.width + b.height > 0);
    if (marks.length < 15) say("empty", figure, `${marks.length} marks`);
    const boxes = [...drawings[0].querySelectorAll("text")].map(
      (e) => [e, e.getBoundingClientRect()]);
    for (const [e, b] of boxes)
      if (b.left < frame.left - 1 || b.right > Math.min(frame.right + 1, width)
          || b.top < frame.top - 1 || b.bottom > frame.bottom + 1) say("cut off", e, figure.id);
    boxes.forEach(([e, a], i) => boxes.slice(i + 1).forEach(([f, b]) => {
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (across > 1 && down > 3.5) say(`covers "${f.textContent}"`, e, figure.id);
    }));
  }
  return {problems, texts, figures: figures.length};
}
"""


@pytest.fixture
def look(browser, written):
    """Open the report of a case; what was found, asked for and complained about."""
    contexts = []

    def open_page(name, size, scheme):
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        contexts.append(context)
        page = context.new_page()
        complaints, asked = [], []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        path = Path(written(name).page)
        page.goto(path.as_uri())
        return page, path.as_uri(), complaints, asked

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("name", "size", "scheme"), VIEWS)
def test_everything_fits_is_shown_and_can_be_read(look, written, name, size, scheme):
    page, address, complaints, asked = look(name, size, scheme)
    found = page.evaluate(LOOK)
    assert not found["problems"], "\n".join(found["problems"])
    assert found["figures"] == len(written(name).figures) / 2
    assert found["texts"] > 100
    assert complaints == []
    assert [url for url in asked if not url.startswith("data:")] == [address]
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(255, 255, 255)") == (scheme == "light")


def test_links_lead_to_files_that_are_there(look, written):
    page, *_ = look("article", "desktop", "light")
    links = page.evaluate(
        "[...document.links].map((a) => a.href).filter((href) => !href.includes('#'))"
    )
    folder = written("article").page.parent
    assert len(links) > 10
    for link in links:
        path = Path(link.removeprefix("file://"))
        assert path.parent in (folder, folder / "figures")
        assert path.exists() or path.name == "summary.json"


@pytest.mark.parametrize("name", ["article", "table"])
def test_the_first_picture_is_on_the_first_screen(look, name):
    page, *_ = look(name, "desktop", "light")
    page.set_viewport_size({"width": 1280, "height": 720})
    box = page.evaluate(
        "(({top, bottom}) => [top, bottom])"
        "(document.querySelector('figure svg.wide').getBoundingClientRect())"
    )
    assert box[0] < 300
    assert box[1] < 720


def test_on_paper_it_is_black_on_white_and_wide(look):
    page, *_ = look("article", "desktop", "dark")
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": 640, "height": 900})  # a sheet of paper, about
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(
        "[...document.querySelectorAll('figure')].every("
        "(f) => f.querySelector('.wide').getBoundingClientRect().width > 500"
        " && f.querySelector('.narrow').getBoundingClientRect().width === 0)"
    )
