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

from torchliquid.bench.models import Model
from torchliquid.bench.store import AFTER, BEFORE
from torchliquid.bench.task import Task
from torchliquid.bench.windows import inputs_for
from torchliquid.insight import time_constants
from torchliquid.nn import Pack
from torchliquid.nn.ltc import LTC

PLACES = 64
JUMP, SPIKE = 1.5, 3.0
"""Heights of a planted jump, which lasts, and of a spike of one sample."""
DEMO_STEPS = 300
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
        ``probe_spike_up``, ``probe_spike_down`` ``(S, BEFORE + AFTER)``: tau_sys, mean over places
        and neurons, the event at index BEFORE; ``lowest_share (S,)``: the lowest tau_sys / tau met;
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
    tau = torch.nn.functional.softplus(pack.layer["raw_tau_l0"])
    size = x[..., : task.train, 0].std()
    arrays: Arrays = {"tau": tau.numpy().copy()}
    floor = _floor(task)
    lowest, places = _planted(task, pack, x, dt, float(size), floor, seed, arrays, tau)
    test = task.steps - task.test
    along = pack.time_constants(x, dt=dt).squeeze(1)
    arrays["smooth_contrast"] = _contrast(x[..., 0].flatten(0, -2)[:, test - 1 :], along[:, test:])

    lane_x = x[lane, 0] if x.dim() == 4 else x[0]
    shown = min(task.test, DEMO_STEPS)
    arrays["plain_tau_sys"] = along[lane, test : test + shown].numpy().copy()
    demo, events = _demo_input(lane_x[-DEMO_STEPS:], float(size), floor)
    demo_dt = None if dt is None else dt[0, -DEMO_STEPS:]
    demo_tau = time_constants(pack.lane(lane), demo, dt=demo_dt)
    arrays |= {"demo_input": demo[:, 0].numpy().copy(), "demo_tau_sys": demo_tau.numpy().copy()}
    lowest[lane] = torch.minimum(lowest[lane], (demo_tau / tau[lane]).min())
    arrays["lowest_share"] = lowest.numpy()
    return arrays, {
        "demo_lane": lane,
        "demo_events": events,
        "demo_interval": float(np.median(task.dt)),
        "probe_places": places,
    }


def _planted(
    task: Task,
    pack: Pack,
    x: Tensor,
    dt: Tensor | None,
    size: float,
    floor: float,
    seed: int,
    arrays: Arrays,
    tau: Tensor,
) -> tuple[Tensor, int]:
    """Fill in the ``probe_`` arrays; give the lowest tau_sys / tau of each lane, and the places."""
    first = task.steps - task.test if task.test >= BEFORE + AFTER + PLACES // 4 else 0
    candidates = np.arange(first + BEFORE, task.steps - AFTER + 1)
    rng = np.random.default_rng((seed, 2))
    places = rng.choice(candidates, min(PLACES, len(candidates)), replace=False)
    states, _ = pack.states(x, dt=dt)
    before = torch.cat([torch.zeros_like(states[:, 0, :1]), states[:, 0]], dim=1)
    h0 = before[:, places - BEFORE].unsqueeze(1)
    rows = torch.from_numpy(places[:, None] + np.arange(-BEFORE, AFTER))
    control = x[:, 0, rows] if x.dim() == 4 else x[0, rows]
    dt = None if dt is None else dt[0, rows]
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
    return lowest, len(places)


def _contrast(u: Tensor, tau_sys: Tensor) -> NDArray[np.float32]:
    """tau_sys of the slowest third of steps over that of the fastest, less 1, ``(S,)``."""
    speed = u.diff(dim=1).abs().expand(len(tau_sys), -1)
    order = speed.argsort(dim=1)
    third = max(1, order.shape[1] // 3)
    mean = tau_sys.mean(dim=2)
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
