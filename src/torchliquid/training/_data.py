"""Data of a training, laid out batch first: which samples count, and for how much."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from torchliquid._checks import check_device, check_interval, check_tensor, holds_whole
from torchliquid.errors import TorchliquidError
from torchliquid.messages import short_repr
from torchliquid.nn import Pack
from torchliquid.nn._padding import check_lengths
from torchliquid.nn.missing import check_mask

KEYS = ("x", "y", "dt", "lengths", "observed", "weight")


class Data(NamedTuple):
    """Rows to learn from, batch first; the tensors of a pack have lanes ``S`` or none.

    Args:
        x: ``(B, L, I)``.
        dt: a float, ``(B, L)``, or None for the layer's own.
        lengths: ``(B,)`` or None.
        observed: ``(B, L)`` or ``(B, L, I)``, without lanes, or None.
        target: ``(B, L, O)``; classes ``(B, L)``, integers.
        weight: ``(B, L)``, 0 for samples that do not count; each lane's sum is positive.
    """

    x: Tensor
    dt: Any
    lengths: Tensor | None
    observed: Tensor | None
    target: Tensor
    weight: Tensor

    @property
    def target_dims(self) -> int:
        """Dimensions of a target without lanes."""
        return 3 if self.target.is_floating_point() else 2

    def rows(self, part: slice) -> "Data":
        """Some of the rows."""
        classes = self.target_dims == 2
        return Data(
            self.x[..., part, :, :],
            self.dt[..., part, :] if isinstance(self.dt, Tensor) else self.dt,
            None if self.lengths is None else self.lengths[part],
            None if self.observed is None else self.observed[part],
            self.target[..., part, :] if classes else self.target[..., part, :, :],
            self.weight[..., part, :],
        )

    def arguments(self, *, batch_first: bool) -> tuple[Tensor, dict[str, Any]]:
        """Arguments of a call of a model of that layout: x, and by name what else there is."""
        x, dt, observed = self.x, self.dt, self.observed
        if not batch_first:
            x = x.transpose(-3, -2)
            dt = dt.transpose(-2, -1) if isinstance(dt, Tensor) else dt
            observed = None if observed is None else observed.transpose(0, 1)
        given = {"dt": dt, "lengths": self.lengths, "observed": observed}
        return x, {name: value for name, value in given.items() if value is not None}


class Form(NamedTuple):
    """What the model takes and gives.

    Args:
        lanes: S of a pack, or None.
        outputs: O, 0 where it is not known.
        batch_first: layout.
        weight: one of its parameters.
        classes: whether y holds classes.
        warm_up: samples at the start of each row that do not count.
    """

    lanes: int | None
    outputs: int
    batch_first: bool
    weight: Tensor
    classes: bool
    warm_up: int


def data_of(form: Form, what: str, given: Mapping[str, Any]) -> Data:
    """Check and lay out data; ``what`` goes before names in messages, "" or "validation's "."""
    x = check_tensor(f"{what}x", given["x"], "of rows (B, L, I)")
    dims = (3,) if form.lanes is None else (3, 4)
    if x.dim() not in dims or not x.numel() or (x.dim() == 4 and len(x) != form.lanes):
        expected = "(B, L, I)" if form.lanes is None else f"(B, L, I) or ({form.lanes}, B, L, I)"
        raise TorchliquidError(
            f"{what}x has shape {tuple(x.shape)}: expected rows {expected}"
            + ("" if form.batch_first else ", time before rows")
        )
    check_device(f"{what}x", x, form.weight.device, "the model")
    x = x if form.batch_first else x.transpose(-3, -2)
    B, L = x.shape[-3:-1]
    dt = given.get("dt")
    if isinstance(dt, Tensor):
        check_tensor(f"{what}dt", dt, "or a number")
        check_device(f"{what}dt", dt, form.weight.device, "the model")
        if dt.dtype == torch.bool or dt.is_complex():
            raise TorchliquidError(f"{what}dt is {dt.dtype}: expected real numbers")
        dt = dt.to(form.weight.dtype)
    elif dt is not None:
        dt = check_interval(dt, form.weight.dtype)
    if isinstance(dt, Tensor) and dt.dim() > 1:
        dt = dt.squeeze(-1) if dt.dim() == x.dim() and dt.shape[-1] == 1 else dt
        dt = dt if form.batch_first else dt.transpose(-2, -1)
    lengths, observed = given.get("lengths"), given.get("observed")
    if lengths is not None:
        lengths = check_lengths(lengths, B, L)
    if observed is not None:
        shapes = (B, L) if form.batch_first else (L, B), tuple(given["x"].shape[-3:])
        observed = check_mask(observed, x, shapes, f"{shapes[0]} or {shapes[1]}")
        observed = observed if form.batch_first else observed.transpose(0, 1)
    if isinstance(dt, Tensor) and dt.shape in ((), (L,)):  # the same for all rows
        dt = dt.expand(B, L)
    if isinstance(dt, Tensor) and dt.shape[-2:] != (B, L):
        raise TorchliquidError(
            f"{what}dt has shape {tuple(dt.shape)} (batch first): expected {(B, L)} or ({L},)"
        )
    target, last = _target(form, f"{what}y", given["y"], (B, L))
    weight = _weight(form, f"{what}weight", given.get("weight"), target, last, lengths)
    counts = weight > 0
    if form.classes:
        _check_classes(f"{what}y", target, counts, form.outputs)
        target = torch.where(counts, target, 0)
    else:
        _check_finite(f"{what}y", target, counts)
        target = torch.where(counts.unsqueeze(-1), target, 0.0)
    _check_finite(f"{what}x", x, _read(x, lengths, observed))
    return Data(x, dt, lengths, observed, target, weight)


def _check_classes(name: str, y: Tensor, where: Tensor, classes: int) -> None:
    counted = y.expand(where.shape)[where]
    if classes and bool(((counted < 0) | (counted >= classes)).any()):
        raise TorchliquidError(
            f"{name} holds classes from {int(counted.min())} to {int(counted.max())}: the model "
            f"has {classes} outputs, give 0 to {classes - 1}"
        )


def _target(form: Form, name: str, y: Any, rows: tuple[int, int]) -> tuple[Tensor, bool]:
    """The target of every sample, and whether the last of each row alone has one."""
    B, L = rows
    expected = f"({L}, {B}" if not form.batch_first else f"({B}, {L}"
    outputs = form.outputs or (y.shape[-1] if isinstance(y, Tensor) and y.dim() else 1)
    width = "" if form.classes else f", {outputs}"
    every, last = f"{expected}{width})", f"({B},{width[1:]})"
    check_tensor(name, y, f"{every}, or {last} for the last sample of each row")
    if not (holds_whole(y) if form.classes else y.is_floating_point()):
        kind = "integers, the classes" if form.classes else "floating-point numbers"
        raise TorchliquidError(f"{name} is {y.dtype}: expected {kind}")
    check_device(name, y, form.weight.device, "the model")
    features = () if form.classes else (outputs,)
    layout = (B, L) if form.batch_first else (L, B)
    leads = [()] if form.lanes is None else [(), (form.lanes,)]
    for lead in leads:
        if y.shape == (*lead, *layout, *features):
            at = len(lead)
            return (y if form.batch_first else y.transpose(at, at + 1)), False
    for lead in leads:
        if y.shape == (*lead, B, *features):
            at = len(lead)
            return y.unsqueeze(at + 1).expand(*lead, B, L, *features), True
    hint = ""
    if not form.classes and outputs == 1 and y.shape == layout:
        hint = f": give {name.rpartition(' ')[2]}.unsqueeze(-1)"
    lanes = "" if form.lanes is None else f"; with a leading {form.lanes}, one for each lane"
    raise TorchliquidError(
        f"{name} has shape {tuple(y.shape)}: expected {every} for every sample, or {last} for the "
        f"last one of each row{lanes}{hint}"
    )


def _weight(
    form: Form, name: str, given: Any, target: Tensor, last: bool, lengths: Tensor | None
) -> Tensor:
    """What each sample counts for ``(*S, B, L)``."""
    shape = target.shape if form.classes else target.shape[:-1]
    B, L = shape[-2:]
    dtype, device = form.weight.dtype, form.weight.device
    weight = torch.ones(shape[-2:], dtype=dtype, device=device)
    if given is not None:
        weight = _given_weight(form, name, given, (B, L)).to(dtype)
    steps = torch.arange(L, device=device)
    if lengths is not None:
        weight = weight * (steps < lengths.to(device)[:, None])
    if last:
        ends = torch.full((B,), L, device=device) if lengths is None else lengths.to(device)
        weight = weight * (steps == ends[:, None] - 1)
    weight = weight * (steps >= form.warm_up)
    totals = weight.sum(dim=(-2, -1))
    if bool((totals <= 0).any()):
        lane = f" of lane {int((totals <= 0).nonzero()[0])}" if totals.dim() else ""
        raise TorchliquidError(
            f"no sample counts{lane}: {name} is 0 for all"
            + (f", or warm_up, {form.warm_up}, leaves none" if form.warm_up else "")
        )
    return weight


def _given_weight(form: Form, name: str, given: Any, rows: tuple[int, int]) -> Tensor:
    B, L = rows
    layout = (B, L) if form.batch_first else (L, B)
    weight = check_tensor(name, given, f"{layout}, or ({B},) for rows")
    check_device(name, weight, form.weight.device, "the model")
    leads = [()] if form.lanes is None else [(), (form.lanes,)]
    for lead in leads:
        if weight.shape == (*lead, *layout):
            weight = weight if form.batch_first else weight.transpose(-2, -1)
            break
        if weight.shape == (*lead, B):
            weight = weight.unsqueeze(-1).expand(*lead, B, L)
            break
    else:
        raise TorchliquidError(
            f"{name} has shape {tuple(weight.shape)}: expected {layout} or ({B},)"
        )
    if weight.is_complex() or not bool((weight.double() >= 0).all() & weight.isfinite().all()):
        raise TorchliquidError(f"{name} holds values that are negative or not finite: fix them")
    return weight


def _check_finite(name: str, values: Tensor, where: Tensor | None) -> None:
    """That values which count are numbers."""
    if not values.is_floating_point():
        return
    wrong = ~values.isfinite()
    if where is not None:
        fits = where.shape[-1] == wrong.shape[-1] and where.shape[-2] == wrong.shape[-2]
        wrong = wrong & (where if fits and where.dim() >= 3 else where.unsqueeze(-1))
    if bool(wrong.any()):
        index = tuple(wrong.nonzero()[0].tolist())
        places = ", ".join(map(str, index))
        advice = (
            "weight 0 for its sample" if name.endswith("y") else "observed= where it is missing"
        )
        raise TorchliquidError(
            f"{name}[{places}] (batch first) is {float(values.expand(wrong.shape)[index])}: give "
            f"{advice}, or another value"
        )


def _read(x: Tensor, lengths: Tensor | None, observed: Any) -> Tensor | None:
    """Which values of x are read; None: all."""
    read = None
    if lengths is not None:
        read = torch.arange(x.shape[-2], device=x.device) < lengths.to(x.device)[:, None]
    if isinstance(observed, Tensor) and observed.dtype == torch.bool:
        real = read if read is None or observed.dim() == 2 else read.unsqueeze(-1)
        read = observed if real is None else observed & real
    return read


def named(given: Any) -> dict[str, Any]:
    """A validation as it was given, by the names of `fit`'s arguments."""
    if isinstance(given, Mapping):
        unknown = set(given) - set(KEYS)
        if unknown or not {"x", "y"} <= set(given):
            raise TorchliquidError(
                f"validation has {', '.join(map(str, given))}: give x, y and, as they are needed, "
                f"{', '.join(KEYS[2:])}"
            )
        return dict(given)
    if isinstance(given, tuple | list) and len(given) == 2:
        return {"x": given[0], "y": given[1]}
    raise TorchliquidError(
        f"validation is {short_repr(given)}: give (x, y), or a dict of {', '.join(KEYS)}"
    )


def single_of(model: nn.Module) -> nn.Module:
    """The model that a pack is of; any other model itself."""
    return model.model if isinstance(model, Pack) else model
