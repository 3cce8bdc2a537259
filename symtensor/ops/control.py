"""Lazy conditionals and loops whose number of steps is data.

``cond`` runs only the branch taken. ``while_loop`` runs until its condition fails; with `max_steps`
it becomes a scan, and then it has a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from symtensor.errors import DTypeError, GradientError, ShapeError
from symtensor.ir.dtypes import bool_
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node, current_serial
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, unify_dims
from symtensor.ops import creation, movement
from symtensor.ops.attributes import as_dim
from symtensor.ops.bodies import body_graph, check_call, close_body, fresh_placeholders, made_after
from symtensor.ops.build import apply_multi, as_tensor, cast_to, weak_promote
from symtensor.ops.registry import define
from symtensor.ops.scan_primitive import scan_states

# --- nested outputs ------------------------------------------------------------------------------


def flatten(value: Any, leaves: list[Any]) -> Any:
    """Append the leaves of nested lists, tuples and dicts; return the nesting."""
    if isinstance(value, dict):
        return {key: flatten(part, leaves) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(flatten(part, leaves) for part in value)
    leaves.append(value)
    return None


def unflatten(structure: Any, leaves: list[Any]) -> Any:
    """Return the nesting with leaves taken from the front of `leaves`."""
    if isinstance(structure, dict):
        return {key: unflatten(part, leaves) for key, part in structure.items()}
    if isinstance(structure, (list, tuple)):
        return type(structure)(unflatten(part, leaves) for part in structure)
    return leaves.pop(0)


# --- cond ----------------------------------------------------------------------------------------


def _infer_cond(
    predicate: TensorType, *operands: TensorType, then_body: Graph, else_body: Graph
) -> tuple[TensorType, ...]:
    if not predicate.dtype.is_bool or predicate.ndim:
        raise DTypeError(f"expected a bool scalar as predicate, found {predicate}", code="ST0202")
    out = tuple(n.tensor_type for n in then_body.outputs)
    if out != tuple(n.tensor_type for n in else_body.outputs):
        raise ShapeError("both branches must give the same types", code="ST0108")
    for body in (then_body, else_body):
        if tuple(n.tensor_type for n in body.inputs) != operands:
            raise ShapeError("the operands do not fit the branch")
    return out


def _evaluate_cond(
    xp: Any, predicate: Any, *operands: Any, then_body: Any, else_body: Any
) -> tuple[Any, ...]:
    return tuple((then_body if predicate else else_body)(*operands))


def _vjp_cond(
    g: Any, y: Any, predicate: Tensor, *operands: Tensor, then_body: Graph, else_body: Graph,
    pullback: Callable[[Graph], Graph],
) -> tuple[Tensor | None, ...]:  # fmt: skip
    floats = [i for i, t in enumerate(y) if t.dtype.is_floating]
    cotangents = [g[i] if g[i] is not None else creation.zeros_like(y[i]) for i in floats]
    found = iter(
        apply_multi(
            COND,
            predicate,
            *operands,
            *cotangents,
            then_body=pullback(then_body),
            else_body=pullback(else_body),
        )
    )
    return (None, *(next(found) if x.dtype.is_floating else None for x in operands))


COND = define(
    "cond",
    infer=_infer_cond,
    evaluate=_evaluate_cond,
    vjp=_vjp_cond,
    bodies=("then_body", "else_body"),
    doc="The results of one of two bodies; only the one taken runs.",
)


def cond(predicate: Any, then: Any, otherwise: Any, *operands: Any) -> Any:
    """Return what `then` gives where the scalar `predicate` is true, else what `otherwise` gives.

    Both are functions of `operands` (which may also read tensors from outside), or tensors. Only the
    branch taken is computed. Results may be nested; both branches must give the same nesting, and
    types that agree.
    """
    test = cast_to(as_tensor(predicate), bool_)
    if test.ndim:
        raise ShapeError(f"cond: expected a scalar predicate, found {test.type}",
                         help="use symtensor.where for an elementwise choice", code="ST0106")  # fmt: skip
    given = [as_tensor(x) for x in operands]
    arguments = fresh_placeholders([x.type for x in given])
    start = current_serial()
    first, structure, lazy_first = _trace(then, arguments)
    second, other, lazy_second = _trace(otherwise, arguments)
    if str(structure) != str(other) or len(first) != len(second):
        raise ShapeError("cond: the branches return different nestings", code="ST0108")
    first, second = _agree(first, second)
    # a branch given as tensors is computed inside, down to its leaves: that is what lazy means
    roots_first, captured = close_body(arguments, first, made_after(-1 if lazy_first else start))
    roots_second, more = close_body(arguments, second, made_after(-1 if lazy_second else start))
    outer = list(dict.fromkeys([*captured, *more]))
    results = apply_multi(
        COND,
        test,
        *given,
        *map(Tensor, outer),
        then_body=body_graph(arguments, outer, roots_first),
        else_body=body_graph(arguments, outer, roots_second),
    )
    return unflatten(structure, list(results))


def _trace(branch: Any, arguments: Sequence[Tensor]) -> tuple[list[Any], Any, bool]:
    """Return a branch's leaves, their nesting, and whether it was given as tensors."""
    lazy = not callable(branch) or isinstance(branch, Tensor)
    if not lazy:
        check_call(branch, "the branch", arguments)
    leaves: list[Any] = []
    structure = flatten(branch if lazy else branch(*arguments), leaves)
    return leaves, structure, lazy


def _agree(first: list[Any], second: list[Any]) -> tuple[list[Tensor], list[Tensor]]:
    """Return both branches' leaves with equal dtypes and, by guards, equal shapes."""
    left, right = [], []
    for a, b in zip(first, second, strict=True):
        dtype = weak_promote([a, b])
        x, y = (cast_to(as_tensor(v, dtype), dtype) for v in (a, b))
        dims = (
            [unify_dims(p, q) for p, q in zip(x.shape, y.shape, strict=True)]
            if x.ndim == y.ndim
            else [None]
        )
        if None in dims:
            raise ShapeError(f"cond: the branches give {x.type} and {y.type}", code="ST0108")
        left.append(movement.specify_shape(x, dims))
        right.append(movement.specify_shape(y, dims))
    return left, right


# --- while ---------------------------------------------------------------------------------------


def _infer_while(
    *types: TensorType, condition: Graph, body: Graph, count: int
) -> tuple[TensorType, ...]:
    if tuple(n.tensor_type for n in body.outputs) != types[:count]:
        raise ShapeError("the loop body must keep the types of its state", code="ST0108")
    return types[:count]


def _evaluate_while(
    xp: Any, *arrays: Any, condition: Any, body: Any, count: int
) -> tuple[Any, ...]:
    state, outer = list(arrays[:count]), arrays[count:]
    while condition(*state, *outer)[0]:
        state = body(*state, *outer)
    return tuple(state)


def _vjp_while(g: Any, y: Any, *xs: Tensor, **attrs: Any) -> tuple[None, ...]:
    raise GradientError(
        "a while_loop without a bound on its steps has no gradient",
        help="pass max_steps=n",
        code="ST0605",
    )


WHILE = define(
    "while",
    infer=_infer_while,
    evaluate=_evaluate_while,
    vjp=_vjp_while,
    bodies=("condition", "body"),
    doc="A state put through a body while a condition on it holds.",
)


def while_loop(
    condition: Callable[..., Any],
    body: Callable[..., Any],
    initial: Any,
    max_steps: Any = None,
) -> Any:
    """Return the first state, starting from `initial`, for which `condition` fails.

    `condition` and `body` are functions of the state's tensors; `body` returns the next state in the
    same nesting. With `max_steps` the loop ends there at the latest and has a gradient; its memory
    grows with `max_steps`.
    """
    leaves: list[Any] = []
    structure = flatten(initial, leaves)
    state = [as_tensor(x) for x in leaves]
    if max_steps is not None:
        return unflatten(structure, _bounded(condition, body, state, max_steps))
    arguments = fresh_placeholders([x.type for x in state])
    start = current_serial()
    test = _condition(condition, arguments)
    following = _next_state(body, arguments)
    inside = made_after(start)
    test_roots, captured = close_body(arguments, [test], inside)
    body_roots, more = close_body(arguments, following, inside)
    outer: list[Node] = list(dict.fromkeys([*captured, *more]))
    results = apply_multi(
        WHILE,
        *state,
        *map(Tensor, outer),
        condition=body_graph(arguments, outer, test_roots),
        body=body_graph(arguments, outer, body_roots),
        count=len(state),
    )
    return unflatten(structure, list(results))


def _condition(condition: Callable[..., Any], state: Sequence[Tensor]) -> Tensor:
    """Return what says whether a loop goes on: a bool scalar."""
    check_call(condition, "the condition", state)
    test = cast_to(as_tensor(condition(*state)), bool_)
    if test.ndim:
        raise ShapeError(
            f"while_loop: expected a scalar condition, found {test.type}",
            help="reduce it with symtensor.all or any",
            code="ST0106",
        )
    return test


def _next_state(body: Callable[..., Any], state: Sequence[Tensor]) -> list[Tensor]:
    """Return the body's result as tensors of the state's types."""
    leaves: list[Any] = []
    check_call(body, "the body", state)
    flatten(body(*state), leaves)
    if len(leaves) != len(state):
        raise ShapeError(
            f"the body returns {len(leaves)} tensors for a state of {len(state)}", code="ST0108"
        )
    out = []
    for old, value in zip(state, leaves, strict=True):
        new = as_tensor(value, old.dtype)
        if new.dtype is not old.dtype:
            raise DTypeError(
                f"the body returns {new.type} for a state {old.type}",
                help="cast the initial state or the result to one dtype",
                code="ST0207",
            )
        if new.ndim != old.ndim or None in map(unify_dims, new.shape, old.shape):
            raise ShapeError(
                f"the body returns {new.type} for a state {old.type}",
                help="the state keeps its shape: start with the shape that the body gives",
                code="ST0108",
            )
        out.append(movement.specify_shape(new, old.shape))
    return out


def _bounded(
    condition: Callable[..., Any], body: Callable[..., Any], state: list[Tensor], max_steps: Any
) -> list[Tensor]:
    """Run as a scan of `max_steps` steps that stands still once the condition has failed."""

    def step(*current: Tensor) -> list[Tensor]:
        running = _condition(condition, current)
        return list(
            cond(running, lambda *s: tuple(_next_state(body, s)), lambda *s: tuple(s), *current)
        )

    return scan_states(step, state, as_dim(max_steps, "while_loop: max_steps", 0))


__all__ = ["COND", "WHILE", "cond", "flatten", "unflatten", "while_loop"]
