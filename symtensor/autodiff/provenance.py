"""Why a gradient is missing: where the paths from a loss to a tensor end.

`why_no_gradient` goes back from the loss as `gradients` does, asks each op's own rule what it passes
on, and collects the places where nothing is. It builds nodes that nobody keeps and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from symtensor.autodiff.gradients import apply_vjp, carries, tensors_of
from symtensor.errors import GradientError, Operand
from symtensor.ir.graph import toposort
from symtensor.ir.node import RESULT, Node, format_type
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType
from symtensor.ops import creation
from symtensor.ops.bodies import depends_on

SHOWN = 10
"""Ends of paths that a text shows."""


@dataclass(frozen=True, slots=True)
class PathEnd:
    """A node that the loss depends on and that passes no gradient on towards the tensor."""

    node: Node
    reason: str
    path: tuple[Node, ...]
    """From the node to the loss."""

    def __str__(self) -> str:
        where = f" at {self.node.loc.describe()}" if self.node.loc else ""
        chain = " -> ".join(node.op.name for node in self.path if node.op is not RESULT)
        return f"{self.node.op.name}{where}\n    {self.reason}\n    on the path {chain}"


@dataclass(frozen=True, slots=True)
class Provenance:
    """What connects a tensor with a loss."""

    tensor: Tensor
    connected: bool
    """True when a gradient flows, on one path at least."""
    reached: bool
    """True when the loss depends on the tensor at all."""
    ends: list[PathEnd] = field(default_factory=list)
    """Where paths end, nearest to the loss first."""
    namesakes: list[Node] = field(default_factory=list)
    """Other placeholders and variables of the tensor's name that the loss reads."""

    @property
    def fact(self) -> str:
        """What holds, in one sentence."""
        if self.connected:
            return f"a gradient flows to {self.tensor!r}"
        if self.reached:
            return f"the loss depends on {self.tensor!r}, and no path carries a gradient"
        return f"the loss does not depend on {self.tensor!r}"

    @property
    def notes(self) -> list[Operand]:
        """Each reason with the line that it is about."""
        ends = [Operand(end.reason, end.node.loc) for end in self.ends[:SHOWN]]
        same = [f"the loss reads this other {x.op.name} {x.name!r}" for x in self.namesakes]
        others = zip(same, self.namesakes, strict=True)
        return ends + [Operand(text, node.loc) for text, node in others]

    def __str__(self) -> str:
        lines = [self.fact]
        lines += [f"  {end}" for end in self.ends[:SHOWN]]
        if len(self.ends) > SHOWN:
            lines.append(f"  and {len(self.ends) - SHOWN} more")
        for node in self.namesakes:
            where = f" at {node.loc.describe()}" if node.loc else ""
            lines.append(f"  the loss reads another {node.op.name} of this name{where}")
        return "\n".join(lines)


def why_no_gradient(
    loss: Tensor, tensor: Tensor, consider_constant: Sequence[Tensor] = ()
) -> Provenance:
    """Return where the paths from `loss` to `tensor` stop carrying a gradient; print it to read it.

    `consider_constant` is as for `gradients`.
    """
    for what in (loss, tensor):
        if not isinstance(what, Tensor):
            raise GradientError(f"why_no_gradient: expected two tensors, found {what!r}")
    constants = {x.node for x in tensors_of(consider_constant, "to take as constant")}
    return trace(tensor, {loss.node}, constants)


def trace(tensor: Tensor, roots: set[Node], constants: set[Node]) -> Provenance:
    """Return the provenance of a tensor's gradient from several roots at once."""
    order = toposort(roots)
    target = tensor.node
    if target not in set(order):
        same = [x for x in order if x.name and x.name == tensor.name and not x.inputs]
        return Provenance(tensor, connected=False, reached=False, namesakes=same)
    dependent = depends_on(order, [target])
    behind: dict[Node, Node | None] = {root: None for root in roots if root in dependent}
    ends: dict[Node, PathEnd] = {}
    for node in reversed(order):
        if node in behind and not carries(node):  # only a root can be such a node here
            ends[node] = PathEnd(node, _no_float(node), (node,))
        elif node in behind and node is not target:
            for x, reason in _passed(node, dependent, constants).items():
                if reason is None:
                    behind.setdefault(x, node)
                else:
                    at = node if carries(x) else x
                    ends.setdefault(at, PathEnd(at, reason, _path(at, node, behind)))
    return Provenance(tensor, target in behind, True, list(ends.values()))


def _path(start: Node, node: Node, behind: dict[Node, Node | None]) -> tuple[Node, ...]:
    path = [] if start is node else [start]
    step: Node | None = node
    while step is not None:
        path.append(step)
        step = behind[step]
    return tuple(path)


def _passed(node: Node, dependent: set[Node], constants: set[Node]) -> dict[Node, str | None]:
    """Return the inputs that matter, each with the reason why nothing goes there, or None."""
    inputs = [x for x in node.inputs if x in dependent]
    if node in constants:
        return dict.fromkeys(inputs, "is in consider_constant")
    if node.op is RESULT:
        return dict.fromkeys(inputs)
    try:
        terms = _terms(node)
    except GradientError as error:
        return dict.fromkeys(inputs, error.message)
    out: dict[Node, str | None] = {}
    for position, (x, term) in enumerate(zip(node.inputs, terms, strict=True)):
        if x not in dependent or out.get(x, "") is None:
            continue
        if not carries(x):
            out[x] = _no_float(x)
        elif term is None:
            out[x] = f"{node.op.name} passes no gradient on to its operand {position}"
        else:
            out[x] = None
    return out


def _no_float(node: Node) -> str:
    return f"{node.op.name} gives {format_type(node.type)}: only floats carry gradients"


def _terms(node: Node) -> Sequence[Tensor | None]:
    """Return what a node's rule makes of a cotangent of ones."""
    types = (node.type,) if isinstance(node.type, TensorType) else node.type
    ones: list[Any] = [
        creation.ones(t.shape, t.dtype) if t.dtype.is_floating else None for t in types
    ]
    return apply_vjp(node, ones[0] if isinstance(node.type, TensorType) else tuple(ones))
