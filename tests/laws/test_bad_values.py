"""Every argument of every public callable, with thousands of values that it was not made for.

Each call either raises a `TorchliquidError` of one line, or gives a right result; never another
exception, never silence. What is right is said here, by a predicate for each argument, from the
documentation alone: what is refused must be wrong, what is accepted must be right.
"""

import inspect
import warnings
from typing import Any

import pytest
import torch
from torch import nn

import torchliquid
from torchliquid import TorchliquidError, functional
from torchliquid.messages import short_repr

from .bad_values import Broken, common, tensors, variants
from .walks import NAMES, Walk, clipped, walks


def outputs(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, tuple):
        return [t for part in value for t in outputs(part)]
    return []


def named(name: str, value: Any) -> str:
    shape = () if getattr(value, "is_nested", False) else getattr(value, "shape", "")
    return (
        f"{name} = {short_repr(value)} {type(value).__name__} {shape} {getattr(value, 'dtype', '')}"
    )


def trial(walk: Walk, name: str, value: Any) -> str:
    """What a call with one other value did: ``"right"``, ``"refused"``, or what was wrong."""
    fine = walk.fine[name](value, walk.given[name])
    try:
        result = walk.call(**{**walk.given, name: value})
    except TorchliquidError as error:
        if fine:
            return f"{named(name, value)}: refused though right: {error}"
        return "refused" if "\n" not in str(error) else f"{named(name, value)}: several lines"
    except Exception as error:
        return f"{named(name, value)}: {error!r}"[:300]
    if not fine:
        return f"{named(name, value)}: accepted though wrong"
    finite = not isinstance(value, torch.Tensor) or value.is_meta or bool(value.isfinite().all())
    for found in outputs(result) if finite else ():
        if not found.is_meta and not bool(found.isfinite().all()):
            return f"{named(name, value)}: the result is not finite"
    return "right"


@pytest.mark.parametrize("name", NAMES)
def test_walk(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    walk = walks(tmp_path)[name]
    counts, wrong = {"right": 0, "refused": 0}, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        walk.call(**walk.given)
        for argument, base in walk.given.items():
            values = [*common(), *tensors()]
            if isinstance(base, torch.Tensor) and base.is_floating_point():
                values += variants(base)
            if argument in ("make_model", "loss"):  # what a function raises is its own
                values = [v for v in values if not callable(v) or isinstance(v, Broken)]
            for value in values:
                verdict = trial(walk, argument, value)
                if verdict in counts:
                    counts[verdict] += 1
                else:
                    wrong.append(verdict)
    with capsys.disabled():
        print(f"\n{name}: {counts['refused']} refused, {counts['right']} right")
    assert not wrong, "\n".join([f"{len(wrong)} of {sum(counts.values())}", *wrong[:40]])
    assert counts["refused"] > 40


def test_every_public_callable_is_walked(tmp_path):
    walked = set(walks(tmp_path))
    assert walked == set(NAMES)
    for name in torchliquid.__all__:
        value = getattr(torchliquid, name)
        if (
            inspect.isclass(value)
            and issubclass(value, nn.Module)
            and not inspect.isabstract(value)
        ):
            assert name in walked
            assert f"{name}.forward" in walked
        elif inspect.isfunction(value):
            assert name in walked
    for name in functional.__all__:
        if inspect.isfunction(getattr(functional, name)):
            assert f"functional.{name}" in walked
    for walk in walks(tmp_path).values():
        assert set(walk.given) == set(walk.fine)
        target = walk.call.forward if isinstance(walk.call, nn.Module) else walk.call
        if walk.call is not clipped:
            assert set(inspect.signature(target).parameters) == set(walk.given)
