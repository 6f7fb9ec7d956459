"""What a model's inputs and outputs mean: columns, units, and whether it predicts changes.

A network is trained on scaled numbers. Its user has volts and degrees: a model that carries
its scaling can be given those.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torchliquid.errors import TorchliquidError
from torchliquid.messages import short_repr


@dataclass(frozen=True)
class Column:
    """One input or output: ``physical = offset + scale * number``.

    Args:
        name: what it is.
        offset: in the column's unit; mostly its mean in training.
        scale: in the column's unit, positive; mostly its standard deviation in training.
    """

    name: str
    offset: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TorchliquidError(
                f"name is {short_repr(self.name)}: give the column's name as text"
            )
        for name in ("offset", "scale"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or (name == "scale" and value <= 0):
                kind = "a positive number" if name == "scale" else "a finite number"
                raise TorchliquidError(f"{name} of {self.name} is {short_repr(value)}: give {kind}")


@dataclass(frozen=True)
class Scaling:
    """Between a model's numbers and physical ones.

    Args:
        inputs: a column for each of the I input features.
        outputs: a column for each of the O outputs.
        change: where set, the model outputs the change of its first input, in units of this:
            ``number = inputs[0] + change * output``; it has one output, a column scaled like the
            first input.

    >>> volts = Column("volts", offset=12.0, scale=0.5)
    >>> scaling = Scaling((volts,), (volts,))
    >>> Scaling.from_json(scaling.to_json()) == scaling
    True
    """

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    change: float | None = None

    def __post_init__(self) -> None:
        for name, columns in (("inputs", self.inputs), ("outputs", self.outputs)):
            if not columns or not all(isinstance(column, Column) for column in columns):
                raise TorchliquidError(f"{name} is {short_repr(columns)}: give a Column for each")
        if self.change is None:
            return
        Column("change", 0.0, self.change)
        ours = [(column.offset, column.scale) for column in (self.inputs[0], self.outputs[0])]
        if len(self.outputs) > 1 or ours[0] != ours[1]:
            raise TorchliquidError(
                "a model that outputs the change of its first input has one output, scaled like "
                "that input: give such a column"
            )

    def check(self, inputs: int, outputs: int) -> None:
        """That it has as many columns as a model with I inputs and O outputs."""
        if (len(self.inputs), len(self.outputs)) != (inputs, outputs):
            raise TorchliquidError(
                f"scaling has {len(self.inputs)} inputs and {len(self.outputs)} outputs: the model "
                f"has {inputs} and {outputs}"
            )

    def to_json(self) -> dict[str, Any]:
        """The same in JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: Any) -> "Scaling":
        """What `to_json` gave.

        Raises:
            TorchliquidError: it is something else.
        """
        try:
            if set(facts) != {"inputs", "outputs", "change"}:
                raise TorchliquidError(f"scaling has the keys {short_repr(sorted(facts))}")
            inputs, outputs = (
                tuple(Column(**_named(column)) for column in facts[side])
                for side in ("inputs", "outputs")
            )
            return cls(inputs, outputs, facts["change"])
        except TypeError as error:
            raise TorchliquidError(f"scaling is {short_repr(facts)}: {error}") from error


def _named(column: Any) -> Mapping[str, Any]:
    if not isinstance(column, Mapping) or set(column) != {"name", "offset", "scale"}:
        raise TorchliquidError(f"a column is {short_repr(column)}: expected name, offset and scale")
    return column
