"""Nodes of an ONNX graph, and the constants they use."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


class Graph:
    """Nodes in order, and the constants they use."""

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self._prefix = prefix
        self._count = 0

    def __call__(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; give the name of its output."""
        self._count += 1
        return self.named(f"{self._prefix}{op}_{self._count}", op, *inputs, **attributes)

    def named(self, output: str, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node whose output has this name."""
        from onnx import helper

        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, name: str, values: Any) -> str:
        """A constant in single precision."""
        from onnx import numpy_helper

        if name not in self.constants:
            array = np.asarray(values, dtype=np.float32)
            self.constants[name] = numpy_helper.from_array(array, name)
        return name

    def number(self, value: float) -> str:
        """A constant that is one number."""
        return self.constant(f"number_{np.float32(value)!s}", value)

    def split(self, z: str, parts: int) -> list[str]:
        """Split a node's last axis into equal parts; return their names."""
        from onnx import helper

        names = [f"{z}_{k}" for k in range(parts)]
        self.nodes.append(helper.make_node("Split", [z], names, name=f"{z}_split", axis=-1))
        return names

    def repeat(
        self, turns: int, body: Callable[[Sequence[str]], Sequence[str]], states: Sequence[str]
    ) -> list[str]:
        """Add the nodes of a body that takes and gives states, as often as said."""
        for _ in range(turns):
            states = body(states)
        return list(states)

    def integers(self, *values: int) -> list[str]:
        """Constants that are one integer each."""
        from onnx import numpy_helper

        names = [f"whole_{value}" for value in values]
        for name, value in zip(names, values, strict=True):
            self.constants[name] = numpy_helper.from_array(np.array([value], np.int64), name)
        return names
