"""What `function` was asked for, checked and put into one graph.

Inputs, outputs, updates and givens come in as users write them; a `Definition` goes out: a graph
whose placeholders are all fed, whose sizes are all determined, and whose updates have the types of
their variables. Nothing here compiles. Givens are substituted simultaneously, in outputs and update
expressions alike, and never in what they put in; the user's own graph stays as it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symtensor.arguments import MISSING, Input, convert_argument
from symtensor.engines.base import Engine
from symtensor.errors import (
    DTypeError,
    FunctionError,
    MissingInputError,
    ShapeError,
    SymtensorError,
    SymtensorWarning,
    UnusedInputError,
    UpdateError,
)
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, DimExpr, Symbol
from symtensor.ir.dtypes import promote
from symtensor.ir.graph import Graph, replace_nodes, toposort
from symtensor.ir.node import Node, describe_operand
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType, unify_dims
from symtensor.ops.build import as_tensor, cast_to
from symtensor.ops.inputs import constant, placeholder
from symtensor.ops.movement import specify_shape
from symtensor.ops.variables import Store, Variable, variable, variable_of
from symtensor.passes.sizes import can_decide, sizes_of, walk_sizes
from symtensor.vocabulary import require_choice


@dataclass(slots=True)
class Definition:
    """Everything needed to compile a function, on this machine or another."""

    inputs: list[Input]
    states: list[Node | None]
    """Per input the variable that holds its state, where it has an `update`."""
    graph: Graph
    structure: Any
    """The nesting of the outputs, with positions in ``graph.outputs`` at its leaves."""
    name: str
    engine: str | Engine | None
    passes: Any
    allow_downcast: bool | None
    check: frozenset[str] = frozenset()
    """What every call checks, of `symtensor.config.CHECKS`."""


@dataclass(frozen=True, slots=True)
class Options:
    """How strictly a definition is checked."""

    on_unused_input: str = "raise"
    no_default_updates: bool | Sequence[Variable] = False


def define_graph(
    inputs: Sequence[Any], outputs: Any, updates: Any, givens: Any, options: Options
) -> tuple[list[Input], list[Node | None], Graph, Any]:
    """Return inputs, their states, the graph and the nesting of the outputs."""
    specs, cuts = _read_inputs(inputs)
    leaves: list[Tensor] = []
    structure = flatten(outputs, leaves)
    substitution = Substitution([*cuts, *_read_givens(givens, specs)])
    pairs = read_updates(updates)
    states = [_make_state(spec) for spec in specs]
    for spec, state in zip(specs, states, strict=True):
        if state is not None:
            pairs.append((state, fit_update(state, spec.update, spec.tensor.type)))
    new_outputs = substitution.apply([x.node for x in leaves])
    new_updates = _resolve_updates(pairs, new_outputs, substitution, options)
    fed = substitution.resize([spec.tensor.node for spec in specs])
    graph = Graph(tuple(fed), tuple(new_outputs), tuple(new_updates))
    specs = [
        Input(Tensor(node), spec.default, spec.key, spec.update, spec.strict)
        for spec, node in zip(specs, fed, strict=True)
    ]
    check_graph(graph, options.on_unused_input)
    return specs, [None if s is None else s.node for s in states], graph, structure


# --- inputs and outputs --------------------------------------------------------------------------


def _read_inputs(inputs: Any) -> tuple[list[Input], list[tuple[Tensor, Tensor]]]:
    """Return the inputs, with a placeholder for each intermediate tensor, and those exchanges."""
    if isinstance(inputs, (Tensor, Input)) or not np.iterable(inputs):
        raise FunctionError(
            f"expected a list of inputs, found {inputs!r}",
            help="write function([x], ...)",
            code="ST0704",
        )
    specs: list[Input] = []
    cuts: list[tuple[Tensor, Tensor]] = []
    seen: set[Node] = set()
    for value in inputs:
        spec = value if isinstance(value, Input) else Input(value)
        x = spec.tensor
        _check_input(x)
        if x.node in seen:
            raise FunctionError(f"the input {x!r} is given twice", code="ST0704")
        seen.add(x.node)
        if x.op.name != "placeholder":
            fed = placeholder(x.shape, x.dtype, name=x.name)
            cuts.append((x, fed))
            spec = Input(fed, spec.default, spec.key, spec.update, spec.strict)
        if spec.update is not None and spec.default is MISSING:
            raise FunctionError(
                f"the input {x!r} has an update and no default to start from", code="ST0704"
            )
        specs.append(spec)
    return specs, cuts


def _check_input(x: Any) -> None:
    if not isinstance(x, Tensor):
        raise FunctionError(f"expected placeholders as inputs, found {x!r}", code="ST0704")
    if x.op.name in ("variable", "constant"):
        raise FunctionError(
            f"the {x.op.name} {x!r} can't be an input: it has a value",
            help="to run with another value, pass givens={tensor: placeholder} and feed that",
            code="ST0704",
        )


def flatten(outputs: Any, leaves: list[Tensor]) -> Any:
    """Append the tensors of nested outputs to `leaves`; return the nesting with their positions."""
    if outputs is None:
        return None
    if isinstance(outputs, Mapping):
        return {key: flatten(value, leaves) for key, value in outputs.items()}
    if isinstance(outputs, (list, tuple)):
        parts = [flatten(value, leaves) for value in outputs]
        return parts if isinstance(outputs, list) else tuple(parts)
    try:
        leaves.append(as_tensor(outputs))
    except (DTypeError, ValueError) as error:
        raise FunctionError(
            f"expected tensors as outputs, found {outputs!r}", code="ST0705"
        ) from error
    return len(leaves) - 1


# --- givens --------------------------------------------------------------------------------------


def _pairs(given: Any, what: str, error: type[SymtensorError]) -> list[tuple[Any, Any]]:
    if given is None:
        return []
    if isinstance(given, Tensor) or not np.iterable(given):
        raise error(f"{what}: expected pairs, found {given!r}")
    pairs = list(given.items()) if isinstance(given, Mapping) else list(given)
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise error(f"{what}: expected pairs, found {pair!r}")
    return [(old, new) for old, new in pairs]


def _read_givens(givens: Any, specs: Sequence[Input]) -> list[tuple[Tensor, Tensor]]:
    fed = {spec.tensor.node for spec in specs}
    out: list[tuple[Tensor, Tensor]] = []
    for old, value in _pairs(givens, "givens", FunctionError):
        if not isinstance(old, Tensor):
            raise FunctionError(
                f"givens: expected a tensor to replace, found {old!r}", code="ST0706"
            )
        if old.node in fed:
            raise FunctionError(
                f"givens: {old!r} is an input and can't be replaced",
                help="take it off the inputs, or transform it in the outputs",
                code="ST0706",
            )
        if any(old.node is other.node for other, _ in out):
            raise FunctionError(f"givens: {old!r} is replaced twice", code="ST0706")
        out.append((old, _read_given(old, value)))
    return out


def _read_given(old: Tensor, value: Any) -> Tensor:
    if isinstance(value, DimExpr):
        value = as_tensor(value)
    if not isinstance(value, Tensor):
        return constant(convert_argument(value, old.type, f"givens: {old!r}", None))
    if value.dtype is not old.dtype:
        raise DTypeError(
            f"givens: {old!r} can't become {value.type}",
            help=f"cast it: value.astype({old.dtype.name!r})",
            code="ST0706",
        )
    if value.ndim != old.ndim:
        raise ShapeError(f"givens: {old!r} can't become {value.type}", code="ST0706")
    return value


class Substitution:
    """Tensors put in the place of others, all at once, and the sizes that change with them.

    Where ``f32[n]`` becomes ``f32[5]``, every n of the graph becomes 5. Sizes that must agree and
    can't be proved to are checked at run time.
    """

    def __init__(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
        self.sizes: dict[Symbol, Dim] = {}
        for old, new in pairs:
            for have, want in zip(old.shape, new.shape, strict=True):
                symbol = D.as_symbol(have)
                if symbol is not None:
                    self.sizes.setdefault(symbol, want)
        self.sizes = {s: d for s, d in self.sizes.items() if D.as_symbol(d) is not s}
        self.replacements = {old.node: self._fitted(old, new).node for old, new in pairs}

    def _fitted(self, old: Tensor, new: Tensor) -> Tensor:
        wanted = old.type.substitute(self.sizes).shape
        if any(unify_dims(a, b) is None for a, b in zip(wanted, new.shape, strict=True)):
            raise ShapeError(f"givens: {old!r} can't become {new.type}", code="ST0706")
        return specify_shape(new, wanted)

    def apply(self, nodes: Sequence[Node]) -> list[Node]:
        """Return the nodes with everything put in."""
        if not self.replacements:
            return list(nodes)
        return replace_nodes(nodes, self.replacements, self.sizes)

    def resize(self, nodes: Sequence[Node]) -> list[Node]:
        """Return inputs or variables themselves, with the new sizes in their types."""
        return replace_nodes(nodes, {}, self.sizes) if self.sizes else list(nodes)


# --- updates -------------------------------------------------------------------------------------


def read_updates(updates: Any) -> list[tuple[Variable, Tensor]]:
    """Return ``(variable, next value)`` pairs of the right types, from pairs or a mapping."""
    out: list[tuple[Variable, Tensor]] = []
    seen: set[Store] = set()
    for target, value in _pairs(updates, "updates", UpdateError):
        if not isinstance(target, Variable):
            raise UpdateError(f"only variables can be updated, found {target!r}", code="ST0801")
        if target.store in seen:
            raise UpdateError(f"two updates of {target!r}", code="ST0802")
        seen.add(target.store)
        out.append((target, fit_update(target, value, target.type)))
    return out


def fit_update(target: Variable, value: Any, type_: TensorType) -> Tensor:
    """Return a next value in the dtype and shape of `type_`; nothing is narrowed.

    A size that the variable leaves open may change; a fixed one that the value does not provably
    have is checked when the function runs.
    """
    if isinstance(value, DimExpr):
        value = as_tensor(value)
    if not isinstance(value, Tensor):
        value = constant(convert_argument(value, type_, f"update of {target!r}", None))
    try:
        return _fitted_update(value, type_)
    except SymtensorError as error:
        error.add_context(f"update of {target!r}", [describe_operand(value.node)], value.loc)
        raise


def _fitted_update(value: Tensor, type_: TensorType) -> Tensor:
    if value.dtype is not type_.dtype:
        if promote(value.dtype, type_.dtype) is not type_.dtype:
            raise DTypeError(
                f"expected {type_.dtype}, found {value.dtype}",
                help=f"cast it: value.astype({type_.dtype.name!r})",
                code="ST0803",
            )
        value = cast_to(value, type_.dtype)
    if value.ndim != type_.ndim:
        raise ShapeError(f"expected {type_.ndim} axes ({type_}), found {value.type}", code="ST0803")
    sizes: dict[Symbol, Dim] = {}
    for have, found in zip(type_.shape, value.shape, strict=True):
        symbol = D.as_symbol(have)
        if symbol is not None:
            sizes.setdefault(symbol, found)
    wanted = type_.substitute(sizes).shape
    if any(unify_dims(a, b) is None for a, b in zip(wanted, value.shape, strict=True)):
        raise ShapeError(f"expected {type_}, found {value.type}", code="ST0803")
    return specify_shape(value, wanted)


def _make_state(spec: Input) -> Variable | None:
    """Return the variable behind an input that has an update."""
    if spec.update is None:
        return None
    type_ = spec.tensor.type
    array = convert_argument(spec.default, type_, spec.key or "input", None)
    # sizes of its own: a call may pass another size than the state has
    shape = [d if isinstance(d, int) else None for d in type_.shape]
    return variable(array, name=spec.key, shape=shape)


def _resolve_updates(
    pairs: Sequence[tuple[Variable, Tensor]],
    outputs: Sequence[Node],
    substitution: Substitution,
    options: Options,
) -> list[tuple[Node, Node]]:
    """Return explicit updates, then default updates of all variables that anything reaches."""
    explicit = substitution.apply([value.node for _, value in pairs])
    targets = substitution.resize([target.node for target, _ in pairs])
    found = list(zip(targets, explicit, strict=True))
    off = options.no_default_updates
    if off is True:
        return found
    without = () if off is False else off
    if not (np.iterable(without) and all(isinstance(v, Variable) for v in without)):
        raise FunctionError(f"no_default_updates: expected a bool or variables, found {off!r}")
    settled = {target.store for target, _ in pairs} | {v.store for v in without}
    pending = [*outputs, *explicit]
    while pending:
        reached, pending = toposort(pending), []
        for node in reached:
            if node.op.name != "variable" or node.attrs["store"] in settled:
                continue
            store: Store = node.attrs["store"]
            settled.add(store)
            if store.default_update is not None:
                handle = variable_of(node)
                value = fit_update(handle, store.default_update, handle.type)
                pending += substitution.apply([value.node])
                found.append((node, pending[-1]))
    return found


# --- checks --------------------------------------------------------------------------------------


def check_graph(graph: Graph, on_unused_input: str) -> None:
    """Check that what the roots need is fed, and that what is fed is needed."""
    require_choice(on_unused_input, ("raise", "warn", "ignore"), "on_unused_input")
    needed = toposort(graph.roots)
    _check_one_type(needed, graph)
    _check_fed(graph, needed)
    used = _check_sizes(graph)
    if on_unused_input == "ignore":
        return
    reached = set(needed)
    known = sizes_of([x for x in graph.inputs if x in reached] + graph.variables())
    for node in graph.inputs:
        if node in reached or (sizes_of([node]) & used) - known:
            continue
        message = f"no output and no update needs the input {node!r}"
        if on_unused_input == "raise":
            error = UnusedInputError(message, help="drop it, or pass on_unused_input='ignore'")
            error.labels = (describe_operand(node),)
            raise error
        warnings.warn(message, SymtensorWarning, stacklevel=4)


def _check_fed(graph: Graph, needed: Sequence[Node]) -> None:
    fed = set(graph.inputs)
    for node in needed:
        if node.op.name == "placeholder" and node not in fed:
            error = MissingInputError(
                f"{node!r} is needed and not among the inputs",
                help="add it to the inputs, or give it a value with givens",
            )
            error.add_context("function", [], node.loc)
            raise error


def _check_one_type(needed: Sequence[Node], graph: Graph) -> None:
    """Refuse a graph in which the givens gave one input or variable two types."""
    types: dict[int, Node] = {}
    for node in (*graph.inputs, *(target for target, _ in graph.updates), *needed):
        if node.op.name in ("placeholder", "variable"):
            other = types.setdefault(node.attrs["uid"], node)
            if other is not node:
                raise ShapeError(
                    f"givens: sizes change {other!r} where {node!r} is needed too", code="ST0706"
                )


def _check_sizes(graph: Graph) -> set[Symbol]:
    """Return the symbols in use; raise when a call could not determine one."""
    found: set[Symbol] = set()
    for node, used, unknown in walk_sizes(graph):
        found |= used
        if unknown and not can_decide(node, unknown):
            name = min(s.name for s in unknown)
            error = MissingInputError(
                f"no input determines the size {name}",
                help="pass a placeholder that has this dimension, or fix the size",
                code="ST0703",
            )
            error.add_context(node.op.name, [], node.loc)
            raise error
    return found
