"""Loops over the leading axis, with state, as Theano writes them: scan and what is built on it.

`scan` traces its step once and makes one node of it (`symtensor.ops.scan_primitive`). Taps, `until`,
`go_backwards`, `truncate_gradient` and updates of variables are what it puts on top.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from symtensor.errors import AttributeValueError, DTypeError, ShapeError
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import bool_
from symtensor.ir.graph import replace_nodes, toposort
from symtensor.ir.node import Node, current_serial
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import unify_dims
from symtensor.ops import joining, movement, slicing
from symtensor.ops.attributes import as_dim, as_flag, as_int, as_items
from symtensor.ops.bodies import (
    body_graph,
    check_call,
    check_callable,
    close_body,
    depends_on,
    fresh_placeholders,
)
from symtensor.ops.build import TensorLike, apply_multi, as_tensor, cast_to, is_weak
from symtensor.ops.scan_primitive import SCAN, count_up
from symtensor.ops.variables import Variable


class until:  # noqa: N801  (read as a word: return outputs, until(condition))
    """Ends a scan after the step in which `condition` is true; that step is kept."""

    def __init__(self, condition: TensorLike) -> None:
        self.condition = condition


@dataclass(slots=True)
class _Recurrence:
    """One output of the step: how its earlier values enter."""

    taps: list[int]
    initial: list[Tensor]
    """Initial values: of one step back, two steps back, …"""
    weak: bool
    """The initial value is a Python number: its dtype follows the step's."""


def scan(
    fn: Callable[..., Any],
    sequences: Any = (),
    initial: Any = None,
    non_sequences: Any = (),
    n_steps: Any = None,
    go_backwards: bool = False,
    truncate_gradient: int = -1,
    return_list: bool = False,
) -> tuple[Any, dict[Variable, Tensor]]:
    """Call `fn` once per element of the leading axis; return (stacked outputs, updates).

    `fn` receives the slices of `sequences` (for each tap, in order), then earlier outputs (for each
    tap, in order), then `non_sequences`; it may read any other tensor too. It returns the outputs of
    a step, and optionally a dict of variable updates and an `until`.

    `sequences`: tensors, or ``dict(input=x, taps=[-1, 0])``. `initial`, one per output: a tensor or
    number (the output one step back is fed in), ``dict(initial=x, taps=[-2, -1])`` with one row per
    step back and the oldest first, or None for an output that is not fed back. `n_steps`: how many
    steps, an int, a dim or an integer scalar tensor; by default as many as the shortest sequence
    allows.

    Draws of random streams inside `fn` are new in every step. Pass the returned updates on to
    `function`. One output is returned bare unless `return_list`.
    """
    given = _as_list(sequences)
    truncate_gradient = as_int(truncate_gradient, "scan: truncate_gradient", -1)
    if isinstance(n_steps, Tensor):  # a vector as long as the loop says how long it is
        ticks, step = count_up(n_steps), fn
        given, n_steps = [ticks, *given], ticks.shape[0]

        def fn(tick: Tensor, *arguments: Tensor) -> Any:
            return step(*arguments)

    slices, count = _sequence_slices(given, n_steps)
    outer = [as_tensor(x) for x in _as_list(non_sequences)]
    infos = None if initial is None else [_recurrence(x) for x in _as_list(initial)]
    if as_flag(go_backwards, "go_backwards"):
        slices = [movement.flip(x, 0) for x in slices]
    trace = _trace_step(fn, slices, infos or [], outer)
    infos = trace.infos
    stacked, updates = _run(trace, slices, count, truncate_gradient)
    bare = len(stacked) == 1 and not as_flag(return_list, "return_list")
    outputs = stacked[0] if bare else stacked
    return (outputs if stacked else None), updates


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _sequence_slices(sequences: list[Any], n_steps: Any) -> tuple[list[Tensor], Dim]:
    """Return one sequence per tap, all of the same length, and that length."""
    read: list[tuple[Tensor, int, int]] = []
    available: list[Dim] = []
    for item in sequences:
        taps = [0]
        if isinstance(item, dict):
            taps, item = _taps(item, [0]), item.get("input")
        x = as_tensor(item)
        if x.ndim == 0:
            raise ShapeError(
                f"scan: a sequence needs a leading axis, found {x.type}", code="ST0106"
            )
        low, high = min(0, *taps), max(0, *taps)
        available.append(x.shape[0] - high + low)
        read += [(x, tap, low) for tap in taps]
    count = _step_count(available, n_steps)
    out = []
    for x, tap, low in read:
        part = slicing.slice_axis(x, 0, tap - low, tap - low + count)
        out.append(movement.specify_shape(part, [count, *x.shape[1:]]))
    return out, count


def _step_count(available: list[Dim], n_steps: Any) -> Dim:
    """Return how many steps to run: what was asked for, or what the shortest sequence allows."""
    if n_steps is not None:
        count = as_dim(n_steps, "scan: n_steps", 0)
    elif available:
        count = available[0]
        for size in available[1:]:
            count = D.minimum(count, size)
    else:
        raise AttributeValueError("scan: without sequences, n_steps must be given")
    for size in available:
        if D.provably_different(D.maximum(size, count), size):
            raise ShapeError(
                f"scan: n_steps = {count} exceeds the {size} elements of a sequence", code="ST0105"
            )
    return count


def _taps(item: dict[str, Any], otherwise: list[int]) -> list[int]:
    """Return at which steps ``dict(…, taps=…)`` is read."""
    unknown = set(item) - {"input", "initial", "taps"}
    if unknown or not item:
        raise AttributeValueError(
            f"scan: expected a tensor, or a dict of input (or initial) and taps, found {item!r}"
        )
    given = item.get("taps")
    if given is None:
        return otherwise
    taps = [as_int(tap, "scan: taps") for tap in as_items(given, "scan: taps", "integers")]
    return taps or otherwise


def _recurrence(item: Any) -> _Recurrence | None:
    if item is None:
        return None
    taps = [-1]
    if isinstance(item, dict):
        taps = _taps(item, [-1])
        item = item.get("initial")
        if item is None:
            return None
        if any(tap >= 0 for tap in taps) or len(set(taps)) != len(taps):
            raise AttributeValueError(f"scan: output taps must be negative and distinct: {taps}")
    weak = is_weak(item)
    x = as_tensor(item)
    if taps == [-1]:
        return _Recurrence(taps, [x], weak)
    depth = -min(taps)
    if x.ndim == 0 or D.provably_different(x.shape[0], depth):
        raise ShapeError(
            f"scan: taps {taps} need an initial value with {depth} rows, found {x.type}"
        )
    x = movement.specify_shape(x, [depth, *x.shape[1:]])
    return _Recurrence(taps, [x[depth - k] for k in range(1, depth + 1)], False)


@dataclass(slots=True)
class _Trace:
    """A step traced once."""

    infos: list[_Recurrence | None]
    arguments: list[Tensor]
    """Slices, then for each recurrence its past values, newest first."""
    outputs: list[Tensor]
    test: Tensor | None
    states: list[tuple[Variable, Tensor]]
    """Variables updated by the step (explicitly, or draws of random streams) and their next values."""


def _trace_step(
    fn: Callable[..., Any],
    slices: list[Tensor],
    infos: list[_Recurrence | None],
    outer: list[Tensor],
) -> _Trace:
    rows = fresh_placeholders([x.type.with_shape(x.shape[1:]) for x in slices])
    past = [fresh_placeholders([x.type for x in info.initial]) if info else [] for info in infos]
    fed = [values[-tap - 1] for info, values in zip(infos, past, strict=True) if info
           for tap in info.taps]  # fmt: skip
    start = current_serial()
    check_call(fn, "scan: the step", [*rows, *fed, *outer])
    outputs, updates, test = _split_result(fn(*rows, *fed, *outer))
    infos = infos or [None] * len(outputs)
    past = past or [[] for _ in outputs]
    if len(infos) != len(outputs):
        raise ShapeError(
            f"scan: {len(infos)} initial values for {len(outputs)} outputs", code="ST0108"
        )
    adapted = _adapt_weak(infos, outputs)
    if adapted is not None:
        return _trace_step(fn, slices, adapted, outer)
    outputs = [_fit(x, info) for x, info in zip(outputs, infos, strict=True)]
    arguments = [*rows, *(x for values in past for x in values)]
    roots = [x.node for x in outputs] + [t.node for t in updates.values()]
    states = list(updates.items()) + _inner_draws(roots, start, updates)
    return _Trace(infos, arguments, outputs, test, states)


def _split_result(
    result: Any,
) -> tuple[list[Tensor], dict[Variable, Tensor], Tensor | None]:
    """Return the outputs, updates and condition of whatever the step returned."""
    updates: dict[Variable, Tensor] = {}
    test: Tensor | None = None
    parts = list(result) if isinstance(result, tuple) else [result]
    outputs: list[Any] = []
    for part in parts:
        if isinstance(part, until):
            test = cast_to(as_tensor(part.condition), bool_)
        elif isinstance(part, dict):
            updates = {v: as_tensor(x, v.dtype) for v, x in part.items()}
        elif isinstance(part, (list, tuple)):
            outputs += part
        elif part is not None:
            outputs.append(part)
    return [as_tensor(x) for x in outputs], updates, test


def _adapt_weak(
    infos: list[_Recurrence | None], outputs: list[Tensor]
) -> list[_Recurrence | None] | None:
    """Return recurrences whose Python-number initial values have the step's dtype, if any differ."""
    changed = False
    out: list[_Recurrence | None] = []
    for info, x in zip(infos, outputs, strict=True):
        if info is not None and info.weak:
            start = movement.broadcast_to(cast_to(info.initial[0], x.dtype), x.shape)
            if start.type != info.initial[0].type:
                info, changed = _Recurrence(info.taps, [start], False), True
        out.append(info)
    return out if changed else None


def _fit(x: Tensor, info: _Recurrence | None) -> Tensor:
    """Return a step's output in the type of its initial value."""
    if info is None:
        return x
    wanted = info.initial[0].type
    agreed = x.ndim == wanted.ndim and all(
        unify_dims(a, b) is not None for a, b in zip(x.shape, wanted.shape, strict=True)
    )
    if x.dtype is not wanted.dtype:
        raise DTypeError(
            f"scan: the step gives {x.type} for an initial value {wanted}",
            help="cast the initial value or the step's result so that both agree",
            code="ST0207",
        )
    if not agreed:
        raise ShapeError(
            f"scan: the step gives {x.type} for an initial value {wanted}",
            help="the carried value keeps its shape: start with the shape that the step gives",
            code="ST0108",
        )
    return movement.specify_shape(x, wanted.shape)


def _inner_draws(
    roots: list[Node], start: int, updates: Mapping[Variable, Tensor]
) -> list[tuple[Variable, Tensor]]:
    """Return the states of random draws made inside the step, with their next values."""
    explicit = {v.node for v in updates}
    found = []
    for node in toposort(roots):
        if node.op.name != "variable" or node in explicit or node.serial <= start:
            continue
        update = node.attrs["store"].default_update
        if update is not None:
            found.append((Variable(node), update))
    return found


def _run(
    trace: _Trace, slices: list[Tensor], count: Dim, truncate: int
) -> tuple[list[Tensor], dict[Variable, Tensor]]:
    """Build the scan node of a traced step."""
    recurrent = [(i, info) for i, info in enumerate(trace.infos) if info is not None]
    initial = [x for _, info in recurrent for x in info.initial] + [v for v, _ in trace.states]
    rows, past = trace.arguments[: len(slices)], trace.arguments[len(slices) :]
    inner = fresh_placeholders([v.type for v, _ in trace.states])
    swap = {v.node: p.node for (v, _), p in zip(trace.states, inner, strict=True)}
    following: list[Tensor] = []
    offset = 0
    for i, info in recurrent:
        depth = len(info.initial)
        following += [trace.outputs[i], *past[offset : offset + depth - 1]]
        offset += depth
    following += [movement.specify_shape(new, v.shape) for v, new in trace.states]
    roots = [*following, *trace.outputs, *([trace.test] if trace.test is not None else [])]
    roots = [Tensor(n) for n in replace_nodes([x.node for x in roots], swap)]
    arguments = [*past, *inner, *rows]
    varying = depends_on([x.node for x in roots], [x.node for x in arguments])
    nodes, captured = close_body(arguments, roots, varying.__contains__)
    length = D.symbol() if trace.test is not None else count
    results = apply_multi(
        SCAN, *initial, *slices, *map(Tensor, captured),
        body=body_graph(arguments, captured, nodes), carries=len(initial),
        sequences=len(slices), length=length, reverse=False, until=trace.test is not None,
        steps=count, truncate=truncate,
    )  # fmt: skip
    updates: dict[Variable, Tensor] = {}
    first_state = len(past)
    for k, (v, _) in enumerate(trace.states):
        final = results[first_state + k]
        if v.store.default_update is not None:
            v.store.default_update = final  # the draw inside moves on by all steps at once
        else:
            updates[v] = final
    return list(results[len(initial) :]), updates


# --- map, reduce, folds --------------------------------------------------------------------------


def map_(fn: Callable[..., Any], sequences: Any, non_sequences: Any = ()) -> Any:
    """Return `fn` of each element of the leading axis, stacked."""
    return scan(fn, sequences, None, non_sequences)[0]


def reduce(fn: Callable[..., Any], sequences: Any, initial: Any, go_backwards: bool = False) -> Any:
    """Return the last value of ``state = fn(*elements, state)`` over the leading axis."""
    values = _as_list(initial)
    given = [as_tensor(v) for v in values]
    if not given:
        raise AttributeValueError("reduce: expected initial values, found none")
    outputs, _ = scan(fn, sequences, values, go_backwards=go_backwards, return_list=True)
    # no element: the initial value itself
    ends = [
        joining.concatenate([movement.expand_dims(cast_to(v, x.dtype), 0), x])[-1]
        for v, x in zip(given, outputs, strict=True)
    ]
    return ends if isinstance(initial, (list, tuple)) else ends[0]


def foldl(fn: Callable[[Tensor, Tensor], Tensor], x: TensorLike, initial: Any) -> Tensor:
    """Return ``fn(… fn(fn(initial, x[0]), x[1]) …, x[-1])``."""
    check_callable(fn, "foldl: the step")
    result: Tensor = reduce(lambda element, state: fn(state, element), x, initial)
    return result


def foldr(fn: Callable[[Tensor, Tensor], Tensor], x: TensorLike, initial: Any) -> Tensor:
    """Return ``fn(… fn(fn(initial, x[-1]), x[-2]) …, x[0])``."""
    check_callable(fn, "foldr: the step")
    result: Tensor = reduce(
        lambda element, state: fn(state, element), x, initial, go_backwards=True
    )
    return result


__all__ = ["foldl", "foldr", "map_", "reduce", "scan", "until"]
