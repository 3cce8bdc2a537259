"""One call of a program: its table of pointers, its call-outs, its results.

In: a layout, the arguments and an arena. The table is filled at once from the layout; arrays for NumPy
are made only where a call-out reads one. Out: the roots, each in memory of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from symtensor.codegen.layout import Layout, check_guards, shape_or_none, size_or_unknown
from symtensor.codegen.program import Program
from symtensor.codegen.schedule import is_alias
from symtensor.ir import dims as D
from symtensor.ir.alignment import new_array
from symtensor.ir.node import Node, results
from symtensor.ops.interpret import Array, RunBody, evaluate_node


class Call:
    """The state of one call in progress."""

    def __init__(
        self,
        program: Program,
        layout: Layout,
        arguments: Mapping[Node, Array],
        arena: Array,
        run_body: RunBody,
    ) -> None:
        self.program = program
        self.layout = layout
        self.arena = arena
        self.run_body = run_body
        self.env = layout.env if layout.complete else dict(layout.env)
        self.sizes = layout.sizes if layout.complete else layout.sizes.copy()
        self.error: BaseException | None = None
        self.arrays: dict[Node, Any] = dict(arguments)
        self.given = {id(array) for array in arguments.values()}
        self.kept: list[Array] = []
        """Memory that only a loop uses."""
        self.table = layout.table.copy()
        self.table[layout.in_arena] += np.uintp(arena.ctypes.data)
        for slot in layout.own:
            if slot.kind == "output":
                shape = layout.shapes[slot.index]
                assert shape is not None
                self.arrays[slot.node] = new_array(shape, slot.type.dtype.numpy)
            self.table[slot.index] = self.arrays[slot.node].ctypes.data

    # --- call-outs ------------------------------------------------------------------------------

    def run_step(self, step: int) -> None:
        """Evaluate a call-out's node and put its results where kernels find them."""
        node = self.program.call_outs[step]
        values = [self.array_of(x) for x in node.inputs]
        with np.errstate(all="ignore"):
            value = evaluate_node(node, values, self.env, self.run_body)
        self.arrays[node] = value
        parts = value if isinstance(node.type, tuple) else (value,)
        for result, array in zip(results(node), parts, strict=True):
            # A view of an operand would change when the operand's memory is used again.
            shared = any(np.may_share_memory(array, x) for x in values)
            self._put_result(result, array.copy() if shared else array)
        if not self.layout.complete:
            self._resolve_late()

    def _put_result(self, result: Node, array: Array) -> None:
        array = readable(array)
        self.arrays[result] = array
        if not self.layout.complete:
            for dim, size in zip(result.tensor_type.shape, array.shape, strict=True):
                symbol = D.as_symbol(dim)
                if symbol is not None and symbol not in self.env:
                    self.env[symbol] = size
        place = self.program.place.get(result)
        if place is not None:
            self.table[place] = array.ctypes.data

    def _resolve_late(self) -> None:
        """Work out sizes and make buffers that earlier waited for a call-out."""
        check_guards(self.program, self.env)
        for i, dim in enumerate(self.program.sizes):
            if self.sizes[i] == -1:
                self.sizes[i] = size_or_unknown(dim, self.env)
        for slot in self.layout.late:
            shape = None if self.table[slot.index] else shape_or_none(slot, self.env)
            if shape is not None:
                array = np.empty(shape, slot.type.dtype.numpy)
                self.table[slot.index] = array.ctypes.data
                if slot.kind == "kept":  # many slots may stand for one node
                    self.kept.append(array)
                else:
                    self.arrays[slot.node] = array

    def array_of(self, node: Node) -> Array:
        """Return a node's value; what has no buffer of its own is a view of something that has."""
        chain: list[Node] = []
        while (value := self._stored(node)) is None:
            chain.append(node)
            node = node.inputs[0]
        for link in reversed(chain):
            value = evaluate_node(link, [value], self.env, self.run_body)
        found: Array = value
        return found

    def _stored(self, node: Node) -> Any:
        """Return what a node's buffer holds; None for a node without one."""
        found, place = self.arrays.get(node), self.program.place.get(node)
        if found is not None or place is None:
            return found
        slot, offset = self.program.slots[place], self.layout.offsets[place]
        if slot.kind == "constant":
            found = node.attrs["value"].array
        elif offset is not None:
            shape, dtype = self.layout.shapes[place], slot.type.dtype.numpy
            assert shape is not None
            found = np.ndarray(shape, dtype, buffer=self.arena.data, offset=offset)
        self.arrays[node] = found
        return found

    # --- results --------------------------------------------------------------------------------

    def root_arrays(self) -> list[Array]:
        """Return the value of every root in an array of its own."""
        given: set[int] = set()
        out = []
        for root in self.program.graph.roots:
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
        slot = self.program.place.get(stored)
        kind = None if slot is None else self.program.slots[slot].kind
        array = self.array_of(stored)
        owned = kind == "output" or (kind == "call" and array.base is None and array.flags.owndata)
        if stored is not root:
            array = array.reshape(tuple(D.evaluate(d, self.env) for d in root.tensor_type.shape))
        return array, owned and id(array) not in self.given


def _base(array: Array) -> Array:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def readable(array: Array) -> Array:
    """Return the array itself when native code can read it, else a contiguous aligned copy."""
    array = np.asarray(array)  # a row of a vector is a NumPy scalar
    flags = array.flags
    if flags.c_contiguous and flags.aligned and array.dtype.isnative:
        return array
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C", copy=True)
