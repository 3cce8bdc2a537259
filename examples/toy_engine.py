"""A third-party engine: graphs become Python source, which ``exec`` turns into functions.

Elementwise ops are written by their scalar rules, in NumPy calls: the vocabulary of
`symtensor.ops.scalars`, spoken once more. Other ops call their NumPy rules. A ``del`` behind the
last use of a value gives memory back early. Run the file to see the source of a small network;
`tests/test_conformance.py` holds the engine to the conformance kit.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import symtensor as st
from symtensor.engines import CAPABILITIES, bind_sizes
from symtensor.ops.families import Elementwise
from symtensor.ops.interpret import bind_result, evaluate_node, located
from symtensor.ops.scalars import NumpyScalars


class ToyEngine:
    """Compiles graphs to Python functions."""

    name = "toy"

    def capabilities(self) -> frozenset[str]:
        return frozenset(CAPABILITIES)

    def supports(self, node: st.Node) -> bool:
        return isinstance(node.op.family, Elementwise)

    def compile(self, graph: st.Graph) -> ToyExecutable:
        arguments = [*graph.inputs, *graph.variables()]
        return ToyExecutable(arguments, Writer(graph, arguments))


class ToyExecutable:
    """A graph as Python source and the function made of it."""

    def __init__(self, arguments: Sequence[st.Node], writer: Writer) -> None:
        self.arguments, self.writer = arguments, writer
        exec(compile(self.explain(), "<toy engine>", "exec"), self.writer.scope)

    def __call__(self, inputs: Sequence[Any], variables: Sequence[Any]) -> list[Any]:
        arrays = [*inputs, *variables]
        sizes = bind_sizes(self.arguments, arrays)
        try:
            with np.errstate(all="ignore"):
                values = self.writer.scope["run"](sizes, *arrays)
        except Exception as error:  # the line of the source tells which node it was
            frames = traceback.walk_tb(error.__traceback__)
            line = next(n for f, n in frames if f.f_code.co_filename == "<toy engine>")
            raise located(error, self.writer.origin[line], []) from error
        return [np.array(value, order="C") for value in values]

    def explain(self) -> str:
        """Return the program."""
        return "\n".join(self.writer.lines)


class Writer:
    """Writes ``run(sizes, *arguments)`` and collects the objects that its names stand for."""

    def __init__(self, graph: st.Graph, arguments: Sequence[st.Node]) -> None:
        names = {node: f"a{i}" for i, node in enumerate(arguments)}
        steps = [node for node in graph.nodes() if node not in names]
        last_use = {x: i for i, node in enumerate(steps) for x in node.inputs}
        last_use |= dict.fromkeys(graph.roots, len(steps))
        self.scope: dict[str, Any] = dict(say=NumpyScalars(), as_array=np.asarray, rule=rule)
        self.lines = [f"def run({', '.join(['sizes', *names.values()])}):"]
        self.origin: dict[int, st.Node] = {}
        for i, self.node in enumerate(steps):
            operands, first = [names[x] for x in self.node.inputs], len(self.lines)
            write = self.elementwise if isinstance(self.node.op.family, Elementwise) else self.call
            names[self.node] = write(operands)
            done = [names[x] for x in dict.fromkeys(self.node.inputs) if last_use[x] == i]
            done += [f"v{k}" for k in range(first, len(self.lines)) if f"v{k}" != names[self.node]]
            self.lines += [f"    del {name}" for name in done]
        self.lines.append(f"    return [{', '.join(names[root] for root in graph.roots)}]")

    def assign(self, text: str) -> str:
        """Add a line that names the value of an expression; return the name."""
        name = f"v{len(self.lines)}"
        self.lines.append(f"    {name} = {text}  # {self.node.op.name} {self.node.type}")
        self.origin[len(self.lines)] = self.node
        return name

    def constant(self, value: Any) -> str:
        """Return a name for an object."""
        self.scope[name := f"c{len(self.scope)}"] = value
        return name

    def call(self, operands: list[str]) -> str:
        """Write a node as a call of its NumPy rule; return the name of its value."""
        return self.assign(f"rule({', '.join([self.constant(self.node), 'sizes', *operands])})")

    def elementwise(self, operands: list[str]) -> str:
        """Write a node in NumPy calls, by its scalar rule; return the name of its value."""
        values = map(Value, operands, (x.tensor_type.dtype for x in self.node.inputs))
        found = self.node.op.family.scalar(Words(self), *values, **self.node.attrs)
        return self.assign(found.name) if found.name in operands else found.name


def rule(node: st.Node, sizes: dict[Any, int], *arrays: Any) -> Any:
    """Return the value of a node by its NumPy rule."""
    value = evaluate_node(node, arrays, sizes)
    bind_result(node, value, sizes)
    return value


class Value(NamedTuple):
    """A name in the source and the dtype of what it stands for."""

    name: str
    dtype: st.DType


class Words:
    """The scalar vocabulary: each word writes one call and returns the name of its value."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def dtype(self, x: Value) -> st.DType:
        return x.dtype

    def const(self, value: float, dtype: st.DType) -> Value:
        return Value(self.writer.constant(dtype.numpy.type(value)), dtype)

    def cast(self, x: Value, dtype: st.DType) -> Value:
        wanted = self.writer.constant(dtype)
        return Value(self.writer.assign(f"say.cast(as_array({x.name}), {wanted})"), dtype)

    def __getattr__(self, word: str) -> Callable[..., Value]:
        def write(*xs: Any) -> Value:
            names = ", ".join(x.name if isinstance(x, Value) else repr(x) for x in xs)
            dtype = st.bool_ if word in ("lt", "le", "eq", "ne", "signbit") else xs[-1].dtype
            return Value(self.writer.assign(f"say.{word}({names})"), dtype)

        return write


if __name__ == "__main__":
    x, w = st.placeholder((None, 4), name="x"), st.variable(np.ones((4, 2), "f4"), name="w")
    f = st.function([x], st.sigmoid(x @ w), updates=[(w, w * 0.5)], engine=ToyEngine())
    print(f.explain(), f(np.ones((2, 4), "f4")), sep="\n")
