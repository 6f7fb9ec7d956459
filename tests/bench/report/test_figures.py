"""The figures as drawings: nothing overlaps or is cut off, and they show the right numbers."""

import dataclasses
import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import RendererAgg

from torchliquid.bench.judging.statistics import quantiles_along
from torchliquid.bench.models.registry import DEFAULT
from torchliquid.bench.report.article_numbers import CURVES
from torchliquid.bench.report.figure_data import Material, Omitted
from torchliquid.bench.report.figures_differences import paired_differences
from torchliquid.bench.report.figures_prediction import prediction, thin
from torchliquid.bench.report.labels import place_labels
from torchliquid.bench.report.style import (
    NARROW,
    WIDE,
    drawing,
    look,
    new_figure,
    settle,
)
from torchliquid.bench.run.probe import BEFORE
from torchliquid.play import DARK, LIGHT

CASES = ("article", "table", "diverged", "classical", "all-diverged", "long-names")


def texts(figure):
    """The texts that are really drawn, with their boxes in pixels."""
    found = []

    def note(renderer, gc, x, y, s, prop, angle, ismath=False, mtext=None):
        assert mtext is not None, f"{s!r} is part of a text of several lines"
        found.append((mtext, mtext.get_window_extent(renderer)))

    with pytest.MonkeyPatch.context() as patch, drawing():
        patch.setattr(RendererAgg, "draw_text", note)
        figure.canvas.draw()
    return found


@pytest.mark.parametrize("name", CASES)
def test_no_text_is_tiny_covers_another_or_leaves_the_figure(written, name):
    report = written(name)
    assert report.figures
    for (figure_name, width), figure in report.figures.items():
        drawn = texts(figure)
        assert len(drawn) >= 6, (figure_name, width)
        assert figure.bbox.width == (WIDE if width == "wide" else NARROW)
        # The page shows the wide one on at least 700 px, the narrow one on at least 290 px.
        scale = (700 if width == "wide" else 290) / figure.bbox.width
        assert min(text.get_fontsize() for text, _ in drawn) * scale >= 10.5
        found = [(text.get_text(), box) for text, box in drawn]
        frame = figure.bbox
        for words, box in found:
            cut = box.x0 < -1 or box.y0 < -1 or box.x1 > frame.x1 + 1 or box.y1 > frame.y1 + 1
            assert not cut, (figure_name, width, words)
        for (one, a), (other, b) in itertools.combinations(found, 2):
            across = min(a.x1, b.x1) - max(a.x0, b.x0)
            up = min(a.y1, b.y1) - max(a.y0, b.y0)
            # Boxes hold the font's full height: lines of a legend may touch by a pixel or two.
            assert across <= 1 or up <= 3, (figure_name, width, one, other)


def test_words_stand_where_they_stood_in_a_file_of_more_dots(written):
    """The PNG is drawn at 200 dots an inch: nothing may be placed in pixels of another size."""
    for key, figure in written("article").figures.items():
        before = [(text.get_text(), box.p0) for text, box in texts(figure)]
        dots = figure.dpi
        try:
            figure.set_dpi(200)
            figure.canvas.draw()
            after = [(text.get_text(), box.p0 * dots / 200) for text, box in texts(figure)]
        finally:
            figure.set_dpi(dots)
            figure.canvas.draw()
        assert [words for words, _ in after] == [words for words, _ in before]
        for (words, was), (_, now) in zip(before, after, strict=True):
            # hinting makes words a few pixels wider or narrower
            np.testing.assert_allclose(now, was, atol=15, err_msg=f"{key} {words}")


def test_tau_sys_figure_shows_movement_and_marks_every_event(written):
    report = written("article")
    run = report.store.load("LTC-8")
    figure = report.figures["tau-sys-ltc-8", "wide"]
    signal, middle, heat = figure.axes[:3]
    tau = run.arrays["tau"][run.facts["demo_lane"]].astype(float)
    tau_sys = run.arrays["demo_tau_sys"].astype(float)
    mean = max(middle.lines, key=lambda line: len(line.get_xdata())).get_ydata()
    np.testing.assert_allclose(mean, 100 * tau_sys.mean(1) / np.median(tau_sys.mean(1)), rtol=1e-6)

    markers = [line for line in signal.lines if line.get_marker() in ("^", "v", "*")]
    steps = [round(float(line.get_xdata()[0]) / 0.1) for line in markers]
    assert steps == [event["step"] for event in run.facts["demo_events"]]
    assert [line.get_marker() for line in markers] == ["^", "v", "*", "*", "v", "^"]
    assert not middle.texts  # a lane's own way at an event is not what the event did

    image = np.asarray(heat.images[0].get_array())
    assert image.shape == (8, 300)
    share = 100 * (tau_sys - tau / (1 + tau)) / (tau - tau / (1 + tau))
    order = np.argsort(share.std(axis=0))
    np.testing.assert_allclose(image, share[:, order].T, rtol=1e-6)
    assert image.min() > 0
    assert image.max() < 100
    assert heat.images[0].get_clim() == (0, 100)
    assert signal.get_xlim() == middle.get_xlim() == heat.get_xlim()


def test_the_plain_plot_has_nothing_planted(written):
    report = written("article")
    run = report.store.load("LTC-8-euler")
    signal, below = report.figures["tau-plain", "wide"].axes
    lane = run.facts["demo_lane"]
    task = report.store.load_task()
    np.testing.assert_allclose(signal.lines[0].get_ydata(), task.inputs[lane, 200:, 0], rtol=1e-6)
    mean = run.arrays["plain_tau_sys"].mean(axis=1)
    np.testing.assert_allclose(below.lines[0].get_ydata(), mean, rtol=1e-6)


def test_the_first_picture_has_every_lane_and_the_summarys_ratios(written):
    report = written("article")
    carried, reset = report.figures["answer", "wide"].axes
    others = [m for m in report.summary["models"] if m != "LSTM-16"]
    assert sorted(t.get_text() for t in carried.get_yticklabels()) == sorted(others)
    for panel, state in ((carried, "carry"), (reset, "reset")):
        dots = [line for line in panel.lines if line.get_marker() == "."]
        assert [len(line.get_xdata()) for line in dots] == [24] * len(others)
        medians = [float(np.median(line.get_xdata())) for line in dots]
        if state == "carry":
            assert medians == sorted(medians, reverse=True)
        large = [line for line in panel.lines if line.get_markersize() == 9]
        for line, dot in zip(large, dots, strict=True):
            assert line.get_xdata()[0] == pytest.approx(np.median(dot.get_xdata()), rel=1e-4)


def test_the_articles_curves_are_beside_ours_in_training_alone(written):
    train, *tests = written("article").figures["loss-curves", "wide"].axes
    crosses = {line.get_label(): line for line in train.lines if line.get_marker() == "x"}
    assert set(crosses) == {f"article's {model}" for model in CURVES}
    for model, points in CURVES.items():
        line = crosses[f"article's {model}"]
        assert dict(zip(line.get_xdata(), line.get_ydata(), strict=True)) == points
    assert not [line for panel in tests for line in panel.lines if line.get_marker() == "x"]
    table = written("table").figures["loss-curves", "wide"].axes
    assert not [line for panel in table for line in panel.lines if line.get_marker() == "x"]


def test_residuals_are_prediction_less_truth(written):
    report = written("article")
    residuals = report.figures["prediction", "wide"].axes[1]
    run, task = report.store.load("LTC-8"), report.store.load_task()
    lane = run.facts["demo_lane"]
    want = run.arrays["prediction_carry"][lane, 200:] - task.clean[lane, 200:]
    assert any(np.allclose(line.get_ydata(), want, atol=1e-6) for line in residuals.lines[1:])


def test_jump_average_is_relative_to_the_control(written):
    report = written("article")
    run = report.store.load("LTC-8-euler")
    panel = report.figures["jump-average", "wide"].axes[0]
    assert panel.get_title(loc="left") == "LTC-8-euler: jump"
    lines = {line.get_label(): line for line in panel.lines}
    up = lines["event upwards"]
    control = run.arrays["probe_control"].astype(float)
    want = np.median(100 * (run.arrays["probe_jump_up"] / control - 1), axis=0)
    np.testing.assert_allclose(up.get_ydata(), want, atol=1e-9)
    np.testing.assert_allclose(up.get_xdata(), np.arange(len(want)) - BEFORE)
    assert np.allclose(up.get_ydata()[:BEFORE], 0, atol=1e-5)
    assert (up.get_ydata()[BEFORE:] < -3).all()


def test_a_users_table_is_drawn_in_its_unit(written):
    report = written("table")
    run = report.store.load("LTC-8")
    task = report.store.load_task()
    loss = report.figures["loss-curves", "wide"].axes
    assert [a.get_title(loc="left") for a in loss[:2]] == ["Train", "Validation"]
    assert loss[0].get_ylabel() == "RMSE (CO2)"
    curve = next(line for line in loss[0].lines if line.get_label() == "LTC-8")
    want = np.median(np.sqrt(run.arrays["curve_train"].astype(float)) * task.scale, axis=1)
    np.testing.assert_allclose(curve.get_ydata(), want, rtol=1e-6)

    top, carried, reset = report.figures["prediction", "wide"].axes[:3]
    lane = run.facts["demo_lane"]
    start = task.train + task.valid
    lines = [line.get_ydata() for line in carried.lines[1:]]
    part = slice(start, start + 150)
    want = (run.arrays["prediction_carry"][lane] - task.targets[0])[part] * task.scale
    assert any(np.allclose(line, want, rtol=1e-4, atol=1e-3, equal_nan=True) for line in lines)
    line = next(line for line in reset.lines if line.get_label() == "LTC-8")
    want = run.arrays["prediction_reset"][lane][:20] * task.scale + task.offset
    np.testing.assert_allclose(line.get_ydata(), want, rtol=1e-5)
    splits = [line.get_xdata()[0] for line in top.lines if len(line.get_xdata()) == 2]
    minute = 1 / 1440
    first = 1.424e9 / 86_400
    assert splits == pytest.approx([first + (k + 0.5) * minute for k in (task.train, start)])
    assert any(":" in label.get_text() for label in top.get_xticklabels())


@pytest.mark.parametrize("step", [1, 60, 3600, 86_400, 604_800, 2.6e6, 3.2e7, 3.2e8])
def test_dates_of_any_spacing_find_their_ticks(written, step):
    report = written("table")
    task = report.store.load_task()
    times = 1.0e9 + step * np.arange(task.steps, dtype=float)
    if times[-1] > 2.5e11:  # the year 9999
        times = times[: task.steps] * 2.5e11 / times[-1]
    material = Material.of(report.store, report.summary)
    material = dataclasses.replace(material, task=dataclasses.replace(task, times=times))
    with drawing():
        figure = prediction(material).draw(True)
        settle(figure)
        figure.canvas.draw()
    for panel in figure.axes:
        assert len(panel.get_xticks()) <= 12


def test_forest_plot_shows_the_summarys_ratios(written):
    report = written("article")
    panel = report.figures["differences", "wide"].axes[0]
    rows = [
        row
        for row in report.summary["differences"]
        if row["measure"] == "test_mse_carry" and row["first"].startswith("LTC")
    ]
    points = [line for line in panel.lines if line.get_marker() not in ("None", None, "")]
    drawn = [float(line.get_xdata()[0]) for line in points]
    assert drawn == [row["ratio"] for row in reversed(rows)]
    for line, row in zip(points, reversed(rows), strict=True):
        hollow = row["interval"][0] <= 1 <= row["interval"][1]
        assert (line.get_markerfacecolor() == LIGHT["paper"]) == hollow


def test_parameters_figure_has_every_model_once(written):
    report = written("article")
    for width in ("wide", "narrow"):
        for panel in report.figures["parameters", width].axes:
            words = [text.get_text() for text in panel.texts]
            assert sorted(words) == sorted(report.summary["models"])


def test_quantiles_count_diverged_lanes_as_infinitely_bad():
    rng = np.random.default_rng(0)
    values = rng.random((7, 11))
    np.testing.assert_allclose(
        quantiles_along(values, 1), np.quantile(values, [0.1, 0.5, 0.9], axis=1)
    )
    values[0, :2] = np.nan
    values[1, :6] = np.inf
    low, middle, high = quantiles_along(values, 1)
    assert np.isfinite(middle[0])
    assert high[0] == np.inf
    assert np.isfinite(low[1])
    assert middle[1] == high[1] == np.inf
    ordered = np.sort(np.where(np.isnan(values[0]), np.inf, values[0]))
    assert middle[0] == ordered[5]


def test_thin_keeps_the_ends_of_the_range_and_the_order():
    values = np.random.default_rng(0).standard_normal(20_000)
    values[777] = 50
    x, y = thin(np.arange(20_000), values, most=400)
    assert len(x) <= 400
    assert (np.diff(x) > 0).all()
    assert y.max() == 50
    assert y.min() == values.min()
    np.testing.assert_array_equal(values[x.astype(int)], y)
    short = thin(np.arange(10), values[:10])
    np.testing.assert_array_equal(short[1], values[:10])


def test_labels_of_points_in_a_heap_do_not_cover_each_other():
    with drawing():
        figure = new_figure(wide=False, height=300)
        axes = figure.subplots()
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        settle(figure)
        points = [(0.5 + 0.02 * i, 0.5 + 0.015 * (i % 3)) for i in range(7)]
        place_labels(figure, axes, points, [f"model-{i}" for i in range(7)], np.empty((0, 4)))
        boxes = [text.get_window_extent(figure.canvas.get_renderer()) for text in axes.texts]
    assert len(boxes) == 7
    for a, b in itertools.combinations(boxes, 2):
        assert min(a.x1, b.x1) <= max(a.x0, b.x0) or min(a.y1, b.y1) <= max(a.y0, b.y0)


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_all_colours_stand_out_from_the_paper(palette):
    assert palette.keys() == LIGHT.keys()
    paper = luminance(palette["paper"])
    for name, colour in palette.items():
        if name not in ("paper", "rule"):
            light, dark = sorted([luminance(colour), paper], reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, name


def test_models_differ_in_more_than_colour():
    names = ["LTC-8", "LTC-8-euler", "LSTM-16", "LSTM-4", "GRU-4", "ridge-AR", "persistence"]
    looks = [look(name) for name in names]
    for key in ("color", "linestyle", "marker"):
        assert len({str(one[key]) for one in looks}) == len(names)


def test_other_models_look_like_none_of_the_default_ones():
    names = [f"{cell}-{size}" for cell in ("LTC", "LSTM", "GRU") for size in (2, 6, 12, 32, 64)]
    markers = {look(name)["marker"] for name in DEFAULT}
    looks = [tuple(look(name).values()) for name in names]
    assert all(marker not in markers for _, _, marker in looks)
    assert len(set(map(str, looks))) > 10  # 42 looks: few names share one


def test_rivals_are_the_articles_or_the_first_of_their_kind(case):
    assert Material.of(*case("article")).rivals == ["LTC-8", "LSTM-16"]
    assert Material.of(*case("one-model")).rivals == ["LTC-8-euler"]
    assert Material.of(*case("classical")).rivals == []


def test_one_model_alone_has_no_differences(case):
    found = paired_differences(Material.of(*case("one-model")))
    assert isinstance(found, Omitted)
    assert "two models" in found.why
