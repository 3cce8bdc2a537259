"""The scan op: a body run step by step over leading axes, with carried state.

The body is closed and runs once per step::

    (carries, slices of the sequences, invariants) -> (next carries, outputs)

The op returns the last carries and the outputs stacked. Its gradient is a scan in the other direction
over the saved carries; cotangents of invariants add up in its carries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from symtensor.errors import AttributeValueError, DTypeError, ShapeError
from symtensor.ir import dims as D
from symtensor.ir import location
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import int64
from symtensor.ir.graph import Graph, replace_nodes, toposort
from symtensor.ir.node import Node
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType
from symtensor.ops import creation, slicing
from symtensor.ops.bodies import (
    body_graph,
    close_body,
    depends_on,
    fresh_placeholders,
    parameters,
)
from symtensor.ops.build import apply, apply_multi
from symtensor.ops.families import Elementwise, View
from symtensor.ops.registry import define


def _infer_scan(
    *types: TensorType, body: Graph, carries: int, sequences: int, length: Dim, reverse: bool,
    until: bool, steps: Dim, truncate: int,
) -> tuple[TensorType, ...]:  # fmt: skip
    outputs = [n.tensor_type for n in body.outputs]
    outputs = outputs[:-1] if until else outputs
    if tuple(outputs[:carries]) != types[:carries]:
        raise ShapeError(
            f"carries {types[:carries]} become {tuple(outputs[:carries])} in a step", code="ST0108"
        )
    for t in types[carries : carries + sequences]:
        if not D.same(t.shape[0], steps):
            raise ShapeError(f"a sequence {t} for {steps} steps")
    stacked = [t.with_shape((length, *t.shape)) for t in outputs[carries:]]
    return (*outputs[:carries], *stacked)


def _evaluate_scan(
    xp: Any, *arrays: Any, body: Any, carries: int, sequences: int, length: Any, reverse: bool,
    until: bool, steps: int, truncate: int,
) -> tuple[Any, ...]:  # fmt: skip
    check_steps(steps)
    state = list(arrays[:carries])
    rows, outer = arrays[carries : carries + sequences], arrays[carries + sequences :]
    collected: list[list[Any]] = []
    for number in range(steps):
        at = steps - 1 - number if reverse else number
        values = body(*state, *(x[at] for x in rows), *outer)
        stop = bool(values.pop()) if until else False
        state = values[:carries]
        collected.append(values[carries:])
        if stop:
            break
    if reverse:
        collected.reverse()
    return (*state, *_stacked(xp, collected, body, arrays, carries, sequences))


def check_steps(steps: int) -> None:
    """Refuse a negative number of steps."""
    if steps < 0:
        raise AttributeValueError(f"expected a number of steps of at least 0, found {steps}")


def _stacked(
    xp: Any, collected: list[list[Any]], body: Any, arrays: Any, carries: int, sequences: int
) -> list[Any]:
    """Return outputs stacked over steps; with no step their shapes come from the body's types."""
    if collected:
        return [xp.stack(column) for column in zip(*collected, strict=True)]
    return [xp.zeros((0, *shape), dtype) for shape, dtype in body.output_types[carries:]]


def _vjp_scan(
    g: Any, y: Any, *xs: Tensor, body: Graph, carries: int, sequences: int, length: Dim,
    reverse: bool, until: bool, steps: Dim, truncate: int, pullback: Callable[[Graph], Graph],
) -> list[Tensor | None]:  # fmt: skip
    attrs = {"carries": carries, "sequences": sequences, "reverse": reverse, "until": until,
             "steps": steps, "truncate": truncate}  # fmt: skip
    pull = pullback(_without_test(body, until))
    kept = _costly_values(body, pull, carries)
    with location.at(y[0].node.inputs[0].loc):  # a part of the way forward, if a wider one
        saved = _saved(xs, body, kept, length, attrs)
    rows = [_first_steps(x, length) for x in xs[carries : carries + sequences]]
    back = _Backward(body, pull, kept, carries, sequences, until)
    return back.run(g, y, xs, saved, rows, length, reverse, truncate)


def _without_test(body: Graph, until: bool) -> Graph:
    return Graph(body.inputs, body.outputs[:-1]) if until else body


def _first_steps(x: Tensor, length: Dim) -> Tensor:
    """Return the part of a sequence that the steps actually run have read."""
    if D.same(x.shape[0], length):
        return x
    zeros, ones = (0,) * x.ndim, (1,) * x.ndim
    lengths = (length, *x.shape[1:])
    return apply(slicing.SLICE, x, starts=zeros, steps=ones, lengths=lengths)


def _costly_values(body: Graph, pull: Graph, carries: int) -> list[Node]:
    """Return the values of a step that its pullback reads and had better not compute again.

    They depend on the state and are no elementwise functions or views of what is there anyway.
    """
    again = toposort(pull.outputs)
    varying = depends_on(body.outputs, body.inputs[:carries])
    kept = (
        _furthest(node, again, varying)
        for node in toposort(body.outputs)
        if node in set(again)
        and node in varying
        and node.inputs
        and isinstance(node.type, TensorType)
        and not isinstance(node.op.family, (Elementwise, View))
    )
    return list(dict.fromkeys(kept))


def _furthest(node: Node, again: Sequence[Node], varying: Set[Node]) -> Node:
    """Return what a step makes of a value, of its type, before the pullback reads anything else of it.

    That is as much to save, and spares computing it again: the sum that a product is added to, say.
    """
    while True:
        readers = [x for x in again if node in x.inputs]
        follows = len(readers) == 1 and readers[0] in varying and readers[0].type == node.type
        if not follows or not isinstance(readers[0].op.family, Elementwise):
            return node
        node = readers[0]


def _saved(
    xs: Sequence[Tensor], body: Graph, kept: list[Node], length: Dim, attrs: Mapping[str, Any]
) -> list[Tensor]:
    """Return the carries that entered each step, and `kept`: outputs of a scan with a wider body.

    It is the forward scan, not a derivative, and says so. Passes see to it that both run once.
    """
    until = attrs["until"]
    plain = body.outputs[:-1] if until else body.outputs
    tail = body.outputs[-1:] if until else ()
    wide = Graph(body.inputs, (*plain, *body.inputs[: attrs["carries"]], *kept, *tail))
    here = location.current()
    with location.at(None if here is None else here.derived("")):
        results = apply_multi(SCAN, *xs, body=wide, length=length, **attrs)
    return list(results[len(plain) :])


@dataclass(frozen=True, slots=True)
class _Backward:
    """Builds the reverse scan of one scan."""

    body: Graph
    pull: Graph
    kept: list[Node]
    """Values of a step that are saved beside its carries."""
    carries: int
    sequences: int
    until: bool

    def run(
        self, g: Any, y: Any, xs: Sequence[Tensor], saved: list[Tensor], rows: list[Tensor],
        length: Dim, reverse: bool, truncate: int,
    ) -> list[Tensor | None]:  # fmt: skip
        floats = [x.dtype.is_floating for x in xs]
        states = range(self.carries)
        outer = range(self.carries + self.sequences, len(xs))
        state_g = [g[i] if g[i] is not None else creation.zeros_like(y[i])
                   for i in states if floats[i]]  # fmt: skip
        sums = [creation.zeros_like(xs[i]) for i in outer if floats[i]]
        fed = [i for i in range(self.carries, len(y)) if g[i] is not None]
        entered, kept = saved[: self.carries], saved[self.carries :]
        slices = [*entered, *rows, *kept, *(g[i] for i in fed)]
        start: Dim = 0
        steps = length
        if truncate >= 0:
            steps = D.minimum(length, truncate)
            start = 0 if reverse else length - steps
            slices = [_cut(x, start, steps) for x in slices]
        invariants = [xs[i] for i in outer]
        body = self._body(y, fed, state_g + sums, slices, invariants)
        results = apply_multi(
            SCAN, *state_g, *sums, *slices, *invariants, body=body,
            carries=len(state_g) + len(sums), sequences=len(slices), length=steps,
            reverse=not reverse, until=False, steps=steps, truncate=-1,
        )  # fmt: skip
        found = iter(results)
        initial = [next(found) if floats[i] else None for i in states]
        invariant_g = [next(found) if floats[i] else None for i in outer]
        row_g = [next(found) if floats[self.carries + i] else None for i in range(self.sequences)]
        whole = [
            None if t is None else _laid_out(t, xs[self.carries + i], start)
            for i, t in enumerate(row_g)
        ]
        return [*initial, *whole, *invariant_g]

    def _body(
        self, y: Any, fed: list[int], state: list[Tensor], slices: list[Tensor],
        invariants: list[Tensor],
    ) -> Graph:  # fmt: skip
        """One step back: the pullback of one step forward, plus the running sums."""
        rows = [x.type.with_shape(x.shape[1:]) for x in slices]
        types = [x.type for x in state] + rows + [x.type for x in invariants]
        params = parameters(types)
        given_state, rest = params[: len(state)], params[len(state) :]
        given_rows, given_outer = rest[: len(rows)], rest[len(rows) :]
        inputs = given_rows[: self.carries + self.sequences] + given_outer
        plain = self.body.outputs[:-1] if self.until else self.body.outputs
        cotangents = self._cotangents(plain, fed, given_state, given_rows)
        mapping = {p: x.node for p, x in zip(self.pull.inputs, [*inputs, *cotangents], strict=True)}
        first = self.carries + self.sequences
        saved = given_rows[first : first + len(self.kept)]
        mapping |= {old: x.node for old, x in zip(self.kept, saved, strict=True)}
        found = [Tensor(n) for n in replace_nodes(self.pull.outputs, mapping)]
        floats = [n.tensor_type.dtype.is_floating for n in self.body.inputs]
        n_state = sum(floats[: self.carries])
        n_rows = sum(floats[self.carries : self.carries + self.sequences])
        state_out = found[:n_state]
        sums = [
            a + b for a, b in zip(given_state[n_state:], found[n_state + n_rows :], strict=True)
        ]
        outputs = [*state_out, *sums, *found[n_state : n_state + n_rows]]
        return Graph(tuple(p.node for p in params), tuple(x.node for x in outputs))

    def _cotangents(
        self, plain: Sequence[Node], fed: list[int], state: list[Tensor], rows: list[Tensor]
    ) -> list[Tensor]:
        """Return the cotangents of one step's float outputs; zeros where nothing flows."""
        state_iter = iter(state)
        fed_rows = dict(zip(fed, rows[len(rows) - len(fed) :], strict=True))
        out = []
        for i, node in enumerate(plain):
            if not node.tensor_type.dtype.is_floating:
                continue
            if i < self.carries:
                out.append(next(state_iter))
            elif i in fed_rows:
                out.append(fed_rows[i])
            else:
                out.append(creation.zeros(node.tensor_type.shape, node.tensor_type.dtype))
        return out


def _cut(x: Tensor, start: Dim, steps: Dim) -> Tensor:
    starts = (start, *(0,) * (x.ndim - 1))
    lengths = (steps, *x.shape[1:])
    return apply(slicing.SLICE, x, starts=starts, steps=(1,) * x.ndim, lengths=lengths)


def _laid_out(t: Tensor, like: Tensor, start: Dim) -> Tensor:
    """Return a sequence's cotangent at full length, zeros where no step read it."""
    if D.same_shape(t.shape, like.shape):
        return t
    return slicing.place(t, like.shape, (start, *(0,) * (t.ndim - 1)), (1,) * t.ndim)


SCAN = define(
    "scan",
    infer=_infer_scan,
    evaluate=_evaluate_scan,
    vjp=_vjp_scan,
    bodies=("body",),
    doc="A body run step by step over leading axes, with carried state.",
)


def _infer_count_up(steps: TensorType, *, length: Dim) -> TensorType:
    if steps.ndim or not steps.dtype.is_integer:
        raise DTypeError(f"expected a number of steps, an integer scalar, found {steps}")
    return TensorType(int64, (length,))


def _evaluate_count_up(xp: Any, steps: Any, *, length: int | None) -> Any:
    check_steps(int(steps))
    return xp.arange(int(steps), dtype=xp.int64)


COUNT_UP = define(
    "count_up",
    infer=_infer_count_up,
    evaluate=_evaluate_count_up,
    doc="0, 1, … for each step of a loop whose number of steps is data.",
)


def count_up(steps: Tensor) -> Tensor:
    """Return 0, 1, … below an integer scalar; a negative one is an error when it runs."""
    return apply(COUNT_UP, steps, length=D.symbol())


def scan_states(
    step: Callable[..., Sequence[Tensor]], initial: Sequence[Tensor], steps: Dim
) -> list[Tensor]:
    """Return the last of the states that `step` makes from `initial` in `steps` steps."""
    arguments = fresh_placeholders([x.type for x in initial])
    following = list(step(*arguments))
    varying = depends_on([x.node for x in following], [x.node for x in arguments])
    roots, captured = close_body(arguments, following, varying.__contains__)
    results = apply_multi(
        SCAN, *initial, *map(Tensor, captured), body=body_graph(arguments, captured, roots),
        carries=len(initial), sequences=0, length=steps, reverse=False, until=False, steps=steps,
        truncate=-1,
    )  # fmt: skip
    return list(results)
