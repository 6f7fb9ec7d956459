"""Tables and the sentences at the top: they follow from the summary, and from nothing else."""

import copy
import io
import re

import pytest
from rich.console import Console

from torchliquid.bench.report import conclusion, markdown_results, tables, terminal_tables
from torchliquid.bench.report.answer import answers, contrast
from torchliquid.bench.report.number_format import MISSING
from torchliquid.bench.report.tables import claim_rows, columns, rows, tally


def printed(summary, width=100):
    console = Console(file=io.StringIO(), width=width)
    for table in terminal_tables(summary):
        console.print(table)
    return console.file.getvalue()


@pytest.mark.parametrize("name", ["article", "table", "diverged", "classical", "one-lane"])
def test_terminal_tables_fit_a_hundred_columns_and_lose_nothing(case, name):
    _, summary = case(name)
    text = printed(summary)
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text  # plain where it is not a terminal
    assert "…" not in text
    for model in summary["models"]:
        assert model in text
    verdicts = [claim["verdict"] for claim in summary["claims"]]
    if summary["task"]["lanes"] < 6 and verdicts:
        assert "an interval needs 6, so no claim can be judged" in text
        return
    for verdict in set(verdicts):
        assert text.count(verdict) >= verdicts.count(verdict)


def test_the_last_lines_name_the_winner_its_margins_and_a_command(case, tmp_path):
    _, summary = case("table")
    summary = copy.deepcopy(summary)
    models = summary["models"]
    carried = {name: row["test_rmse_carry"]["median"] for name, row in models.items()}
    best, second = sorted((n for n in carried if n != "persistence"), key=carried.__getitem__)[:2]
    assert models[best]["kind"] == "classical"
    lines = conclusion(summary, tmp_path)
    assert lines[0].startswith(f"best: {best}, test RMSE ")
    assert f"({summary['task']['unit']})" in lines[0]
    below = 100 * (1 - carried[best] / carried["persistence"])
    assert f"{below:.0f} % below the last value (" in lines[1]
    assert f"second: {second} (" in lines[2]
    assert lines[-1] == f"next command: python -m webbrowser {tmp_path / 'report.html'}"

    assert conclusion(summary, tmp_path, "fit it")[-1] == "next command: fit it"

    models["LTC-8"]["test_rmse_carry"]["median"] = carried[best] / 2
    lines = conclusion(summary, tmp_path)
    assert "best: LTC-8, " in lines[0]
    assert "median of 8 lanes" in lines[0]
    saved = tmp_path / "models" / "LTC-8" / "lane-000"
    assert lines[-1] == f"next command: torchliquid export {saved} --to c --out firmware"

    models["persistence"]["test_rmse_carry"]["median"] = 0.0
    lines = conclusion(summary, tmp_path)
    assert "no model that learns does better here: use the last value" in lines[1]
    for row in models.values():
        row["test_rmse_carry"] = {"median": None, "q10": None, "q90": None}
    assert conclusion(summary, tmp_path) == []


def test_terminal_table_counts_lanes_that_diverged(case):
    assert "diverged" not in printed(case("article")[1])
    text = printed(case("diverged")[1])
    assert "4 of 6" in text
    assert "1 of 6" in text


def test_markdown_has_a_row_a_model_and_the_numbers_of_the_summary(case):
    _, summary = case("article")
    lines = markdown_results(summary).splitlines()
    assert len(lines) == 2 + len(summary["models"])
    assert len({line.count("|") for line in lines}) == 1
    for line, (model, facts) in zip(lines[2:], summary["models"].items(), strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[:2] == [model, f"{facts['parameters']:,}"]
        for cell, key in zip(cells[2:], ("train_mse", "test_mse_reset", "test_mse_carry"),
                             strict=True):  # fmt: skip
            median, low, high = map(float, re.findall(r"[\d.]+", cell))
            want = facts[key]
            assert (median, low, high) == pytest.approx(
                (want["median"], want["q10"], want["q90"]), rel=6e-3
            )
    for place in (3, 4, 5):
        column = [line.split("|")[place] for line in lines[2:]]
        bold = [float(re.findall(r"[\d.]+", cell)[0]) for cell in column if "**" in cell]
        assert bold == [min(float(re.findall(r"[\d.]+", cell)[0]) for cell in column)]


def test_a_users_table_gets_units_and_skill_with_the_highest_skill_best(case):
    _, summary = case("table")
    found = columns(summary)
    assert [c.key for c in found] == [
        "train_rmse", "test_rmse_reset", "test_rmse_carry", "skill_reset", "skill_carry",
    ]  # fmt: skip
    assert found[1].with_unit == "test RMSE, state reset (CO2)"
    assert found[3].with_unit == "skill, state reset"
    assert "RMSE in CO2" in printed(summary)
    assert "| test RMSE, state carried (CO2) |" in markdown_results(summary)
    table = {row.model: row for row in rows(summary, found)}
    best = max(summary["models"], key=lambda m: summary["models"][m]["skill_carry"]["median"])
    assert [row.model for row in table.values() if row.cells[4].best] == [best]
    train = summary["models"]["LTC-8"]["train_mse"]["median"]
    assert float(table["LTC-8"].cells[0].median) == pytest.approx(train**0.5, rel=6e-3)


def test_missing_quantiles_are_dashes_not_zeros(case):
    _, summary = case("all-diverged")
    row = rows(summary, columns(summary))[0]
    assert row.model == "LTC-8"
    assert [cell.median for cell in row.cells] == [MISSING] * 3
    assert row.lanes == "5 of 5"


def test_claims_are_one_row_each_with_a_cell_for_every_liquid_model(case):
    _, summary = case("article")
    found = claim_rows(summary)
    assert sum(len(row) for row in found) == len(summary["claims"])
    for row in found:
        euler, plain = row
        assert euler["id"].partition(":")[0] == plain["id"].partition(":")[0]
        assert euler["group"].partition(":")[0] == "LTC-8-euler"
        assert plain["group"].partition(":")[0] == "LTC-8"
    for line, place in zip(tally(summary), (0, 1), strict=True):
        total = sum(int(n) for n in re.findall(r"(?:holds?|hold|inconclusive) (\d+)", line))
        assert total == len(found), (line, place)


def test_contrast_turns_a_pair_round(case):
    _, summary = case("article")
    one = contrast(summary, "LTC-8", "ridge-AR", "reset")
    other = contrast(summary, "ridge-AR", "LTC-8", "reset")
    assert (one.word, other.word) == ("higher", "lower")
    a, b = (list(map(float, re.findall(r"[\d.]+", c.figures))) for c in (one, other))
    assert [1 / b[0], 1 / b[2], 1 / b[1]] == pytest.approx(a, rel=0.01)
    assert contrast(summary, "LTC-8", "GRU-99", "reset") is None


def with_ratio(summary, second, ratio, interval):
    changed = copy.deepcopy(summary)
    for row in changed["differences"]:
        if row["first"].startswith("LTC-8") and row["second"] == second:
            row |= {"ratio": ratio, "interval": interval}
    return changed


@pytest.mark.parametrize(
    ("ratio", "interval", "short"),
    [
        (0.5, [0.4, 0.6], "Yes"),
        (2.0, [1.5, 3.0], "No"),
        (0.9, [0.7, 1.2], "Inconclusive"),
        (0.1, [None, None], "Inconclusive"),
    ],
)
def test_the_answer_on_the_lstm_follows_the_interval(case, ratio, interval, short):
    _, summary = case("article")
    found = answers(with_ratio(summary, "LSTM-16", ratio, interval))
    assert found[1].question == "Does a liquid model beat LSTM-16?"
    assert found[1].short == short


def test_the_answer_on_the_linear_model_needs_both_rivals_beaten(case):
    _, summary = case("article")
    assert answers(summary)[2].short == "Yes"
    changed = with_ratio(summary, "ridge-AR", 0.5, [0.4, 0.6])
    assert answers(changed)[2].short == "Only LSTM-16"
    for row in changed["differences"]:
        if (row["first"], row["second"]) == ("LSTM-16", "ridge-AR"):
            row |= {"ratio": 1.0, "interval": [0.9, 1.1]}
    assert answers(changed)[2].short == "Not both"


def test_the_lowest_error_is_named_with_its_rivals_numbers(case):
    _, summary = case("article")
    answer = answers(summary)[0]
    medians = {m: f["test_mse_carry"]["median"] for m, f in summary["models"].items()}
    assert answer.short == min(medians, key=medians.__getitem__) == "ridge-AR"
    assert "LTC-8 " in answer.details[0]
    assert "LSTM-16 " in answer.details[0]


def test_questions_without_the_models_to_answer_them_are_not_asked(case):
    questions = [answer.question for answer in answers(case("classical")[1])]
    assert questions == ["Which model has the lowest median test error?"]
    assert [a.question for a in answers(case("one-model")[1])][1:] == [
        "Does tau_sys move as the article says?"
    ]


def choice(rates, dts, taken):
    trials = [{"learning_rate": r, "dt": d} for r, d in zip(rates, dts, strict=True)]
    errors = [0.5, None, 0.25]
    return {
        "by": "shared",
        "taken": [trials[taken]],
        "trials": [t | {"valid_mse": e} for t, e in zip(trials, errors, strict=True)],
    }


def test_settings_found_by_trials_are_said_with_their_ends(case):
    summary = copy.deepcopy(case("table")[1])
    summary["task"]["trials"] = 3
    tried = ((0.01, 0.001, 0.05), (1.0, 0.1, 10.0))
    summary["models"]["LTC-8"] |= {
        "choice": choice(*tried, 2), "learning_rate": 0.05, "dt": 10.0}  # fmt: skip
    summary["models"]["LSTM-16"] |= {"choice": choice(*tried, 0), "learning_rate": 0.01}
    assert tables.settings(summary) == [
        ("LTC-8", "0.05 (most tried)", "10 (most tried)", "200", "0.250 to 0.500"),
        ("LSTM-16", "0.01", "\N{EN DASH}", "200", "0.250 to 0.500"),
    ]
    line = tables.settings_line(summary)
    assert "of 3 trials: LTC-8 lr 0.05 (most tried), dt 10 (most tried); LSTM-16 lr 0.01" in line
    given = choice((0.02, 0.02, 0.02), tried[1], 1)
    summary["models"]["LTC-8"] |= {"choice": given, "learning_rate": 0.02, "dt": 0.1}
    assert tables.settings(summary)[0][1:3] == ("0.02 (given)", "0.1 (least tried)")
    own = {"by": "lane", "trials": 12,
           "taken": [{"learning_rate": r, "dt": 1.0} for r in (0.01, 0.03, 0.2)]}  # fmt: skip
    summary["models"]["LTC-8"] |= {"choice": own, "learning_rate": 0.03, "dt": 1.0}
    assert tables.settings(summary)[0] == (
        "LTC-8", "0.03 (0.01 to 0.2)", "1 (1 to 1)", "200", "each lane its own")  # fmt: skip
    assert tables.settings_line(case("article")[1]) == ""
