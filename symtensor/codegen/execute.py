"""Running a program: sizes, buffers and call-outs of one call.

What depends on the shapes of the arguments alone (sizes, guards, the layout of the arena) is worked
out once per combination of shapes and kept in a `Layout`. A call fills a table of pointers, runs the
native driver, and answers its call-outs with the ops' NumPy rules. Arenas are reused from call to
call; concurrent calls have one each.
"""

from __future__ import annotations

import ctypes
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symtensor.codegen import stage
from symtensor.codegen.frame import Binding, Frame, supported
from symtensor.codegen.fusion import CallStep, KernelStep, is_alias
from symtensor.codegen.memory import Lifetime, MemoryUse, aligned, aligned_bytes, assign_offsets
from symtensor.codegen.program import Checks, Program, Slot
from symtensor.errors import IndexOutOfRange, ShapeError, SymbolicValueError
from symtensor.ir import dims as D
from symtensor.ir.binding import bind_shapes
from symtensor.ir.dims import Dim, Symbol
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node, results
from symtensor.ops.interpret import Array, RunBody, evaluate_node, located, run_graph
from symtensor.ops.slicing import check_positions, positions_of

_DRIVER = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64
)
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64, ctypes.c_int64)

Shapes = tuple[tuple[int, ...], ...]


@dataclass(slots=True)
class Layout:
    """What the shapes of the arguments determine."""

    env: dict[Symbol, int]
    sizes: Array
    """One int64 per dim expression of the program; -1 where a call-out must determine it first."""
    shapes: list[tuple[int, ...] | None]
    """Shape of each slot, None where a call-out must determine it first."""
    offsets: list[int | None]
    """Offset of each temporary in the arena."""
    arena: int
    """Bytes of the arena."""
    scratch: int
    """Offset of the scratch of matrix products, behind the temporaries."""
    bytes: int
    """Bytes of all buffers: how much a call works through."""
    complete: bool
    """True when no size depends on a call-out."""


class Executable:
    """A loaded program that can be called from any thread.

    `words` are put behind the pointers in the table.
    """

    def __init__(self, program: Program, run_body: RunBody, words: Sequence[int] = ()) -> None:
        self.program = program
        self.words = words
        self._run_body = run_body
        self._driver = _DRIVER(program.driver)
        self._callback = _CALLBACK(self._call_out)
        self._callback_address = ctypes.cast(self._callback, ctypes.c_void_p).value
        self._layouts: dict[Any, Layout] = {}
        self._arenas: list[Array] = []
        self._calls: dict[int, _Call] = {}
        self._numbers = itertools.count(1)
        self._variables = program.graph.variables()
        self._arguments = [*program.graph.inputs, *self._variables]
        self._frame: Frame | None = None

    def bind(self, binding: Binding) -> Callable[..., Any] | None:
        """Return the native entry for a function's calls, or None where it can't serve them."""
        if not supported(self.program):
            return None
        self._frame = Frame(self.program, binding, self._callback_address or 0)
        entry: Callable[..., Any] = self._frame.entry
        return entry

    def __call__(
        self,
        inputs: Sequence[Array],
        variables: Sequence[Array] = (),
        env: Mapping[Symbol, int] | None = None,
    ) -> list[Array]:
        """Return fresh arrays: the outputs, then the next values of updated variables."""
        arguments = [_readable(x) for x in (*inputs, *variables)]
        layout = self._layout(tuple(x.shape for x in arguments), env)
        call = _Call(self, layout, arguments)
        number = next(self._numbers)
        self._calls[number] = call
        try:
            failed = self._driver(
                call.table.ctypes.data, call.sizes.ctypes.data, self._callback_address, number
            )
        finally:
            del self._calls[number]
        if failed:
            raise call.error or self._refusal(failed - 1, arguments, layout.env)
        out = call.root_arrays()
        self._arenas.append(call.arena)
        if self._frame is not None:
            self._frame.fill(layout)
        return out

    def memory(self, inputs: Shapes, variables: Shapes) -> MemoryUse:
        """Return what a call on arguments of these shapes needs; see `MemoryUse`."""
        layout = self._layout((*inputs, *variables), None)
        if not layout.complete:
            raise SymbolicValueError("a size depends on data: only a call can tell its memory")
        sizes: Counter[str] = Counter()
        for slot, shape in zip(self.program.slots, layout.shapes, strict=True):
            sizes[slot.kind] += _bytes(slot, shape)
        unshared = sizes["temporary"] + sizes["kept"]
        return MemoryUse(
            sizes["input"], sizes["constant"], sizes["output"], layout.scratch,
            layout.arena - layout.scratch, unshared, sizes["call"],
        )  # fmt: skip

    def _call_out(self, number: int, step: int) -> int:
        call = self._calls[number]
        try:
            call.run_step(step)
        except BaseException as error:  # must not cross native frames; raised again after them
            call.error = error
            return 1
        return 0

    def _refusal(
        self, step: int, arguments: Sequence[Array], env: Mapping[Symbol, int]
    ) -> BaseException:
        """Return the error of a step that refused an index: the interpreter finds and names it."""
        found = self.program.schedule.steps[step]
        assert isinstance(found, KernelStep)
        graph, count = self.program.graph, len(self.program.graph.inputs)
        checking = tuple(node for node in found.inlined if stage.checks_indices(node))
        state = dict(zip(self._variables, arguments[count:], strict=True))
        try:
            run_graph(Graph(graph.inputs, checking), arguments[:count], state, env)
        except IndexOutOfRange as error:
            return error
        return IndexOutOfRange("an index is out of range", code="ST0401")

    # --- layouts --------------------------------------------------------------------------------

    def _layout(self, shapes: Shapes, env: Mapping[Symbol, int] | None) -> Layout:
        key = (shapes, tuple(env.items())) if env else shapes
        found = self._layouts.get(key)
        if found is None:
            if len(self._layouts) >= 256:
                self._layouts.clear()
            found = self._layouts[key] = self._make_layout(shapes, env)
        return found

    def _make_layout(self, shapes: Shapes, env: Mapping[Symbol, int] | None) -> Layout:
        sizes = dict(env or {})
        types = [node.tensor_type for node in self._arguments]
        names = [node.name or f"input {i}" for i, node in enumerate(self._arguments)]
        bind_shapes(types, shapes, names, sizes)
        self.check_guards(sizes)
        program = self.program
        values = [_size_or_unknown(dim, sizes) for dim in program.sizes]
        layout = Layout(
            env=sizes,
            sizes=np.array(values, dtype=np.int64),
            shapes=[_shape_or_none(slot, sizes) for slot in program.slots],
            offsets=[None] * len(program.slots),
            arena=0,
            scratch=0,
            bytes=0,
            complete=-1 not in values,
        )
        self._assign(layout)
        return layout

    def _assign(self, layout: Layout) -> None:
        placed = [
            slot
            for slot in self.program.slots
            if slot.kind in ("temporary", "kept") and layout.shapes[slot.index] is not None
        ]
        lifetimes = [
            Lifetime(_bytes(slot, layout.shapes[slot.index]), slot.first, slot.last)
            for slot in placed
        ]
        offsets, temporaries = assign_offsets(lifetimes)
        layout.scratch = aligned(temporaries)
        layout.arena = layout.scratch + self.program.scratch_bytes
        for slot, offset in zip(placed, offsets, strict=True):
            layout.offsets[slot.index] = offset
        layout.complete = layout.complete and None not in layout.shapes
        if layout.complete:
            layout.bytes = sum(map(_bytes, self.program.slots, layout.shapes))

    def check_guards(self, env: Mapping[Symbol, int]) -> None:
        """Raise for sizes that must agree and do not, and for slices that leave their operand."""
        for checks in self.program.checks:
            if _size_or_unknown(checks.rounds, env) != 0:
                _check(checks, env)

    def take_arena(self, size: int) -> Array:
        """Return an aligned block of at least `size` bytes, a used one where there is one."""
        while self._arenas:
            arena = self._arenas.pop()
            if arena.nbytes >= size:
                return arena
        return aligned_bytes(size)


class _Call:
    """The state of one call in progress."""

    def __init__(self, executable: Executable, layout: Layout, arguments: list[Array]) -> None:
        self.executable = executable
        self.layout = layout
        self.env = layout.env if layout.complete else dict(layout.env)
        self.sizes = layout.sizes if layout.complete else layout.sizes.copy()
        self.error: BaseException | None = None
        self.kept: list[Array] = []
        program = executable.program
        self.table = np.zeros(len(program.slots) + 1 + len(executable.words), dtype=np.uintp)
        self.arrays: dict[Node, Any] = dict(zip(executable._arguments, arguments, strict=True))
        self.arena = executable.take_arena(layout.arena)
        self.table[len(program.slots)] = self.arena.ctypes.data + layout.scratch
        self.table[len(program.slots) + 1 :] = executable.words
        self._late = [] if layout.complete else list(program.slots)
        for slot in program.slots:
            self._fill(slot, layout.shapes[slot.index])

    def _fill(self, slot: Slot, shape: tuple[int, ...] | None) -> None:
        """Give a slot its memory as soon as its shape is known."""
        if slot.kind in ("call", "pointer"):
            return
        if slot.kind == "kept":
            self._fill_kept(slot, shape)
            return
        if slot.kind == "input":
            array = self.arrays[slot.node]
        elif slot.kind == "constant":
            array = slot.node.attrs["value"].array
            self.arrays[slot.node] = array
        elif shape is None:
            return
        else:
            array = self._new_array(slot, shape)
            self.arrays[slot.node] = array
        self.table[slot.index] = array.ctypes.data

    def _fill_kept(self, slot: Slot, shape: tuple[int, ...] | None) -> None:
        """Give memory to what only a loop uses: many slots may stand for one node."""
        if shape is not None and not self.table[slot.index]:
            array = self._new_array(slot, shape)
            self.kept.append(array)
            self.table[slot.index] = array.ctypes.data

    def _new_array(self, slot: Slot, shape: tuple[int, ...]) -> Array:
        dtype = slot.type.dtype.numpy
        offset = self.layout.offsets[slot.index]
        if slot.kind == "output" or offset is None:
            return np.empty(shape, dtype)
        return np.ndarray(shape, dtype, buffer=self.arena.data, offset=offset)

    # --- call-outs ------------------------------------------------------------------------------

    def run_step(self, step: int) -> None:
        """Evaluate a call-out's node and put its results where kernels find them."""
        found = self.executable.program.schedule.steps[step]
        assert isinstance(found, CallStep)
        node = found.node
        values = [self.array_of(x) for x in node.inputs]
        with np.errstate(all="ignore"):
            value = evaluate_node(node, values, self.env, self.executable._run_body)
        self.arrays[node] = value
        parts = value if isinstance(node.type, tuple) else (value,)
        for result, array in zip(results(node), parts, strict=True):
            # A view of an operand would change when the operand's memory is used again.
            shared = any(np.may_share_memory(array, x) for x in values)
            self._put_result(result, array.copy() if shared else array)
        if self._late:
            self._resolve_late()

    def _put_result(self, result: Node, array: Array) -> None:
        array = _readable(array)
        self.arrays[result] = array
        for dim, size in zip(result.tensor_type.shape, array.shape, strict=True):
            symbol = D.as_symbol(dim)
            if symbol is not None and symbol not in self.env:
                self.env[symbol] = size
        place = self.executable.program.place.get(result)
        if place is not None:
            self.table[place] = array.ctypes.data

    def _resolve_late(self) -> None:
        """Work out sizes and make buffers that earlier waited for a call-out."""
        program = self.executable.program
        self.executable.check_guards(self.env)
        for i, dim in enumerate(program.sizes):
            if self.sizes[i] == -1:
                self.sizes[i] = _size_or_unknown(dim, self.env)
        for slot in self._late:
            if slot.kind == "kept" or (slot.node not in self.arrays and slot.kind != "call"):
                self._fill(slot, _shape_or_none(slot, self.env))

    def array_of(self, node: Node) -> Array:
        """Return a node's value; what has no buffer of its own is a view of something that has."""
        chain: list[Node] = []
        while node not in self.arrays:
            chain.append(node)
            node = node.inputs[0]
        value: Array = self.arrays[node]
        for link in reversed(chain):
            value = evaluate_node(link, [value], self.env, self.executable._run_body)
        return value

    # --- results --------------------------------------------------------------------------------

    def root_arrays(self) -> list[Array]:
        """Return the value of every root in an array of its own."""
        given: set[int] = set()
        out = []
        for root in self.executable.program.graph.roots:
            array, owned = self._root_array(root)
            if not owned or id(_base(array)) in given:
                array = array.copy()
            given.add(id(_base(array)))
            out.append(array)
        return out

    def _root_array(self, root: Node) -> tuple[Array, bool]:
        """Return a root's array and whether nobody else refers to its memory."""
        stored = root
        while is_alias(stored):
            stored = stored.inputs[0]
        slot = self.executable.program.place.get(stored)
        kind = None if slot is None else self.executable.program.slots[slot].kind
        array = self.array_of(stored)
        owned = kind == "output" or (kind == "call" and array.base is None and array.flags.owndata)
        if stored is not root:
            array = array.reshape(tuple(D.evaluate(d, self.env) for d in root.tensor_type.shape))
        given = (self.arrays[x] for x in self.executable._arguments)
        return array, owned and not any(array is x for x in given)


def _base(array: Array) -> Array:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _readable(array: Array) -> Array:
    """Return the array itself when native code can read it, else a contiguous aligned copy."""
    array = np.asarray(array)  # a row of a vector is a NumPy scalar
    flags = array.flags
    if flags.c_contiguous and flags.aligned and array.dtype.isnative:
        return array
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C", copy=True)


def _size_or_unknown(dim: Dim, env: Mapping[Symbol, int]) -> int:
    value = D.substitute(dim, env)
    return value if isinstance(value, int) else -1


def _check(checks: Checks, env: Mapping[Symbol, int]) -> None:
    for guard in checks.guards:
        left, right = _size_or_unknown(guard.left, env), _size_or_unknown(guard.right, env)
        if left != right and -1 not in (left, right):
            text = f"expected {guard.right} = {right}, found {guard.left} = {left}"
            raise _refusal_of(guard.node, env, ShapeError(text, code="ST0104"))
    for extremum in checks.extrema:
        empty = _size_or_unknown(extremum.reduced, env) == 0
        if empty and _size_or_unknown(extremum.kept, env) > 0:
            nothing = ShapeError("no extremum of nothing", code="ST0109")
            raise _refusal_of(extremum.node, env, nothing)
    for node in checks.slices:
        _check_slice(node, env)


def _refusal_of(node: Node, env: Mapping[Symbol, int], otherwise: ShapeError) -> Exception:
    """Return what the reference says of operands of these shapes; `otherwise` where it can't."""
    shapes = [[_size_or_unknown(d, env) for d in x.tensor_type.shape] for x in node.inputs]
    if all(n >= 0 for shape in shapes for n in shape):
        kinds = [x.tensor_type.dtype.numpy for x in node.inputs]
        zeros = [np.broadcast_to(np.zeros((), k), s) for k, s in zip(kinds, shapes, strict=True)]
        try:
            evaluate_node(node, zeros, dict(env))
        except ShapeError as error:
            return error
    return located(otherwise, node, [])


def _check_slice(node: Node, env: Mapping[Symbol, int]) -> None:
    def known(dims: Iterable[Dim]) -> tuple[Dim, ...]:
        return tuple(D.substitute(d, env) for d in dims)

    found = positions_of(node)
    assert found is not None
    shape, starts, steps, lengths = found
    try:
        check_positions(known(shape), known(starts), steps, known(lengths))
    except (IndexOutOfRange, ShapeError) as error:
        raise located(error, node, []) from None


def _shape_or_none(slot: Slot, env: Mapping[Symbol, int]) -> tuple[int, ...] | None:
    sizes = [D.substitute(d, env) for d in slot.type.shape]
    shape = tuple(n for n in sizes if isinstance(n, int))
    if any(n < 0 for n in shape):
        error = ShapeError(f"a size must not be negative, found shape {sizes}", code="ST0110")
        raise located(error, slot.node, [])
    return shape if len(shape) == len(sizes) else None


def _bytes(slot: Slot, shape: tuple[int, ...] | None) -> int:
    assert shape is not None
    size = slot.type.dtype.itemsize
    for n in shape:
        size *= n
    return size
