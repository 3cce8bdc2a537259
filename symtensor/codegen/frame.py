"""Frames: what the native entry needs to run one function for the shapes of its last call.

A frame is bound to a function once and filled anew whenever a call with other shapes has gone
through Python. It holds an arena and has a table of its own, so it never meets the calls that run in
Python. It serves programs whose every step is native and whose every root has memory of its own.
"""

from __future__ import annotations

import ctypes
import functools
import math
import sys
import sysconfig
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symtensor import forks
from symtensor.codegen import entry, frame_layout
from symtensor.codegen.frame_layout import INPUT_WORDS, OUTPUT_WORDS, InputWord, OutputWord, Word
from symtensor.codegen.jit import load_entry
from symtensor.codegen.memory import Arenas
from symtensor.codegen.program import Program
from symtensor.codegen.schedule import storage_node
from symtensor.ir import dims as D
from symtensor.ir.alignment import owner_bytes
from symtensor.ir.node import Node
from symtensor.ops.variables import Store

Array = np.ndarray[Any, Any]
LONG = 64 << 10
"""Bytes of buffers from which a call lets other Python threads run."""
_FASTCALL = 0x0080


@dataclass(frozen=True, slots=True)
class Binding:
    """What a function tells its executable about its calls."""

    stores: Sequence[Store]
    """Boxes of the variables that it reads, in the order of ``graph.variables()``."""
    targets: Sequence[Store]
    """Boxes that it updates."""
    result: str
    """What it returns: ``nothing``, ``one`` array or a ``list``."""
    slow: Callable[..., Any]
    """Does a call in Python; kept alive by the function."""


def supported(program: Program) -> bool:
    """Return True for programs that run without Python and own all their results."""
    if not _layouts_are_known() or program.call_outs:
        return False
    stored = [storage_node(root) for root in program.graph.roots]
    kinds = [program.slots[program.place[x]].kind if x in program.place else "" for x in stored]
    return len(set(stored)) == len(stored) and all(kind == "output" for kind in kinds)


_frames: weakref.WeakSet[Frame] = weakref.WeakSet()


class Frame:
    """The words that the entry reads, and everything they point to."""

    def __init__(self, program: Program, binding: Binding, callback: int, arenas: Arenas) -> None:
        graph = program.graph
        self.program = program
        self.arguments: list[Node] = [*graph.inputs, *graph.variables()]
        self.roots: list[Node] = [*graph.roots]
        self.words = np.zeros(len(Word), np.int64)
        self.inputs = np.zeros((len(self.arguments), INPUT_WORDS), np.int64)
        self.outputs = np.zeros((len(self.roots), OUTPUT_WORDS), np.int64)
        self.dims = [np.zeros(max(x.tensor_type.ndim, 1), np.int64)
                     for x in (*self.arguments, *self.roots)]  # fmt: skip
        self.binding = binding
        self.layout: Any = None
        self.filling = threading.Lock()
        self.arenas = arenas
        self.arena: Array | None = None
        self.keep: list[Any] = []
        self._set_records(binding)
        self._set_words(binding, callback)
        self.entry = self._make_builtin()
        _frames.add(self)

    def _set_records(self, binding: Binding) -> None:
        count = len(self.program.graph.inputs)
        unread = len(self.program.slots) + 1
        dims = iter(self.dims)
        for i, (node, record) in enumerate(zip(self.arguments, self.inputs, strict=True)):
            dtype = node.tensor_type.dtype.numpy
            record[InputWord.SOURCE] = i if i < count else -1
            if i >= count:
                record[InputWord.PLACE] = _place_of_array(binding.stores[i - count])
            record[InputWord.DTYPE] = id(dtype)
            record[InputWord.RANK] = node.tensor_type.ndim
            record[InputWord.DIMS] = next(dims).ctypes.data
            record[InputWord.TABLE] = self.program.place.get(node, unread)
        returned = len(self.roots) - len(binding.targets)
        for i, (root, record) in enumerate(zip(self.roots, self.outputs, strict=True)):
            dtype = root.tensor_type.dtype.numpy
            if i >= returned:
                record[OutputWord.PLACE] = _place_of_array(binding.targets[i - returned])
            record[OutputWord.DTYPE] = id(dtype)
            record[OutputWord.NUMBER] = dtype.num
            record[OutputWord.RANK] = root.tensor_type.ndim
            record[OutputWord.DIMS] = next(dims).ctypes.data
            record[OutputWord.TABLE] = self.program.place[storage_node(root)]

    def _set_words(self, binding: Binding, callback: int) -> None:
        words = self.words
        words[Word.ARITY] = len(self.program.graph.inputs)
        words[Word.INPUTS] = len(self.arguments)
        words[Word.OUTPUTS] = len(self.roots)
        words[Word.RETURNED] = len(self.roots) - len(binding.targets)
        words[Word.RESULT] = frame_layout.RESULTS.index(binding.result)
        words[Word.DRIVER] = self.program.driver
        words[Word.CALLBACK] = callback
        words[Word.SLOW] = id(binding.slow)
        words[Word.INPUT_RECORDS] = self.inputs.ctypes.data
        words[Word.OUTPUT_RECORDS] = self.outputs.ctypes.data

    def _make_builtin(self) -> Any:
        self.definition = _MethodDef(b"call", load_entry().address(entry.NAME), _FASTCALL, None)
        make = ctypes.pythonapi.PyCFunction_NewEx
        make.restype = ctypes.py_object
        make.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
        return make(ctypes.addressof(self.definition), self.words, None)

    def fill(self, layout: Any) -> None:
        """Prepare the entry for the shapes of a layout, unless the frame is in use."""
        if layout is self.layout or not layout.complete or self.words[Word.BUSY]:
            return
        if not self.filling.acquire(blocking=False):
            return  # another thread fills it: of two halves nobody could make a whole
        try:
            self.words[Word.READY] = 0  # from here on no call begins
            self.layout = None
            if not self.words[Word.BUSY]:
                self._fill(layout)
        finally:
            self.filling.release()

    def _fill(self, layout: Any) -> None:
        program, env = self.program, layout.env
        for dims, node in zip(self.dims, (*self.arguments, *self.roots), strict=True):
            dims[: node.tensor_type.ndim] = [D.evaluate(d, env) for d in node.tensor_type.shape]
        for root, dims, record in zip(
            self.roots, self.dims[len(self.arguments) :], self.outputs, strict=True
        ):
            size = math.prod(dims[: root.tensor_type.ndim].tolist())
            record[OutputWord.BYTES] = owner_bytes(size * root.tensor_type.dtype.itemsize)
        if self.arena is not None:
            before, self.arena = self.arena, None
            self.arenas.give_back(before)
        self.arena = arena = self.arenas.take(layout.arena)
        count = len(program.slots) + 1
        table = np.append(layout.table[:count], np.uintp(0))  # the last for what no kernel reads
        table[layout.in_arena] += np.uintp(arena.ctypes.data)
        self.keep = [table, layout.sizes]
        self.words[Word.TABLE] = table.ctypes.data
        self.words[Word.SIZES] = layout.sizes.ctypes.data
        self.words[Word.RELEASE] = layout.bytes > LONG
        self.layout = layout
        self.words[Word.READY] = 1

    def renew(self) -> None:
        """Make the frame free; no call may be using it."""
        self.filling = threading.Lock()
        self.layout = None
        self.words[Word.READY] = self.words[Word.BUSY] = 0

    def __del__(self) -> None:
        if sys.is_finalizing():
            return
        release = ctypes.pythonapi.Py_DecRef
        for record in self.outputs:
            for word in (OutputWord.FIRST, OutputWord.SECOND):
                if record[word]:
                    release(ctypes.c_void_p(int(record[word])))


def _renew_frames() -> None:
    """In a child process: calls of other threads do not go on there."""
    for frame in list(_frames):
        frame.renew()


forks.in_child(_renew_frames)


class _MethodDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


def _place_of_array(store: Store) -> int:
    """Return the address of the field of a box that refers to its array."""
    return id(store) + _array_field()


@functools.cache
def _array_field() -> int:
    probe = Store(np.zeros(1))
    words = _words_of(probe, Store.__basicsize__)
    return 8 * words.index(id(probe.array))


def _words_of(thing: Any, size: int) -> list[int]:
    return list((ctypes.c_size_t * (size // 8)).from_address(id(thing)))


@functools.cache
def _layouts_are_known() -> bool:
    """Return True when objects lie in memory as the entry assumes; else all calls go by Python."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return False
    probe = np.arange(6.0).reshape(2, 3)
    size = np.ndarray.__basicsize__
    if size < frame_layout.WEAK + 8:
        return False
    words = _words_of(probe, size)
    dims = (ctypes.c_int64 * 2).from_address(words[frame_layout.DIMS // 8])
    store = Store(probe)
    return (
        words[frame_layout.TYPE // 8] == id(np.ndarray)
        and words[frame_layout.DATA // 8] == probe.ctypes.data
        and words[frame_layout.RANK // 8] & 0xFFFFFFFF == 2
        and tuple(dims) == (2, 3)
        and words[frame_layout.BASE // 8] == id(probe.base)
        and words[frame_layout.DTYPE // 8] == id(probe.dtype)
        and words[frame_layout.FLAGS // 8] & 0xFFFFFFFF == probe.flags.num
        and _tells_kinds(probe.dtype)
        and _finds_weak_references()
        and _words_of(store, Store.__basicsize__).count(id(probe)) == 1
    )


def _tells_kinds(dtype: np.dtype[Any]) -> bool:
    found = ctypes.string_at(id(dtype) + frame_layout.KIND, 8)
    known = f"{dtype.kind}{dtype.char}{dtype.byteorder}".encode()
    return found[:3] == known and int.from_bytes(found[4:], sys.byteorder) == dtype.num


def _finds_weak_references() -> bool:
    probe = np.zeros(1)
    place = frame_layout.WEAK // 8
    before = _words_of(probe, np.ndarray.__basicsize__)[place]
    reference = weakref.ref(probe)
    return before == 0 != _words_of(reference(), np.ndarray.__basicsize__)[place]
