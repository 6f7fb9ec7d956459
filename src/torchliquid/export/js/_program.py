"""One sample's step as JavaScript, from the nodes that cells write for ONNX.

Every neuron's numbers are expressions of their own: weights stand in the code as literals, what is
constant is computed here, and what is zero is not there. Only large matrices become loops.
"""

import itertools
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from torchliquid.export.onnx._graph import Graph

LARGEST = 2000
"""Products of a matrix that are written one by one; a function of many more is not optimised."""
WIDTH = 100
DIGITS = 9
"""Of a literal: all that single precision has."""
SUM, PRODUCT, ATOM = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Term:
    """An operation on terms and numbers, or a variable that the code has.

    Args:
        op: name of ONNX's operator, ``"Variable"``, ``"Dot"`` (weights and terms in turn), or
            ``"After"`` (a variable that a block sets).
        args: what it is of; of a variable: its name.
        loop: the loop in which it changes.
        block: what sets it.
    """

    op: str
    args: tuple[Any, ...]
    loop: "Block | None" = None
    block: "Block | None" = None


@dataclass(eq=False)
class Block:
    """Statements that stand together: a loop over sub-steps, or a large product.

    Args:
        names: variables that it sets.
        starts: their first values; of a product: what the matrix is multiplied by.
        ends: values after one turn of the loop.
        turns: how often it is run.
        matrix: name of the constant, of a product.
    """

    names: list[str]
    starts: list[Any]
    ends: list[Any] = field(default_factory=list)
    turns: int = 1
    matrix: str = ""


UNARY: dict[str, tuple[Callable[[float], float], str]] = {
    "Sigmoid": (lambda z: 0.5 + 0.5 * math.tanh(0.5 * z), "sigmoid"),
    "Tanh": (math.tanh, "tanh"),
    "Exp": (math.exp, "Math.exp"),
    "Abs": (abs, "Math.abs"),
    "Relu": (lambda z: max(z, 0.0), "relu"),
    "Neg": (lambda z: -z, ""),
    "Reciprocal": (lambda z: 1 / z, ""),
}
BINARY: dict[str, Callable[[float, float], float]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Div": lambda a, b: a / b,
    "Min": min,
    "Less": lambda a, b: float(a < b),
}


class Program(Graph):
    """A graph whose nodes are arrays of terms, of one sequence alone."""

    def __init__(self) -> None:
        super().__init__()
        self.matrices: dict[str, Any] = {}
        self._values: dict[str, Any] = {}
        self._terms: dict[Any, Term] = {}
        self._blocks = 0

    def __call__(self, op: str, *inputs: str, **attributes: Any) -> str:
        """See `Graph`; ``B`` is 1, and not there."""
        return self._named(self._computed(op, [self._values[name] for name in inputs]))

    def variables(self, *names: str) -> str:
        """Return the node of variables that the code has already."""
        return self._named([self._term("Variable", (name,)) for name in names])

    def values(self, name: str) -> list[Any]:
        """Return the terms and numbers of a node."""
        return list(self._values[name])

    def constant(self, name: str, values: Any) -> str:
        """See `Graph`, in double precision."""
        self._values.setdefault(name, np.asarray(values, dtype=np.float64))
        return name

    def number(self, value: float) -> str:
        """See `Graph`, in double precision."""
        return self.constant(f"number_{value!r}", [value])

    def integers(self, *values: int) -> list[str]:
        """See `Graph`."""
        return [self.number(value) for value in values]

    def split(self, z: str, parts: int) -> list[str]:
        """See `Graph`."""
        values = self._values[z]
        size = len(values) // parts
        return [self._named(values[k * size : (k + 1) * size]) for k in range(parts)]

    def repeat(
        self, turns: int, body: Callable[[Sequence[str]], Sequence[str]], states: Sequence[str]
    ) -> list[str]:
        """See `Graph`: a loop, where there is more than one turn."""
        if turns == 1:
            return list(body(states))
        starts = [self._values[state] for state in states]
        sizes = [len(values) for values in starts]
        block = self._block([value for values in starts for value in values], sum(sizes))
        block.turns = turns
        ends = np.cumsum([0, *sizes])
        inside = [Term("Variable", (name,), loop=block) for name in block.names]
        outside = [Term("After", (name,), block=block) for name in block.names]
        pairs = list(itertools.pairwise(ends))
        after = body([self._named(inside[a:b]) for a, b in pairs])
        block.ends = [value for name in after for value in self._values[name]]
        return [self._named(outside[a:b]) for a, b in pairs]

    def _named(self, values: Any) -> str:
        name = f"node_{len(self._values)}"
        self._values[name] = values
        return name

    def _block(self, starts: list[Any], size: int) -> Block:
        self._blocks += 1
        return Block([f"b{self._blocks}_{k}" for k in range(size)], starts)

    def _term(self, op: str, args: tuple[Any, ...]) -> Term:
        """A term, the same one for the same operation on the same."""
        key = (op, tuple(id(a) if isinstance(a, Term) else a for a in args))
        if key not in self._terms:
            self._terms[key] = Term(op, args, _loop_of(args))
        return self._terms[key]

    def _computed(self, op: str, arrays: list[Any]) -> list[Any]:
        if op == "MatMul":
            return self._product(*arrays)
        if op == "Concat":
            return [value for values in arrays for value in values]
        if op == "Slice":
            start, end = (int(part[0]) for part in arrays[1:3])
            return list(arrays[0][start:end])
        size = max(map(len, arrays))
        rows = [list(values) * (size if len(values) == 1 else 1) for values in arrays]
        return [self._made(op, *values) for values in zip(*rows, strict=True)]

    def _product(self, values: Any, weights: Any) -> list[Any]:
        used = np.count_nonzero(weights)
        if used > LARGEST:
            block = self._block(list(values), weights.shape[1])
            block.matrix = f"M{len(self.matrices)}"
            self.matrices[block.matrix] = weights.T
            loop = _loop_of(block.starts)
            return [Term("After", (name,), loop, block) for name in block.names]
        made = []
        for column in weights.T:
            pairs = [(float(w), v) for w, v in zip(column, values, strict=True) if w]
            known = math.fsum(w * v for w, v in pairs if not isinstance(v, Term))
            parts = [part for pair in pairs if isinstance(pair[1], Term) for part in pair]
            dot = self._term("Dot", tuple(parts)) if parts else 0.0
            made.append(self._made("Add", known, dot))
        return made

    def _made(self, op: str, *args: Any) -> Any:
        """A term or, of numbers alone, a number; what changes nothing is left out."""
        args = tuple(a if isinstance(a, Term) else float(a) for a in args)
        if not any(isinstance(a, Term) for a in args):
            if op == "Where":
                return args[1] if args[0] else args[2]
            return UNARY[op][0](*args) if op in UNARY else BINARY[op](*args)
        if op in UNARY or op in ("Min", "Less", "Where"):
            return self._term(op, args)
        a, b = args
        if op in ("Add", "Mul") and not isinstance(b, Term):
            a, b = b, a  # the number first
        if (op == "Add" and a == 0) or (op == "Mul" and a == 1):
            return b
        if (op == "Sub" and b == 0) or (op == "Div" and b == 1):
            return a
        if op in ("Mul", "Div") and a == 0:
            return 0.0
        if op in ("Add", "Mul") and _has_number(b, op) and not isinstance(a, Term):
            return self._made(op, BINARY[op](a, b.args[0]), b.args[1])
        if op == "Mul" and _has_number(b, op):
            return self._made(op, b.args[0], self._made(op, a, b.args[1]))
        if op == "Mul" and _has_number(a, op):
            return self._made(op, a.args[0], self._made(op, a.args[1], b))
        if op == "Add" and _has_number(b, "Mul") and b.args[0] < 0:
            return self._term("Sub", (a, self._made("Mul", -b.args[0], b.args[1])))
        return self._term(op, (a, b))


def _has_number(value: Any, op: str) -> bool:
    """Whether it is this operation on a number, which stands first, and a term."""
    return isinstance(value, Term) and value.op == op and not isinstance(value.args[0], Term)


def _loop_of(values: Sequence[Any]) -> Block | None:
    return next((v.loop for v in values if isinstance(v, Term) and v.loop), None)


class Writer:
    """Statements that compute terms, each of which stands in the code once."""

    def __init__(self, roots: Sequence[Any], digits: int = DIGITS) -> None:
        self._digits = digits
        self.lines: list[str] = []
        self.helpers: set[str] = set()
        self._uses: dict[Term, int] = {}
        self._names: dict[Term, str] = {}
        self._written: set[Block] = set()
        self._pad = "      "
        self._count(roots)

    def define(self, kind: str, texts: Mapping[str, str]) -> None:
        """Add one statement that declares variables with the texts of their values."""
        self._add(f"{kind} {', '.join(f'{name} = {text}' for name, text in texts.items())};")

    def assign(self, target: str, value: Any) -> None:
        """Add the statement that gives a variable its value."""
        self._add(f"{target} = {self._signed(value)};")

    def _count(self, roots: Sequence[Any]) -> None:
        """How often each term is used; what a loop uses and does not change counts twice.

        Such a term gets a name then, before the loop.
        """
        left: list[tuple[Any, Block | None]] = [(root, None) for root in roots]
        blocks: set[Block] = set()
        while left:
            value, place = left.pop()
            if not isinstance(value, Term):
                continue
            seen = value in self._uses
            self._uses[value] = self._uses.get(value, 0) + (1 if value.loop is place else 2)
            if seen:
                continue
            if value.block is None:
                left += [(arg, value.loop) for arg in value.args]
            elif value.block not in blocks:
                blocks.add(value.block)
                left += [(start, value.loop) for start in value.block.starts]
                left += [(end, value.block) for end in value.block.ends]

    def _add(self, statement: str) -> None:
        self.lines += textwrap.wrap(
            statement, WIDTH, initial_indent=self._pad, subsequent_indent=self._pad + "  ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip

    def _write_block(self, block: Block) -> None:
        self._written.add(block)
        if block.matrix:
            self.helpers.add("product")
            vector = ", ".join(self._signed(start) for start in block.starts)
            array = block.names[0].partition("_")[0]
            self._add(f"const {array} = product({block.matrix}, [{vector}]);")
            self.define("const", {name: f"{array}[{k}]" for k, name in enumerate(block.names)})
            return
        for term in self._before(block):
            self._operand(term)
        starts = [self._signed(start) for start in block.starts]
        self.define("let", dict(zip(block.names, starts, strict=True)))
        self._add(f"for (let k = 0; k < {block.turns}; k++) {{")
        outer, self._pad = self._pad, self._pad + "  "
        for name, end in zip(block.names, block.ends, strict=True):
            self._add(f"const {name}n = {self._signed(end)};")
        for name in block.names:
            self._add(f"{name} = {name}n;")
        self._pad = outer
        self._add("}")

    def _before(self, loop: Block) -> list[Term]:
        """What a loop uses and does not change."""
        found: dict[Term, None] = {}
        seen: set[Term] = set()
        left = list(loop.ends)
        while left:
            term = left.pop()
            if not isinstance(term, Term) or term in seen:
                continue
            seen.add(term)
            if term.loop is not loop:
                found[term] = None
            else:
                left += term.block.starts if term.block else term.args
        return list(found)

    def _operand(self, value: Any) -> tuple[str, int]:
        """The text of a value without its sign, and how closely it binds."""
        if not isinstance(value, Term):
            return number(abs(value), self._digits), ATOM
        if value.op == "Variable":
            return value.args[0], ATOM
        if value.op == "After":
            if value.block and value.block not in self._written:
                self._write_block(value.block)
            return value.args[0], ATOM
        if value not in self._names and self._uses[value] > 1:
            text = self._joined(value)[0]
            self._names[value] = f"t{len(self._names)}"
            self._add(f"const {self._names[value]} = {text};")
        if value in self._names:
            return self._names[value], ATOM
        return self._joined(value)

    def _within(self, value: Any, least: int) -> str:
        """The same with its sign, in brackets where it binds less closely."""
        text, level = self._operand(value)
        if self._negative(value):
            text, level = "-" + text, SUM
        return text if level >= least else f"({text})"

    def _signed(self, value: Any) -> str:
        return self._within(value, SUM)

    @staticmethod
    def _negative(value: Any) -> bool:
        return not isinstance(value, Term) and value < 0

    def _joined(self, term: Term) -> tuple[str, int]:
        op, args = term.op, term.args
        if op == "Dot":
            parts = [
                (w < 0, self._within(v, PRODUCT) if abs(w) == 1
                 else f"{number(abs(w), self._digits)}*{self._within(v, PRODUCT)}")
                for w, v in zip(args[::2], args[1::2], strict=True)
            ]  # fmt: skip
            text = "".join((" - " if minus else " + ") + part for minus, part in parts)
            return ("-" if parts[0][0] else "") + text[3:], PRODUCT if len(parts) == 1 else SUM
        if op in ("Add", "Sub"):
            first, second = self._signed(args[0]), self._within(args[1], PRODUCT * (op == "Sub"))
            if op == "Add" and second.startswith("-"):
                return f"{first} - {second[1:]}", SUM
            if second.startswith("-"):
                second = f"({second})"
            return f"{first} {'+' if op == 'Add' else '-'} {second}", SUM
        if op in ("Mul", "Div"):
            first = self._within(args[0], PRODUCT)
            second = self._within(args[1], PRODUCT if op == "Mul" else ATOM)
            return f"{first}*{second}" if op == "Mul" else f"{first}/{second}", PRODUCT
        texts = [self._signed(arg) for arg in args]
        if op == "Where":
            return f"({texts[0]} ? {texts[1]} : {texts[2]})", ATOM
        if op == "Less":
            return f"{texts[0]} < {texts[1]}", SUM
        if op == "Min":
            return f"Math.min({', '.join(texts)})", ATOM
        if op == "Neg":
            return f"(-{self._within(args[0], PRODUCT)})", ATOM
        if op == "Reciprocal":
            return f"1 / {self._within(args[0], ATOM)}", PRODUCT
        name = UNARY[op][1]
        self.helpers.add(name)
        return f"{name}({texts[0]})", ATOM


def number(value: float, digits: int = DIGITS) -> str:
    """A literal.

    >>> number(0.1), number(-2.0), number(1e-7)
    ('0.1', '-2', '1e-7')
    """
    return f"{value:.{digits}g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
