"""Which neuron sends to which: wirings, immutable, drawn from a seed.

A wiring says which of its H units have a synapse to which (`Wiring.recurrent`) and, for any number
of inputs, which input reaches which unit (`Wiring.sensory`): so that one wiring does for layers of
any input size. A synapse has a polarity, 1 (excites) or -1 (inhibits). The first units are motors:
what a layer outputs.

Sources: Lechner et al., "Neural circuit policies enabling auditable autonomy", Nature Machine
Intelligence 2020, methods (`NCP`).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from torchliquid._checks import check_at_most, check_seed
from torchliquid.errors import TorchliquidError
from torchliquid.messages import short_repr

if TYPE_CHECKING:
    import networkx as nx

Polarities = NDArray[np.int8]
"""1, -1, or 0 where there is no synapse; row: from, column: to."""
LARGEST = 100_000
EXCITED = 2 / 3
"""Share of synapses that excite in `FullyConnected` and `Random`."""


class Wiring:
    """Which of H units send to which, and which inputs reach which.

    Two wirings of the same kind and arguments are equal, and hash alike.
    """

    units: int
    outputs: int

    @cached_property
    def recurrent(self) -> Polarities:
        """Polarities among units ``(H, H)``; read only."""
        return _frozen(self._recurrent())

    def sensory(self, inputs: int) -> Polarities:
        """Return the polarities from inputs to units ``(I, H)``; read only.

        Raises:
            TorchliquidError: the wiring was given for another number of inputs.
        """
        check_at_most("inputs", inputs, LARGEST)
        return _frozen(self._sensory(int(inputs)))

    @property
    def roles(self) -> tuple[str, ...]:
        """What each unit is: motor, command or inter."""
        return ("motor",) * self.outputs + ("inter",) * (self.units - self.outputs)

    @property
    def layers(self) -> tuple[tuple[int, ...], ...]:
        """Units that one layer after the other hands a sample on to; here there is one layer."""
        return (tuple(range(self.units)),)

    @property
    def synapses(self) -> int:
        """Number of synapses among units."""
        return int(np.count_nonzero(self.recurrent))

    def to_json(self) -> dict[str, Any]:
        """Return kind and arguments in JSON types; see `from_json`."""
        facts: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # type: ignore[call-overload]
        return {"kind": type(self).__name__} | facts

    @staticmethod
    def from_json(facts: Any) -> Wiring:
        """Return the wiring that `to_json` wrote; see `torchliquid.wirings.from_json`."""
        return from_json(facts)

    def to_networkx(self, inputs: int) -> nx.DiGraph[str]:
        """Return a graph of the wiring with some inputs (needs networkx).

        Nodes are ``sensory_0`` ... and ``motor_0``, ``inter_4`` ... with a ``role``, edges have a
        ``polarity``.
        """
        import networkx as nx

        graph: nx.DiGraph[str] = nx.DiGraph()
        names = [f"{role}_{unit}" for unit, role in enumerate(self.roles)]
        seen = [f"sensory_{k}" for k in range(inputs)]
        for name in (*seen, *names):
            graph.add_node(name, role=name.split("_")[0])
        for table, sources in ((self.sensory(inputs), seen), (self.recurrent, names)):
            for source, target in np.argwhere(table):
                polarity = int(table[source, target])
                graph.add_edge(sources[source], names[target], polarity=polarity)
        return graph

    def plot(self, inputs: int, *, weights: Any = None, axes: Any = None) -> Any:
        """Draw the wiring with some inputs, a column for each role (needs matplotlib).

        Synapses that excite are drawn in one colour, those that inhibit dashed in another.

        Args:
            inputs: how many.
            weights: what was learnt: a trained `torchliquid.NCP` over this wiring, or a pair of
                tables, among units ``(H, H)`` and from inputs ``(I, H)``. A line is as wide as its
                weight is large, against the largest, and excites where it is positive.
            axes: what to draw on; None: a new figure's.

        Returns:
            The axes.

        Raises:
            TorchliquidError: weights of other shapes.
        """
        import matplotlib.pyplot as plt

        learnt = self._learnt(inputs, weights)

        if axes is None:
            _, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
        columns = [("sensory", [("sensory", k) for k in range(inputs)])]
        columns += [(role, [("unit", k) for k in units]) for role, units in self._columns()]
        place = {
            node: (x, 0.5 if len(nodes) == 1 else 1 - k / (len(nodes) - 1))
            for x, (_, nodes) in enumerate(columns)
            for k, node in enumerate(nodes)
        }
        for kind, table in (("sensory", self.sensory(inputs)), ("unit", self.recurrent)):
            for source, target in np.argwhere(table):
                (x, y), (u, v) = place[kind, int(source)], place["unit", int(target)]
                excites, width = table[source, target] > 0, 0.8
                if learnt is not None:
                    size = learnt[kind][source, target]
                    excites, width = size > 0, max(0.1, 3.5 * abs(size))
                if (x, y) == (u, v):  # a ring around a unit that reaches itself
                    colour = "C0" if excites else "C1"
                    axes.scatter(x, y, s=190, facecolors="none", edgecolors=colour, linewidth=width)
                    continue
                bend = 0.25 if x == u else 0.0
                axes.annotate(
                    "", (u, v), (x, y),
                    arrowprops={
                        "arrowstyle": "-", "color": "C0" if excites else "C1",
                        "linestyle": "-" if excites else "--", "alpha": 0.6, "linewidth": width,
                        "connectionstyle": f"arc3,rad={bend}",
                    },
                )  # fmt: skip
        markers = {"sensory": "s", "inter": "^", "command": "D", "motor": "o"}
        for role, nodes in columns:
            across, up = zip(*(place[node] for node in nodes), strict=True)
            axes.scatter(across, up, marker=markers[role], s=60, color="0.25", zorder=3)
        axes.set_xticks(range(len(columns)), [f"{len(n)} {role}" for role, n in columns])
        axes.set_yticks([])
        axes.margins(0.12)
        axes.spines[:].set_visible(False)
        axes.plot([], [], color="C0", label="excites")
        axes.plot([], [], color="C1", linestyle="--", label="inhibits")
        axes.legend(frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, 1.1))
        return axes

    def _learnt(self, inputs: int, weights: Any) -> dict[str, NDArray[np.float64]] | None:
        """Tables of weights for the plot, the largest of size 1."""
        if weights is None:
            return None
        pair = weights.strengths() if hasattr(weights, "strengths") else weights
        shapes = ((self.units, self.units), (inputs, self.units))
        try:
            among, seen = (np.asarray(table, dtype=np.float64) for table in pair)
        except (TypeError, ValueError) as error:
            raise TorchliquidError(
                f"weights is {short_repr(weights)}: expected an NCP, or two tables of numbers"
            ) from error
        if (among.shape, seen.shape) != shapes:
            raise TorchliquidError(
                f"weights has tables of shapes {among.shape} and {seen.shape}: expected "
                f"{shapes[0]} among units and {shapes[1]} from inputs"
            )
        largest = max(np.abs(among).max(initial=0), np.abs(seen).max(initial=0)) or 1.0
        return {"unit": among / largest, "sensory": seen / largest}

    def _columns(self) -> list[tuple[str, Sequence[int]]]:
        """Units by role, as they are drawn from left to right."""
        of = {role: [k for k, one in enumerate(self.roles) if one == role] for role in self.roles}
        return [(role, of[role]) for role in ("inter", "command", "motor") if role in of]

    def _recurrent(self) -> Polarities:
        raise NotImplementedError

    def _sensory(self, inputs: int) -> Polarities:
        raise NotImplementedError


@dataclass(frozen=True)
class FullyConnected(Wiring):
    """Every input and every unit reaches every unit.

    Args:
        units: H.
        outputs: motors, the first units; None: all.
        self_connections: whether a unit reaches itself.
        seed: of the polarities.

    >>> FullyConnected(4, 2).synapses
    16
    """

    units: int
    outputs: int = 0
    self_connections: bool = True
    seed: int = 0

    def __init__(
        self, units: int, outputs: int | None = None, self_connections: bool = True, seed: int = 0
    ) -> None:
        _set(self, **_units(units, outputs), self_connections=bool(self_connections))
        _set(self, seed=check_seed(seed))

    def _recurrent(self) -> Polarities:
        found = _polarities(self.seed, 0, (self.units, self.units))
        if not self.self_connections:
            np.fill_diagonal(found, 0)
        return found

    def _sensory(self, inputs: int) -> Polarities:
        return _polarities(self.seed, 1, (inputs, self.units))


@dataclass(frozen=True)
class Random(Wiring):
    """A share of all synapses, drawn; every unit has at least one synapse from an input or a unit.

    Args:
        units: H.
        outputs: motors, the first units; None: all.
        sparsity: share of the synapses that are not there, from 0, below 1.
        seed: of synapses and polarities.

    >>> Random(10, sparsity=0.75).synapses
    25
    """

    units: int
    outputs: int = 0
    sparsity: float = 0.5
    seed: int = 0

    def __init__(
        self, units: int, outputs: int | None = None, sparsity: float = 0.5, seed: int = 0
    ) -> None:
        if not isinstance(sparsity, Real) or isinstance(sparsity, bool) or not 0 <= sparsity < 1:
            raise TorchliquidError(
                f"sparsity is {short_repr(sparsity)}: give a share from 0, below 1"
            )
        _set(self, **_units(units, outputs), sparsity=float(sparsity), seed=check_seed(seed))

    def _recurrent(self) -> Polarities:
        return self._drawn(0, (self.units, self.units))

    def _sensory(self, inputs: int) -> Polarities:
        return self._drawn(1, (inputs, self.units))

    def _drawn(self, which: int, shape: tuple[int, int]) -> Polarities:
        found = _polarities(self.seed, which, shape)
        count = round((1 - self.sparsity) * found.size)
        rng = np.random.default_rng([self.seed, 10 + which])
        lost = rng.permutation(found.size)[max(count, 1) :]
        found.reshape(-1)[lost] = 0
        return found


@dataclass(frozen=True)
class NCP(Wiring):
    """A neural circuit policy: inputs, layers of inter neurons, command neurons, motors.

    Each source reaches ``fan_out`` units of the next layer, and a unit that none reaches gets as
    many synapses as its neighbours have on average. Command neurons have synapses among
    themselves; each motor is reached by ``motor_fan_in`` command neurons. Units are ordered motors,
    command, inter.

    Args:
        inter: units of each layer of inter neurons, or of the one.
        command: command neurons.
        motor: motors, which are the outputs.
        sensory_fan_out: inter neurons of the first layer that an input reaches.
        inter_fan_out: units of the next layer that an inter neuron reaches.
        recurrent_command: synapses among command neurons.
        motor_fan_in: command neurons that reach a motor.
        seed: of synapses and polarities.

    >>> wiring = NCP(inter=(12, 8), command=6, motor=4)
    >>> wiring.units, wiring.outputs
    (30, 4)
    """

    inter: tuple[int, ...]
    command: int
    motor: int
    sensory_fan_out: int
    inter_fan_out: int
    recurrent_command: int
    motor_fan_in: int
    seed: int = 0

    def __init__(
        self, inter: int | Sequence[int] = 12, command: int = 6, motor: int = 4,
        sensory_fan_out: int = 4, inter_fan_out: int = 4, recurrent_command: int = 6,
        motor_fan_in: int = 4, seed: int = 0,
    ) -> None:  # fmt: skip
        layers = tuple(inter) if isinstance(inter, Sequence) else (inter,)
        if not layers:
            raise TorchliquidError("inter is empty: give the units of each layer of inter neurons")
        for name, count in (
            ("command", command),
            ("motor", motor),
            *(("inter", n) for n in layers),
        ):
            check_at_most(name, count, LARGEST)
        fan = {
            "sensory_fan_out": (sensory_fan_out, layers[0], "units in the first inter layer"),
            "inter_fan_out": (inter_fan_out, min(*layers[1:], command, LARGEST), "units in the "
                              "layer behind"),
            "motor_fan_in": (motor_fan_in, command, "command neurons"),
        }  # fmt: skip
        for name, (count, most, of) in fan.items():
            check_at_most(name, count, LARGEST)
            if count > most:
                raise TorchliquidError(
                    f"{name} is {count}: there are {most} {of}; give at most that"
                )
        if not 0 <= _whole("recurrent_command", recurrent_command) <= command**2:
            raise TorchliquidError(
                f"recurrent_command is {recurrent_command}: {command} command neurons have at most "
                f"{command**2} synapses among themselves"
            )
        _set(
            self, inter=tuple(map(int, layers)), command=int(command), motor=int(motor),
            sensory_fan_out=int(sensory_fan_out), inter_fan_out=int(inter_fan_out),
            recurrent_command=int(recurrent_command), motor_fan_in=int(motor_fan_in),
            seed=check_seed(seed),
        )  # fmt: skip

    @property
    def units(self) -> int:  # type: ignore[override]
        """H."""
        return self.motor + self.command + sum(self.inter)

    @property
    def outputs(self) -> int:  # type: ignore[override]
        """The motors."""
        return self.motor

    @property
    def roles(self) -> tuple[str, ...]:
        """What each unit is: motor, command or inter."""
        counts = (("motor", self.motor), ("command", self.command), ("inter", sum(self.inter)))
        return tuple(role for role, count in counts for _ in range(count))

    @property
    def layers(self) -> tuple[tuple[int, ...], ...]:
        """Inter layers, command neurons, motors."""
        return (*(tuple(map(int, layer)) for layer in self._layers()), tuple(range(self.motor)))

    def _columns(self) -> list[tuple[str, Sequence[int]]]:
        return [(self.roles[layer[0]], layer) for layer in self.layers]

    def _layers(self) -> list[NDArray[np.int64]]:
        """Units of each layer from the first inter layer to the command neurons."""
        ends = np.cumsum([self.motor + self.command, *self.inter])
        inter = [np.arange(*pair) for pair in itertools.pairwise(ends)]
        return [*inter, np.arange(self.motor, self.motor + self.command)]

    def _recurrent(self) -> Polarities:
        found = np.zeros((self.units, self.units), np.int8)
        rng = np.random.default_rng([self.seed, 0])
        layers = self._layers()
        for sources, targets in itertools.pairwise(layers):
            found[np.ix_(sources, targets)] = _fanned(
                rng, len(sources), len(targets), self.inter_fan_out
            )
        command = layers[-1]
        among = np.zeros(self.command**2, np.int8)
        chosen = rng.permutation(among.size)[: self.recurrent_command]
        among[chosen] = _signs(rng, len(chosen))
        found[np.ix_(command, command)] = among.reshape(self.command, self.command)
        motors = _fanned(rng, self.motor, self.command, self.motor_fan_in).T
        found[np.ix_(command, np.arange(self.motor))] = motors
        return found

    def _sensory(self, inputs: int) -> Polarities:
        found = np.zeros((inputs, self.units), np.int8)
        rng = np.random.default_rng([self.seed, 1])
        first = self._layers()[0]
        found[:, first] = _fanned(rng, inputs, len(first), self.sensory_fan_out)
        return found


def AutoNCP(units: int, outputs: int, sparsity: float = 0.5, seed: int = 0) -> NCP:  # noqa: N802
    """Return an `NCP` of so many units, of which some are outputs.

    Two fifths of the units that are no motors are command neurons, the rest inter neurons; of the
    synapses that a layer could have a share of ``1 - sparsity`` is there.

    Args:
        units: H, at least 3 more than outputs.
        outputs: motors.
        sparsity: from 0.1 to 0.9.
        seed: of synapses and polarities.

    Raises:
        TorchliquidError: too few units, or a sparsity out of its range.

    >>> AutoNCP(32, 4).roles.count("command")
    11
    """
    check_at_most("units", units, LARGEST)
    check_at_most("outputs", outputs, LARGEST)
    if units < outputs + 3:
        raise TorchliquidError(
            f"units is {units} and outputs {outputs}: give at least {outputs + 3} units, so that "
            "an inter and two command neurons are left"
        )
    if not isinstance(sparsity, Real) or isinstance(sparsity, bool) or not 0.1 <= sparsity <= 0.9:
        raise TorchliquidError(f"sparsity is {short_repr(sparsity)}: give a share from 0.1 to 0.9")
    density = 1 - float(sparsity)
    command = max(round(0.4 * (units - outputs)), 1)
    inter = units - outputs - command
    return NCP(
        inter, command, outputs,
        sensory_fan_out=max(round(inter * density), 1),
        inter_fan_out=max(round(command * density), 1),
        recurrent_command=max(round(2 * command * density), 1) if command > 1 else 1,
        motor_fan_in=max(round(command * density), 1),
        seed=seed,
    )  # fmt: skip


@dataclass(frozen=True)
class Given(Wiring):
    """A wiring that was given as tables; see `from_adjacency`."""

    edges: tuple[tuple[int, ...], ...]
    inputs: tuple[tuple[int, ...], ...]
    outputs: int
    named: tuple[str, ...]

    @property
    def units(self) -> int:  # type: ignore[override]
        """H."""
        return len(self.edges)

    @property
    def roles(self) -> tuple[str, ...]:
        """What each unit is."""
        return self.named

    @property
    def layers(self) -> tuple[tuple[int, ...], ...]:
        """Inter, command and motor, where some are command neurons; else one layer."""
        if "command" not in self.named:
            return super().layers
        return tuple(tuple(units) for _, units in self._columns())

    def _recurrent(self) -> Polarities:
        return np.array(self.edges, np.int8)

    def _sensory(self, inputs: int) -> Polarities:
        if inputs != len(self.inputs):
            raise TorchliquidError(
                f"the wiring was given for {len(self.inputs)} inputs, and {inputs} are asked for: "
                "give another `sensory` table"
            )
        return np.array(self.inputs, np.int8).reshape(inputs, self.units)

    def __repr__(self) -> str:
        """Return sizes, not the tables."""
        return (
            f"from_adjacency({self.units} units, {len(self.inputs)} inputs, {self.outputs} "
            f"outputs, {self.synapses} synapses)"
        )


def from_adjacency(
    recurrent: Any, sensory: Any, outputs: int | None = None, roles: Sequence[str] | None = None
) -> Given:
    """Return the wiring of two tables of polarities.

    Args:
        recurrent: among units ``(H, H)``, from row to column: 1, -1, or 0 for no synapse.
        sensory: from inputs to units ``(I, H)``.
        outputs: motors, the first units; None: all.
        roles: of each unit: motor (the first ones), command or inter; None: motors and inter.

    Raises:
        TorchliquidError: tables that are not square, of other sizes or values, or other roles.

    >>> from_adjacency([[0, 1], [-1, 0]], [[1, 0]], outputs=1)
    from_adjacency(2 units, 1 inputs, 1 outputs, 2 synapses)
    """
    tables = []
    for name, table in (("recurrent", recurrent), ("sensory", sensory)):
        try:
            values = np.asarray(table, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise TorchliquidError(f"{name} is no table of numbers: {error}") from error
        if values.ndim != 2 or not np.isin(values, (-1, 0, 1)).all():
            raise TorchliquidError(
                f"{name} has the shape {values.shape}, or other values than 1, -1 and 0: expected "
                "a table of polarities"
            )
        tables.append(values.astype(int))
    among, seen = tables
    units = len(among)
    if among.shape[1] != units or seen.shape[1] != units or not units:
        raise TorchliquidError(
            f"recurrent has the shape {among.shape}, sensory {seen.shape}: expected (H, H) and "
            "(I, H)"
        )
    outputs = _units(units, outputs)["outputs"]
    named = ("motor",) * outputs + ("inter",) * (units - outputs) if roles is None else tuple(roles)
    right = len(named) == units and named[:outputs] == ("motor",) * outputs
    if not right or not set(named[outputs:]) <= {"command", "inter"}:
        raise TorchliquidError(
            f"roles is {short_repr(named)}: expected {units}, motor for the first {outputs}, then "
            "command or inter"
        )
    return Given(_plain(among), _plain(seen), outputs, named)


def from_json(facts: Any) -> Wiring:
    """Return the wiring that `Wiring.to_json` wrote.

    Raises:
        TorchliquidError: it is something else.
    """
    kinds = {"FullyConnected": FullyConnected, "Random": Random, "NCP": NCP}
    try:
        given = dict(facts)
        kind = given.pop("kind")
        if kind == "Given":
            return from_adjacency(given["edges"], given["inputs"], given["outputs"], given["named"])
        wiring: Wiring = kinds[kind](**given)
    except (KeyError, TypeError, ValueError) as error:
        raise TorchliquidError(f"{short_repr(facts)} is no wiring ({error})") from error
    return wiring


def _plain(table: NDArray[Any]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(map(int, row)) for row in table)


def _set(wiring: Any, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(wiring, name, value)


def _frozen(table: Polarities) -> Polarities:
    table.flags.writeable = False
    return table


def _whole(name: str, value: Any) -> int:
    """A whole number, which may be 0."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TorchliquidError(f"{name} is {short_repr(value)}: give a whole number")
    return int(value)


def _units(units: Any, outputs: Any) -> dict[str, int]:
    units = check_at_most("units", units, LARGEST)
    outputs = units if outputs is None else check_at_most("outputs", outputs, LARGEST)
    if outputs > units:
        raise TorchliquidError(f"outputs is {outputs}: {units} units have at most as many")
    return {"units": units, "outputs": outputs}


def _polarities(seed: int, which: int, shape: tuple[int, int]) -> Polarities:
    """Polarities of all synapses of a table."""
    rng = np.random.default_rng([seed, which])
    return np.where(rng.random(shape) < EXCITED, 1, -1).astype(np.int8)


def _signs(rng: np.random.Generator, count: int) -> Polarities:
    return np.where(rng.random(count) < 0.5, 1, -1).astype(np.int8)


def _fanned(rng: np.random.Generator, sources: int, targets: int, fan_out: int) -> Polarities:
    """Synapses from each source to so many targets; no target is left without one."""
    found = np.zeros((sources, targets), np.int8)
    for source in range(sources):
        chosen = rng.permutation(targets)[:fan_out]
        found[source, chosen] = _signs(rng, fan_out)
    mean = max(1, round(sources * fan_out / targets))
    for target in _without(found):
        chosen = rng.permutation(sources)[: min(mean, sources)]
        found[chosen, target] = _signs(rng, len(chosen))
    return found


def _without(table: Polarities) -> Iterator[int]:
    """Targets that no source reaches."""
    return (int(k) for k in np.flatnonzero(~table.any(axis=0)))
