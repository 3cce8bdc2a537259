"""The passes, in order, each with the reason for its place.

`optimize` runs them; `run_pipeline` also tells what each did. Common subexpressions need no pass
(nodes are interned) and neither does dead code (what no root reaches is not in the graph). Passes run
inside the bodies of control-flow ops too. Any pass can be switched off by name, for one function
(``passes="-stabilize"``) or everywhere (``SYMTENSOR_PASSES``).
"""

from __future__ import annotations

import difflib
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symtensor.config import get as get_setting
from symtensor.errors import ConfigError, SymtensorError
from symtensor.ir.graph import Graph
from symtensor.ir.printer import print_graph
from symtensor.ir.verify import verify_graph
from symtensor.ops.attributes import as_flag
from symtensor.passes.algebra import algebra
from symtensor.passes.cut_joins import cut_joins
from symtensor.passes.fold_constants import fold_constants
from symtensor.passes.fold_windows import fold_windows
from symtensor.passes.late_broadcasts import late_broadcasts
from symtensor.passes.prune_loops import prune_loops
from symtensor.passes.rewrite import Fired, Rewrite, map_bodies
from symtensor.passes.select_scattered import select_scattered
from symtensor.passes.share_padding import share_padding
from symtensor.passes.simplify_shapes import simplify_shapes
from symtensor.passes.sizes import has_late_sizes, sizes_are_decided
from symtensor.passes.specialize import specialize
from symtensor.passes.split_folds import split_folds
from symtensor.passes.split_loops import split_loops
from symtensor.passes.stabilize import stabilize
from symtensor.passes.widen_products import widen_products

PassRule = Callable[[Graph, "Counter[str]"], Graph]
"""``(graph, fired) -> graph``: the same object when nothing changed; `fired` counts by rule."""


@dataclass(frozen=True, slots=True)
class Pass:
    """A named graph-to-graph step."""

    name: str
    run: PassRule
    reason: str
    """Why it stands where it stands."""


@dataclass(frozen=True, slots=True)
class Before:
    """An order that must hold, with its reason."""

    first: str
    second: str
    why: str


@dataclass(frozen=True, slots=True)
class Stage:
    """What one pass did to a graph."""

    name: str
    """The pass, or ``definition``."""
    graph: Graph
    """The graph after it."""
    changed: bool
    before: int
    """Nodes before."""
    after: int
    """Nodes after."""
    seconds: float
    fired: dict[str, int] = field(default_factory=dict)
    """How often each rule fired."""
    rewrites: tuple[Rewrite, ...] = ()
    """The firings of which the nodes are known."""


PIPELINE = [
    Pass("fold_constants", fold_constants, "gives predicates and rules their constants"),
    Pass("specialize", specialize, "a branch that is never taken is not worth optimizing"),
    Pass("simplify_shapes", simplify_shapes, "fewer views between ops let patterns meet"),
    Pass("stabilize", stabilize, "needs the forms the user wrote"),
    Pass("algebra", algebra, "cleans up what gradients and the passes above left"),
    Pass("prune_loops", prune_loops, "what no result needs is not worth moving"),
    Pass("split_loops", split_loops, "needs the products in the form that algebra leaves"),
    Pass("prune_loops_again", prune_loops, "what left a loop leaves operands unread"),
    Pass("fold_windows", fold_windows, "needs the products that gradients made, whole"),
    Pass("cut_joins", cut_joins, "after the passes that slice and pad for products"),
    Pass("share_padding", share_padding, "after the pass that pads for products"),
    Pass("select_scattered", select_scattered, "the passes above make no scatters"),
    Pass("widen_products", widen_products, "after the passes that make products"),
    Pass("split_folds", split_folds, "the rules above know folds as users wrote them"),
    Pass(
        "late_broadcasts", late_broadcasts, "the rules above know operands of the shape users wrote"
    ),
    Pass("simplify_shapes_again", simplify_shapes, "algebra removes ops between views"),
]

ORDER = [
    Before("fold_constants", "specialize", "a predicate must be a constant, not an expression"),
    Before("specialize", "simplify_shapes", "an inlined branch brings its own views"),
    Before("stabilize", "algebra", "algebra may split the forms that stabilize matches"),
    Before("prune_loops", "split_loops", "an unused result would keep a product in its loop"),
    Before("cut_joins", "share_padding", "what is padded is stored to be sliced from then on"),
    Before("fold_windows", "share_padding", "gradients are padded when they become convolutions"),
    Before("fold_constants", "algebra", "rules match constants, not expressions of constants"),
]


def check_order(passes: Sequence[Pass], order: Sequence[Before] = ORDER) -> None:
    """Raise `ConfigError` when the list breaks a stated order."""
    place = {p.name: i for i, p in enumerate(passes)}
    for rule in order:
        if rule.first in place and rule.second in place and place[rule.first] > place[rule.second]:
            raise ConfigError(
                f"pass {rule.first} must run before {rule.second}: {rule.why}", code="ST1403"
            )


def register_pass(new: Pass, *, before: str | None = None, after: str | None = None) -> None:
    """Add a pass to the pipeline, before or after a named one, or at the end."""
    names = [p.name for p in PIPELINE]
    if new.name in names:
        raise ConfigError(f"there is a pass named {new.name!r} already", code="ST1403")
    place = len(PIPELINE)
    if before is not None or after is not None:
        place = _index(names, before or after or "") + (before is None)
    candidate = [*PIPELINE[:place], new, *PIPELINE[place:]]
    check_order(candidate)
    PIPELINE[:] = candidate


def unregister_pass(name: str) -> None:
    """Remove a pass from the pipeline."""
    del PIPELINE[_index([p.name for p in PIPELINE], name)]


def _index(names: Sequence[str], name: str) -> int:
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1) if isinstance(name, str) else []
        raise ConfigError(
            f"there is no pass named {name!r}",
            help=f"did you mean {near[0]}?" if near else f"passes: {', '.join(names)}",
            code="ST1403",
        )
    return names.index(name)


def select_passes(choice: Any = None) -> list[Pass]:
    """Return the passes meant: None for all, "-name,…" to leave out, names or a list to run.

    Items of a list may be `Pass` objects. What the configuration switches off stays off.
    """
    names = [p.name for p in PIPELINE]
    off = {names[_index(names, n.removeprefix("-"))] for n in _names(get_setting("passes"))}
    chosen = [p for p in PIPELINE if p.name not in off]
    if choice is None:
        return chosen
    if not np.iterable(choice):
        raise ConfigError(f"passes: expected names of passes, found {choice!r}", code="ST1403")
    items = _names(choice) if isinstance(choice, str) else list(choice)
    drop = {i[1:] for i in items if isinstance(i, str) and i.startswith("-")}
    for name in drop:
        _index(names, name)
    keep = [i for i in items if not (isinstance(i, str) and i.startswith("-"))]
    if not keep and (drop or isinstance(choice, str)):
        return [p for p in chosen if p.name not in drop]
    return [i if isinstance(i, Pass) else PIPELINE[_index(names, i)] for i in keep]


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def run_pipeline(graph: Graph, passes: Any = None, verify: bool = False) -> list[Stage]:
    """Run the passes one after the other and return a record of each.

    With `verify`, or the setting of this name, the graph is verified after each.

    A pass after which a size would be used before it is decided is undone: rules look at values, and
    what decides a size may not matter for the values any more.
    """
    if not isinstance(graph, Graph):
        raise SymtensorError(f"expected a graph, found {graph!r}")
    verify, dump = as_flag(verify, "verify") or get_setting("verify"), get_setting("dump")
    if verify:
        verify_graph(graph, "the definition")
    late = has_late_sizes(graph) and sizes_are_decided(graph)
    records: list[Stage] = []
    for step in select_passes(passes):
        fired = Fired()
        start = time.perf_counter()
        new = _run(step, graph, fired)
        if late and new is not graph and not sizes_are_decided(new):
            new = graph
            fired.clear()
        seconds = time.perf_counter() - start
        changed = new is not graph
        if verify:
            verify_graph(new, step.name)
        if dump and changed:
            print(f"# after {step.name}\n{print_graph(new)}", file=sys.stderr)
        sizes = len(graph.nodes()), len(new.nodes()) if changed else 0
        after = sizes[1] if changed else sizes[0]
        rewrites = tuple(fired.rewrites)
        records.append(
            Stage(step.name, new, changed, sizes[0], after, seconds, dict(fired), rewrites)
        )
        graph = new
    return records


def _run(step: Pass, graph: Graph, fired: Counter[str]) -> Graph:
    graph = map_bodies(graph, lambda body: step.run(body, fired))
    return step.run(graph, fired)


def optimize(graph: Graph, passes: Any = None) -> Graph:
    """Return the graph after the passes."""
    records = run_pipeline(graph, passes)
    return records[-1].graph if records else graph


check_order(PIPELINE)
