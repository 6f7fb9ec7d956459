"""The article's numbers beside ours."""

from typing import Any

from torchliquid.bench.judging.schema import Summary, measured
from torchliquid.bench.report.article_numbers import NUMBERS
from torchliquid.bench.report.number_format import spread
from torchliquid.bench.tasks.presets import ARTICLE, PRESETS

_WORDS = {"train_mse": "train", "test_mse_reset": "test"}


def published(summary: Summary) -> dict[str, Any] | None:
    """The article's four numbers and ours; None on another task, or without its two models."""
    models, spec = summary["models"], summary["task"]["spec"]
    if not summary["task"]["is_articles"] or not {m for m, _ in NUMBERS} <= models.keys():
        return None
    rows = []
    for (model, measure), printed in NUMBERS.items():
        median, ends = spread(measured(models[model], measure))
        what = f"{model} {_WORDS[measure]}"
        rows.append({"what": what, "said": printed, "median": median, "ends": ends})
    preset = PRESETS[ARTICLE]
    calibrated = (
        [tuple(sine) for sine in spec["sines"]] == list(preset.sines)
        and spec["sigma"] == preset.sigma
        and summary["task"]["learning_rate"] == preset.learning_rate
    )
    note = (
        "Of 2,232 candidates these come closest to its numbers and curves; nothing else chose them."
        if calibrated
        else "These here are other ones than those that come closest to its numbers and curves."
    )
    if summary["task"].get("trials", 1) > 1:
        note = "Here each network found its learning rate and its number of epochs by trials."
    return {"rows": rows, "note": note}
