"""What a model's inputs and outputs mean: columns, units, and whether it predicts changes.

A network is trained on scaled numbers. Its user has volts and degrees: a model that carries
its scaling can be given those.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

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
        dt_unit: how long a dt of 1 is, in words, such as ``"600 seconds"``; None: not known.

    >>> volts = Column("volts", offset=12.0, scale=0.5)
    >>> scaling = Scaling((volts,), (volts,))
    >>> Scaling.from_json(scaling.to_json()) == scaling
    True
    """

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    change: float | None = None
    dt_unit: str | None = None

    def __post_init__(self) -> None:
        if self.dt_unit is not None and not isinstance(self.dt_unit, str):
            raise TorchliquidError(f"dt_unit is {short_repr(self.dt_unit)}: give text, or None")
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

    def encode(self, physical: Any) -> Any:
        """Scale physical inputs for the model.

        Args:
            physical: a tensor or array ``(..., I)``, each feature in its column's unit.

        Returns:
            The model's inputs, of the same kind and shape.

        Raises:
            TorchliquidError: it has another number of features.
        """
        values = _last(physical, len(self.inputs), "physical")
        offset, scale = _like(values, self.inputs)
        return (values - offset) / scale

    def decode(self, outputs: Any, inputs: Any = None) -> Any:
        """Return the model's outputs in physical units.

        Args:
            outputs: what the model gave, ``(..., O)``.
            inputs: what it was given, ``(..., I)``: needed where it outputs changes.

        Returns:
            Physical values ``(..., O)``, of the same kind.

        Raises:
            TorchliquidError: a shape does not fit, or the inputs are missing.

        >>> import numpy as np
        >>> volts = Column("volts", offset=12.0, scale=0.5)
        >>> scaling = Scaling((volts,), (volts,), change=0.1)
        >>> x = scaling.encode(np.array([[12.5], [13.0]]))
        >>> scaling.decode(np.array([[0.0], [10.0]]), x)
        array([[12.5],
               [13.5]])
        """
        values = _last(outputs, len(self.outputs), "outputs")
        if self.change is not None:
            if inputs is None:
                raise TorchliquidError(
                    "inputs is None: the model outputs the change of its first input, so give what "
                    "it was given"
                )
            values = _last(inputs, len(self.inputs), "inputs")[..., :1] + self.change * values
        offset, scale = _like(values, self.outputs)
        return offset + scale * values

    def words(self) -> str:
        """Return in a line what goes in and what comes out."""
        given = ", ".join(f"{c.name} = {c.offset:.4g} + {c.scale:.4g} x" for c in self.inputs[:4])
        more = ", ..." if len(self.inputs) > 4 else ""
        names = ", ".join(column.name for column in self.outputs)
        of = f"changes of {names}" if self.change is not None else names
        words = f"scaled inputs ({given}{more}), scaled outputs ({of}): see scaling.encode, decode"
        return words if self.dt_unit is None else f"{words}; dt in units of {self.dt_unit}"

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
            if set(facts) - {"dt_unit"} != {"inputs", "outputs", "change"}:
                raise TorchliquidError(f"scaling has the keys {short_repr(sorted(facts))}")
            inputs, outputs = (
                tuple(Column(**_named(column)) for column in facts[side])
                for side in ("inputs", "outputs")
            )
            return cls(inputs, outputs, facts["change"], facts.get("dt_unit"))
        except TypeError as error:
            raise TorchliquidError(f"scaling is {short_repr(facts)}: {error}") from error


def _last(values: Any, size: int, name: str) -> Any:
    """A tensor or array whose last dimension has a size."""
    kept = values if isinstance(values, Tensor) else np.asarray(values)
    if not kept.ndim or kept.shape[-1] != size:
        raise TorchliquidError(
            f"{name} has the shape {tuple(kept.shape)}: expected {size} in the last dimension"
        )
    return kept


def _like(values: Any, columns: tuple[Column, ...]) -> tuple[Any, Any]:
    """Offset and scale of columns, as what they are to be combined with."""
    offset, scale = [c.offset for c in columns], [c.scale for c in columns]
    if isinstance(values, Tensor):
        return values.new_tensor(offset), values.new_tensor(scale)
    return np.array(offset), np.array(scale)


def _named(column: Any) -> Mapping[str, Any]:
    if not isinstance(column, Mapping) or set(column) != {"name", "offset", "scale"}:
        raise TorchliquidError(f"a column is {short_repr(column)}: expected name, offset and scale")
    return column
