"""How the time constants of a trained pack answer to jumps and spikes planted in its input.

Places are drawn at random in the test stretch. At each, the pack runs over the same few samples
from the same state, once as they are (the control) and once with an event planted at the place, so
that whatever differs is the event's doing. Sizes are in standard deviations of the training input.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchliquid.bench.models.registry import Model
from torchliquid.bench.run.store import AFTER, BEFORE
from torchliquid.bench.run.windows import along, inputs_for
from torchliquid.bench.tasks.task import StepIndex, Task
from torchliquid.insight import time_constants
from torchliquid.nn import LTC, Pack

PLACES = 64
JUMP, SPIKE = 1.5, 3.0
"""Heights of a planted jump, which lasts, and of a spike of one sample."""
DEMO_STEPS = 300
LOOKED_AT = 20_000
"""Steps at the end of the series, all series together, that time constants are looked at."""
_DEMO = (  # where, as a share of the stretch; what; its sign
    (0.12, "jump", 1),
    (0.27, "jump", -1),
    (0.40, "spike", 1),
    (0.52, "spike", -1),
    (0.65, "jump", -1),
    (0.82, "jump", 1),
)

Arrays = dict[str, NDArray[Any]]


@torch.no_grad()
def probe(
    task: Task, model: Model, pack: Pack, seed: int, lane: int
) -> tuple[Arrays, dict[str, Any]]:
    """Rows and facts on the time constants of a trained pack of liquid models.

    Args:
        task: gives the series.
        model: the pack's entry in the comparison.
        pack: S trained lanes.
        seed: of the places.
        lane: the lane whose time constants are kept step by step for the picture.

    Returns:
        Arrays ``tau (S, H)``; ``probe_control``, ``probe_jump_up``, ``probe_jump_down``,
        ``probe_spike_up``, ``probe_spike_down`` ``(S, BEFORE + AFTER)``, where a series is so
        long: tau_sys, mean over places and neurons, the event at index BEFORE; ``lowest_share
        (S,)``: the lowest tau_sys / tau met;
        ``smooth_contrast (S,)``: tau_sys over the third of test steps whose input moved least,
        relative to the third where it moved most, less 1; ``demo_input (D,)`` and
        ``demo_tau_sys (D, H)``; ``plain_tau_sys (P, H)``: of the same lane on the first P test
        steps as they are, the state carried over. Facts ``demo_lane``, ``demo_events``,
        ``demo_interval``, ``probe_places``. All time constants are in the unit of dt.
    """
    layer = pack.model.layer
    if not isinstance(layer, LTC):
        raise TypeError(f"the probe reads LTC layers, not {type(layer).__name__}")
    x, dt = inputs_for(task, model)
    lines = [line[-max(LOOKED_AT // len(task.timelines()), 1) :] for line in task.timelines()]
    test = task.steps - task.test
    tau = torch.nn.functional.softplus(pack.layer["raw_tau_l0"])
    size = float(x[..., : task.train, 0].std())
    floor = _floor(task)
    arrays: Arrays = {"tau": tau.numpy().copy()}
    sites = _places(lines, test, seed)
    lowest = torch.full((len(pack),), torch.inf)
    if len(sites):
        states = along(lambda x, dt: pack.states(x, dt=dt)[0], x, dt, lines)
        lowest = _planted(task, pack, x, dt, states, sites, size, floor, arrays, tau)
    tau_sys = along(lambda x, dt: pack.time_constants(x, dt=dt), x, dt, lines)
    u = x[..., 0].reshape(-1, task.steps)
    arrays["smooth_contrast"] = _contrast(u, tau_sys, lines, test)

    longest = max(lines, key=len)[-DEMO_STEPS:]
    shown = _first_of_test(lines, test)[:DEMO_STEPS]
    arrays["plain_tau_sys"] = tau_sys[lane, shown].numpy().copy()
    lane_x = (x[lane, 0] if x.dim() == 4 else x[0])[longest]
    demo, events = _demo_input(lane_x, size, floor)
    demo_dt = None if dt is None else _of_lane(dt, lane)[longest]
    demo_tau = time_constants(pack.lane(lane), demo, dt=demo_dt)
    arrays |= {"demo_input": demo[:, 0].numpy().copy(), "demo_tau_sys": demo_tau.numpy().copy()}
    lowest[lane] = torch.minimum(lowest[lane], (demo_tau / tau[lane]).min())
    arrays["lowest_share"] = lowest.numpy()
    return arrays, {
        "demo_lane": lane,
        "demo_events": events,
        "demo_interval": float(np.median(task.gaps(lane)) * task.scale_of(lane)),
        "probe_places": len(sites),
    }


def _of_lane(dt: Tensor, lane: int) -> Tensor:
    """Return the time before each step of a lane, of dt ``(1, T)`` or ``(S, 1, T)``."""
    return dt[lane, 0] if dt.dim() == 3 else dt[0]


def _first_of_test(lines: list[StepIndex], test: int) -> StepIndex:
    """The test steps of the first series that has some."""
    return next(steps for line in lines if len(steps := line[line >= test]))


def _places(lines: list[StepIndex], test: int, seed: int) -> NDArray[np.int64]:
    """Steps to plant events at, each with those around it: ``(P, BEFORE + AFTER)``.

    They lie in the test stretch, where it has room enough.
    """
    around = np.arange(-BEFORE, AFTER)
    sites = [
        line[np.arange(BEFORE, len(line) - AFTER + 1)[:, None] + around]
        for line in lines
        if len(line) >= len(around)
    ]
    if not sites:
        return np.empty((0, len(around)), dtype=np.int64)
    candidates = np.concatenate(sites)
    later = candidates[candidates[:, 0] >= test]
    if len(later) > PLACES // 4:
        candidates = later
    rng = np.random.default_rng((seed, 2))
    return rng.choice(candidates, min(PLACES, len(candidates)), replace=False)


def _planted(
    task: Task,
    pack: Pack,
    x: Tensor,
    dt: Tensor | None,
    states: Tensor,
    sites: NDArray[np.int64],
    size: float,
    floor: float,
    arrays: Arrays,
    tau: Tensor,
) -> Tensor:
    """Fill in the ``probe_`` arrays; give the lowest tau_sys / tau of each lane."""
    before = np.full(task.steps, -1)
    for line in task.timelines():
        before[line[1:]] = line[:-1]
    first = before[sites[:, 0]]
    h0 = torch.where(torch.from_numpy(first >= 0)[:, None], states[:, first], 0.0).unsqueeze(1)
    rows = torch.from_numpy(sites)
    control = x[:, 0, rows] if x.dim() == 4 else x[0, rows]
    dt = None if dt is None else dt.squeeze(-2)[..., rows]
    lowest = torch.full((len(pack),), torch.inf)
    events = {
        "control": (0.0, slice(0)),
        "jump_up": (JUMP, slice(BEFORE, None)),
        "jump_down": (-JUMP, slice(BEFORE, None)),
        "spike_up": (SPIKE, slice(BEFORE, BEFORE + 1)),
        "spike_down": (-SPIKE, slice(BEFORE, BEFORE + 1)),
    }
    for name, (height, where) in events.items():
        planted = control.clone()
        planted[..., where, 0] += height * size
        planted[..., 0].clamp_(min=floor)
        tau_sys = pack.time_constants(planted, h0, dt)
        arrays[f"probe_{name}"] = tau_sys.mean(dim=(1, 3)).numpy().copy()
        share = tau_sys / tau[:, None, None, :]
        lowest = torch.minimum(lowest, share.amin(dim=(1, 2, 3)))
    return lowest


def _contrast(u: Tensor, tau_sys: Tensor, lines: list[StepIndex], test: int) -> NDArray[np.float32]:
    """tau_sys of the slowest third of test steps over that of the fastest, less 1, ``(S,)``."""
    of_test = [line[np.flatnonzero(line >= test)] for line in lines]
    steps, previous = [], []
    for line, own in zip(lines, of_test, strict=True):
        indices = np.searchsorted(line, own)
        steps.append(own[indices > 0])
        previous.append(line[indices[indices > 0] - 1])
    now, then = (torch.from_numpy(np.concatenate(part)) for part in (steps, previous))
    speed = (u[:, now] - u[:, then]).abs().expand(len(tau_sys), -1)
    order = speed.argsort(dim=1)
    third = max(1, order.shape[1] // 3)
    mean = tau_sys[:, now].mean(dim=2)
    slow = mean.gather(1, order[:, :third]).mean(dim=1)
    fast = mean.gather(1, order[:, -third:]).mean(dim=1)
    return np.asarray((slow / fast - 1).numpy())


def _floor(task: Task) -> float:
    """What a planted event may not fall below: 0 of a column that is never negative."""
    column = np.asarray(task.inputs[..., 0], dtype=np.float64) * task.scale + task.offset
    return -task.offset / task.scale if task.clean is None and column.min() >= 0 else -np.inf


def _demo_input(x: Tensor, size: float, floor: float) -> tuple[Tensor, list[dict[str, Any]]]:
    plain, x = x, x.clone()
    events: list[dict[str, Any]] = []
    for share, kind, sign in _DEMO:
        step = int(share * len(x))
        height = sign * size * (JUMP if kind == "jump" else SPIKE)
        if kind == "jump":
            x[step:, 0] += height
        else:
            x[step, 0] += height
        events.append({"step": step, "kind": kind, "size": height})
    if np.isfinite(floor):
        x[:, 0].clamp_(min=floor)
        change = (x - plain)[:, 0].tolist()
        for event in events:  # as large as it came out
            event["size"] = change[event["step"]] - change[event["step"] - 1]
    return x, events
