"""What the explorer page knows of a function, as plain data.

In: a compiled function. Out: dicts, lists, texts and numbers, ready for JSON. A node is an index into
``entities`` and keeps it from stage to stage (`symtensor.explorer.matching`), nodes of bodies too. Sizes,
costs and bytes are formulas that the page evaluates, so that one page serves every size.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterable, Mapping
from typing import Any

from symtensor.engines.records import Kernel
from symtensor.errors import EngineError
from symtensor.explorer.code import functions_of_assembly, functions_of_llvm
from symtensor.explorer.matching import match_nodes
from symtensor.export.caption import node_class, parameter_role, title
from symtensor.ir import dims as D
from symtensor.ir.dims import Dim, Symbol
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node
from symtensor.ir.printer import Labels, format_attributes, label_graph
from symtensor.ir.types import NodeType, TensorType
from symtensor.ops.cost import node_cost, type_bytes
from symtensor.passes.pipeline import PIPELINE
from symtensor.passes.rewrite import scalar_value
from symtensor.source import Location

CONTEXT = 3
"""Lines of source shown around those that built nodes."""
LONGEST = 20_000
"""Characters of one text (an attribute, a constant) that are kept."""

Record = dict[str, Any]


def function_data(function: Any, sizes: Mapping[Symbol, int] | None = None) -> Record:
    """Return the data of a compiled function; `sizes` are those that the page begins with."""
    return _Data(function, sizes or {}).collect()


class _Sizes:
    """Names of sizes as in the text of the optimized graph; dims, types and nodes said with them."""

    def __init__(self, graph: Graph) -> None:
        self.labels = label_graph(graph)

    def dim(self, dim: Dim) -> Any:
        """Return a dim as an int, or as its text and terms: coefficient and factors of each."""
        if isinstance(dim, int):
            return dim
        terms = [[coefficient, [self._atom(a) for a in atoms]] for atoms, coefficient in dim.terms]
        return {"text": D.format_dim(dim, self.labels.symbol), "terms": terms}

    def _atom(self, atom: D.Atom) -> Any:
        if isinstance(atom, Symbol):
            return self.labels.symbol(atom)
        if isinstance(atom, D.FloorDiv):
            return ["//", self.dim(atom.numerator), self.dim(atom.denominator)]
        assert isinstance(atom, D.Max)
        return ["max", self.dim(atom.left), self.dim(atom.right)]

    def type(self, type_: NodeType) -> str:
        """Return the text of a type."""
        if not isinstance(type_, TensorType):
            return f"({', '.join(map(self.type, type_))})"
        shape = ", ".join(D.format_dim(d, self.labels.symbol) for d in type_.shape)
        return f"{type_.dtype.short}[{shape}]"

    def label(self, node: Node) -> str:
        """Return op, name and type."""
        return f"{node.op.name}{' ' + node.name if node.name else ''} {self.type(node.type)}"

    def attributes(self, node: Node) -> dict[str, str]:
        """Return the text of each attribute."""
        return {k: _short(v) for k, v in format_attributes(node, self.labels).items()}


Place = tuple[int, str]
"""Where a graph stands: the entity of its control-flow node (-1: the whole), and the attribute."""
WHOLE: Place = (-1, "")


class _Data:
    def __init__(self, function: Any, sizes: Mapping[Symbol, int]) -> None:
        self.function = function
        self.sizes = sizes
        self.entities: list[Record] = []
        self.lines: dict[str, int] = {}
        self.places: list[Location] = []
        self.known: dict[Place, dict[Node, int]] = {}
        """The nodes of each graph as they are in the stage at hand."""
        self.controls: dict[int, Node] = {}
        """Entity of a loop or branch -> the node in the stage at hand."""
        self.history: dict[Node, int] = {}
        """Node -> its last entity in any graph: what rewrites and remarks refer to."""
        self.say = _Sizes(function.optimized)

    def collect(self) -> Record:
        f = self.function
        stages = [self._stage(stage) for stage in f.stages]
        kernels = self._kernels()
        self._name_entities()
        return {
            "name": f.name,
            "engine": f.engine.name,
            "stages": stages,
            "passes": [
                {"name": p.name, "changed": p.changed, "seconds": p.seconds, "before": p.before,
                 "after": p.after} for p in f.passes
            ],
            "kernels": kernels,
            "remarks": [self._remark(r) for r in f.remarks],
            "memory": self._memory(),
            "llvm": functions_of_llvm(_ask(f, "llvm_ir")),
            "assembly": functions_of_assembly(_ask(f, "assembly")),
            "entities": self.entities,
            "lines": [[place.file, place.line, list(place.columns or ())] for place in self.places],
            "source": self._source(),
            "sizes": self._sizes(),
        }  # fmt: skip

    # --- graphs -----------------------------------------------------------------------------------

    def _stage(self, stage: Any) -> Record:
        reasons = {p.name: p.reason for p in PIPELINE}
        graph = self._graph(stage.graph, WHOLE)
        return {
            "name": stage.name,
            "reason": reasons.get(stage.name, ""),
            "seconds": stage.seconds,
            "fired": stage.fired,
            "rewrites": [
                [r.rule, self.history.get(r.before, -1), self.say.label(r.before),
                 self.history.get(r.after, -1), self.say.label(r.after)] for r in stage.rewrites
            ],
            "graph": graph,
        }  # fmt: skip

    def _graph(self, graph: Graph, place: Place) -> Record:
        """Return a graph, after finding out which of its nodes are known from the stage before."""
        before = self.known.get(place, {})
        nodes = graph.all_nodes()
        matched = match_nodes(list(before), nodes)
        now: dict[Node, int] = {}
        changed: dict[str, list[int]] = {}
        altered: list[int] = []
        bodies: dict[str, list[Any]] = {}
        for node in nodes:
            inputs = [now[x] for x in node.inputs]
            old = matched.get(node)
            number = self._entity(node, inputs, place) if old is None else before[old]
            now[node] = self.history[node] = number
            if old is not None and old.op.bodies and old is not node:
                altered += [number] * self._alter(number, node)
            if node.op.name == "parameter":
                self.entities[number]["title"] = self._title(node, place)
            if inputs != self.entities[number]["inputs"]:
                changed[str(number)] = inputs
            for body in node.op.bodies:
                self.controls[number] = node
                inner = self._graph(node.attrs[body], (number, body))
                bodies.setdefault(str(number), []).append([body, inner])
        self.known[place] = now
        return {
            "nodes": list(now.values()),
            "inputs": changed,
            "altered": altered,
            "outputs": [now[root] for root in graph.outputs],
            "updates": [[now[target], now[new]] for target, new in graph.updates],
            "bodies": bodies,
        }

    def _alter(self, number: int, node: Node) -> bool:
        """Bring what is said of a loop or branch up to date; return True when that was news."""
        record = self.entities[number]
        before = {name: record.get(name) for name in ("type", "attrs")}
        record |= self._work(node)
        return any(record.get(name) != said for name, said in before.items())

    def _entity(self, node: Node, inputs: list[int], place: Place) -> int:
        value = scalar_value(node)
        record: Record = {
            "op": node.op.name,
            "title": self._title(node, place),
            "class": node_class(node),
            "inputs": inputs,
            "within": place[0],
            **self._work(node),
        }
        if node.name:
            record["name"] = node.name
        if value is not None:
            record["value"] = _short(f"{value:.6g}" if not isinstance(value, bool) else str(value))
        if node.loc is not None:
            record |= self._location(node.loc)
        self.entities.append(record)
        return len(self.entities) - 1

    def _title(self, node: Node, place: Place) -> str:
        if node.op.name == "parameter" and place != WHOLE:
            return parameter_role(self.controls[place[0]], node.attrs["index"])
        return title(node)

    def _work(self, node: Node) -> Record:
        """Return what a node does and costs."""
        cost = node_cost(node)
        record: Record = {
            "type": self.say.type(node.type),
            "flops": self.say.dim(cost.flops),
            "bytes": self.say.dim(cost.bytes),
            "size": self.say.dim(type_bytes(node.type)),
        }
        attrs = self.say.attributes(node)
        return record | {"attrs": attrs} if attrs else record

    def _location(self, place: Location) -> Record:
        key = f"{place.file}:{place.line}"
        if key not in self.lines:
            self.lines[key] = len(self.places)
            self.places.append(place)
        record: Record = {"line": self.lines[key]}
        if place.scope:
            record["scope"] = place.scope
        if place.origin:
            record["origin"] = place.origin
        return record

    def _name_entities(self) -> None:
        """Label nodes as the text of the optimized graph does; those that are gone come after."""
        taken: dict[int, set[str]] = {}
        for place, nodes in self.known.items():
            labels = Labels()
            for node, number in nodes.items():
                self.entities[number]["label"] = labels.node(node)
            taken.setdefault(place[0], set()).update(labels.nodes.values())
        for entity in self.entities:
            if "label" not in entity:
                names = taken.setdefault(entity["within"], set())
                number = len(names)
                while f"%{number}" in names:
                    number += 1
                entity["label"] = f"%{number}"
                names.add(entity["label"])

    # --- what became of them ----------------------------------------------------------------------

    def _kernels(self) -> list[Record]:
        told: Iterable[Kernel] = _ask(self.function, "kernels") or ()
        found, places = [], {"": WHOLE}
        for kernel in told:
            outer = kernel.name.rpartition(".")[0]
            place = places[outer]
            nodes = self._numbers(kernel.nodes, place)
            if kernel.kind == "loop":
                places[kernel.name] = (nodes[0], "body")
            found.append(
                {
                    "name": kernel.name,
                    "kind": kernel.kind,
                    "function": kernel.function,
                    "nodes": nodes,
                    "outputs": self._numbers(kernel.outputs, place),
                    "reads": self._numbers(kernel.reads, place),
                    "text": kernel.text,
                    "flops": self.say.dim(kernel.flops),
                    "read": self.say.dim(kernel.bytes_read),
                    "written": self.say.dim(kernel.bytes_written),
                    "runs": self.say.dim(kernel.runs),
                    "lanes": kernel.lanes,
                    "shared": kernel.shared,
                }
            )
        return found

    def _numbers(self, nodes: Iterable[Node], place: Place) -> list[int]:
        """Return the entities of nodes; results that nobody reads are none."""
        return [n for n in (self._number(node, place) for node in nodes) if n >= 0]

    def _number(self, node: Node, place: Place = WHOLE) -> int:
        found = self.known.get(place, {}).get(node)
        return self.history.get(node, -1) if found is None else found

    def _remark(self, remark: Any) -> list[Any]:
        into = [[self.history.get(node, -1), self.say.label(node)] for node in remark.into]
        number = self.history.get(remark.node, -1)
        return [remark.kind, number, self.say.label(remark.node), remark.why, into, remark.where]

    def _memory(self) -> Record | None:
        plan = _ask(self.function, "memory_plan")
        if plan is None:
            return None
        return {
            "steps": plan.steps,
            "scratch": plan.scratch,
            "peak": self.say.dim(plan.peak),
            "buffers": [
                [b.name, b.kind, self._number(b.node), self.say.label(b.node),
                 self.say.dim(b.bytes), b.first, b.last] for b in plan.buffers
            ],
        }  # fmt: skip

    # --- around it --------------------------------------------------------------------------------

    def _source(self) -> dict[str, dict[int, str]]:
        """Return the lines that built nodes, and some around each, of every file."""
        found: dict[str, dict[int, str]] = {}
        for place in self.places:
            lines = found.setdefault(place.file, {})
            for number in range(max(place.line - CONTEXT, 1), place.line + CONTEXT + 1):
                text = linecache.getline(place.file, number)
                if text:
                    lines[number] = _short(text.rstrip("\n"), 400)
        return {file: dict(sorted(lines.items())) for file, lines in found.items()}

    def _sizes(self) -> dict[str, int | None]:
        """Return the symbols of the function and the values they begin with."""
        symbols: dict[Symbol, None] = {}
        for stage in self.function.stages:
            for node in stage.graph.nodes():
                types = node.type if isinstance(node.type, tuple) else (node.type,)
                for dim in (d for t in types for d in t.shape):
                    symbols.update(dict.fromkeys(D.ordered_symbols(dim)))
        return {self.say.labels.symbol(symbol): self.sizes.get(symbol) for symbol in symbols}


def _short(text: str, limit: int = LONGEST) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


def _ask(function: Any, name: str) -> Any:
    """Return what a function shows under a name, or None where its engine has nothing to show."""
    try:
        return getattr(function, name)
    except EngineError:
        return None
