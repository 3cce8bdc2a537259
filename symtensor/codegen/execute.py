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
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from symtensor.codegen import stage
from symtensor.codegen.call import Call, readable
from symtensor.codegen.driver import done
from symtensor.codegen.frame import Binding, Frame, supported
from symtensor.codegen.layout import Layout, Shapes, make_layout, slot_bytes
from symtensor.codegen.memory import Arenas, MemoryUse
from symtensor.codegen.program import Program
from symtensor.errors import IndexOutOfRange, SymbolicValueError
from symtensor.ir.dims import Symbol
from symtensor.ir.graph import Graph
from symtensor.nesting import nestable
from symtensor.ops.interpret import Array, RunBody, run_graph

_DRIVER = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64
)
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_numbers = itertools.count(1)


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
        self._arenas = Arenas()
        self._calls: dict[int, Call] = {}
        self._variables = program.graph.variables()
        self._arguments = [*program.graph.inputs, *self._variables]
        self._frame: Frame | None = None

    def bind(self, binding: Binding) -> Callable[..., Any] | None:
        """Return the native entry for a function's calls, or None where it can't serve them."""
        if not supported(self.program):
            return None
        self._frame = Frame(self.program, binding, self._callback_address or 0, self._arenas)
        entry: Callable[..., Any] = self._frame.entry
        return entry

    @nestable
    def __call__(
        self,
        inputs: Sequence[Array],
        variables: Sequence[Array] = (),
        env: Mapping[Symbol, int] | None = None,
    ) -> list[Array]:
        """Return fresh arrays: the outputs, then the next values of updated variables."""
        arguments = [readable(x) for x in (*inputs, *variables)]
        layout = self._layout(tuple(x.shape for x in arguments), env)
        given = dict(zip(self._arguments, arguments, strict=True))
        call = Call(self.program, layout, given, self._arenas.take(layout.arena), self._run_body)
        number = next(_numbers)
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
        self._arenas.give_back(call.arena)
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
            sizes[slot.kind] += slot_bytes(slot, shape)
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
            return 0
        return done(number, step)

    def _refusal(
        self, step: int, arguments: Sequence[Array], env: Mapping[Symbol, int]
    ) -> BaseException:
        """Return the error of a step that refused an index: the interpreter finds and names it."""
        if step in self.program.call_outs:  # ctypes caught what a signal handler raised
            return KeyboardInterrupt(f"{self.program.call_outs[step].op.name} was interrupted")
        found = self.program.schedule.steps[step]
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
            found = self._layouts[key] = make_layout(self.program, shapes, env, self.words)
        return found
