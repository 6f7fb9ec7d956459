"""The answer first: sentences for the top of the page, computed from the summary."""

import dataclasses
from collections import Counter
from collections.abc import Mapping

from torchliquid.bench.judging.schema import Summary, measured
from torchliquid.bench.models.registry import REFERENCES
from torchliquid.bench.report.figure_data import rivals
from torchliquid.bench.report.number_format import claim_figure, interval, number, two_decimals
from torchliquid.messages import plural

_STATES = {"carry": "state carried over", "reset": "state reset"}
_SHORT = {"holds": "yes", "does not hold": "no", "inconclusive": "inconclusive"}
_YES = {"lower": "yes", "higher": "no", "inconclusive": "inconclusive"}


@dataclasses.dataclass(frozen=True)
class Answer:
    """A question, the answer in a word or two, and the figures behind it."""

    question: str
    short: str
    details: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Contrast:
    """How two models' errors compare: a word for the first one, and the sentence's numbers."""

    word: str
    figures: str
    low: float | None
    high: float | None


def answers(summary: Summary) -> list[Answer]:
    """What a reader wants to know first; questions that these models cannot answer are left out."""
    sentences = [_lowest(summary), _duel(summary), _linear(summary), _time_constant(summary)]
    if not summary["task"]["is_articles"]:
        sentences.insert(1, _worth_having(summary))
    return [answer for answer in sentences if answer]


def _error(summary: Summary, model: str, state: str) -> float | None:
    measure = "mse" if summary["task"]["has_clean"] else "rmse"
    entry = measured(summary["models"][model], f"test_{measure}_{state}")
    return entry["median"] if entry else None


def _lowest(summary: Summary) -> Answer | None:
    unit = summary["task"]["unit"]
    name = "MSE" if summary["task"]["has_clean"] else f"RMSE ({unit})"
    winners, details = [], []
    for state, state_text in _STATES.items():
        errors = {m: e for m in summary["models"] if (e := _error(summary, m, state)) is not None}
        if not errors:
            continue
        best = min(errors, key=errors.__getitem__)
        winners.append(best)
        others = [model for model in rivals(summary) if model in errors and model != best]
        size = plural(summary["models"][best]["parameters"], "parameter")
        line = f"With the {state_text}: {best} ({size}), median test {name} {number(errors[best])}"
        details.append(line + "".join(f"; {m} {number(errors[m])}" for m in others) + ".")
    if not winners:
        return None
    short = winners[0] if len(set(winners)) == 1 else f"{winners[0]} or {winners[-1]}, by the state"
    return Answer("Which model has the lowest median test error?", short, tuple(details))


def _worth_having(summary: Summary) -> Answer | None:
    """Whether the best model beats the simplest forecasts."""
    reference = summary["reference"]
    skills = {
        model: entry
        for model, facts in summary["models"].items()
        if model not in REFERENCES
        and (entry := facts.get("skill_carry"))
        and entry["median"] is not None
    }
    if not skills or reference is None:
        return None
    best = max(skills, key=lambda model: skills[model]["median"] or 0.0)
    difference = contrast(summary, best, reference, "carry")
    word = _capital(_YES[difference.word if difference else "inconclusive"])
    texts = {
        "persistence": "repeating the last value",
        "mean": "the training mean",
        "seasonal": "the value a season before",
    }[reference]
    listed = ", ".join(f"{model} {two_decimals(e['median'])}" for model, e in skills.items())
    details = [
        f"The best of the simplest forecasts is {texts}. Skill is 1 less the ratio of test MSE to "
        f"its, the state carried over: {listed}."
    ]
    if difference:
        details.append(f"Test MSE of {best}: {difference.figures} times that of {texts}.")
    short = f"{word}: {best}, skill {two_decimals(skills[best]['median'])}"
    return Answer("Does any model beat the simplest forecasts?", short, tuple(details))


def contrast(summary: Summary, first: str, second: str, state: str) -> Contrast | None:
    """The first model's test error against the second's, from the paired differences.

    Returns:
        "lower", "higher" or "inconclusive", with the ratio of the MSEs; None if they were not
        compared.
    """
    for row in summary["differences"]:
        if row["measure"] != f"test_mse_{state}" or {row["first"], row["second"]} != {
            first,
            second,
        }:
            continue
        ratio, (low, high) = row["ratio"], row["interval"]
        if ratio is None:
            return None
        if row["first"] != first:
            ratio = 1 / ratio
            low, high = (None if end is None else 1 / end for end in (high, low))
        word = "inconclusive"
        if low is not None and high is not None:
            word = "lower" if high < 1 else "higher" if low > 1 else word
        ends = interval([low, high]) or "(too few lanes for an interval)"
        return Contrast(word, f"{number(ratio)} {ends}", low, high)
    return None


def _duel(summary: Summary) -> Answer | None:
    pair = rivals(summary)
    if len(pair) < 2:
        return None
    recurrent = pair[1]
    liquids = [m for m, facts in summary["models"].items() if facts["kind"] == "liquid"]
    shorts, details = {}, []
    for state, state_text in _STATES.items():
        contrasts = {m: contrast(summary, m, recurrent, state) for m in liquids}
        known = {model: one for model, one in contrasts.items() if one}
        if known:
            verdicts = {_YES[one.word] for one in known.values()}
            shorts[state] = verdicts.pop() if len(verdicts) == 1 else "depends on the step"
            figures = ", ".join(f"{m} {one.figures} ({one.word})" for m, one in known.items())
            details.append(
                f"With the {state_text}, test MSE as a multiple of {recurrent}'s: {figures}."
            )
    if not shorts:
        return None
    short = _in_words(shorts, recurrent)
    return Answer(f"Does a liquid model beat {recurrent}?", short, tuple(details))


def _in_words(by_state: Mapping[str, str], rival: str) -> str:
    """One sentence for both states.

    >>> _in_words({"carry": "inconclusive", "reset": "yes"}, "LSTM-16")
    'Only if LSTM-16 starts cold'
    >>> _in_words({"carry": "no", "reset": "no"}, "LSTM-16")
    'No'
    """
    yes = [state for state, word in by_state.items() if word == "yes"]
    if yes == ["reset"] and "carry" in by_state:
        return f"Only if {rival} starts cold"
    if yes == ["carry"] and "reset" in by_state:
        return "Only with the state carried over"
    texts = set(by_state.values())
    if texts == {"no", "inconclusive"}:
        state = next(state for state, word in by_state.items() if word == "no")
        return f"No with the {_STATES[state]}, else inconclusive"
    if "depends on the step" in texts:
        return "Depends on the liquid network's step"
    return _short(by_state)


def _short(by_state: Mapping[str, str]) -> str:
    """One answer for both states, or one for each."""
    if len(set(by_state.values())) == 1:
        return _capital(next(iter(by_state.values())))
    return _capital(", ".join(f"{text} with the {_STATES[s]}" for s, text in by_state.items()))


def _linear(summary: Summary) -> Answer | None:
    pair = rivals(summary)
    if "ridge-AR" not in summary["models"] or not pair:
        return None
    shorts, details = {}, []
    for state, state_text in _STATES.items():
        contrasts = {m: contrast(summary, "ridge-AR", m, state) for m in pair}
        known = {model: one for model, one in contrasts.items() if one}
        if known:
            beaten = [model for model, one in known.items() if one.word == "lower"]
            all_of_them = len(beaten) == len(known)
            verdicts = {_YES[one.word] for one in known.values()}
            shorts[state] = verdicts.pop() if len(verdicts) == 1 else "not both"
            if beaten and not all_of_them:
                shorts[state] = f"only {beaten[0]}"
            figures = " and ".join(
                f"{one.figures} times {model}'s ({one.word})" for model, one in known.items()
            )
            details.append(f"With the {state_text}, the test MSE of ridge-AR is {figures}.")
    if not shorts:
        return None
    whom = "both" if len(pair) == 2 else pair[0]
    return Answer(f"Does a linear model beat {whom}?", _short(shorts), tuple(details))


def _time_constant(summary: Summary) -> Answer | None:
    claims = [claim for claim in summary["claims"] if claim["id"].startswith("tau-")]
    if not claims:
        return None
    verdicts = Counter(claim["verdict"] for claim in claims)
    short = f"{verdicts['holds']} of {len(claims)} claims hold"
    if len(verdicts) == 1:
        short = _capital(_SHORT[claims[0]["verdict"]])
    by_claim: dict[str, list[str]] = {}
    for claim in claims:
        figure = " ".join(filter(None, claim_figure(claim)))
        by_claim.setdefault(claim["claim"], []).append(
            f"{claim['group']} {figure} ({claim['verdict']})"
        )
    details = tuple(f"{claim}: {', '.join(sentences)}." for claim, sentences in by_claim.items())
    return Answer("Does tau_sys move as the article says?", short, details)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
