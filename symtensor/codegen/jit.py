"""LLVM text -> machine code in this process.

The text is verified before anything else touches it (an invalid module can end the process), turned
into object files, and linked. The objects' bytes are all that linking needs. A long module is cut into
parts, which threads compile side by side.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import itertools
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite.binding import ffi

from symtensor import forks
from symtensor.codegen import cache, entry, pool, sources
from symtensor.codegen.gemm import Products, with_needed
from symtensor.codegen.parts import parts_of
from symtensor.codegen.target import Target, host, threads_wanted
from symtensor.codegen.vecmath import LIBRARY
from symtensor.errors import LoweringError

_lock = threading.RLock()  # LLVM's parser, code generator and linker are entered one at a time
forks.wait_for(getattr(ffi.lib, "_lock", contextlib.nullcontext()))  # llvmlite's, taken inside ours
forks.wait_for(_lock)
_names = itertools.count()
_linker: Any = None
_linked = 0
LIBRARIES = 64
"""How many libraries one linker links. A dropped library leaves 12 KB in its linker, and a linker takes
170 KB and a millisecond to make; all of that is freed when the last of its libraries is dropped."""


def verified_module(text: str) -> Any:
    """Return the parsed module; raises `LoweringError` with the text when LLVM rejects it."""
    try:
        module = llvm.parse_assembly(text, llvm.create_context())
        module.verify()
    except RuntimeError as error:
        failure = LoweringError(f"LLVM rejects generated code: {error}")
        failure.add_note(text)
        raise failure from None
    return module


class Text:
    """The text of a module, written only where its code is not on disk under a key that is known."""

    def __init__(self, write: Callable[[], str], made_of: str = "", key: str = "") -> None:
        self.write = functools.cache(write)
        self.made_of = made_of
        """What the compiler's sources make the text of, where nothing else has part in it."""
        self.key = key
        """The key of its code, once it is known."""

    def find_key(self, store: cache.ObjectCache, target: Target) -> str:
        """Return the key of its code: as given, as remembered, or of the text."""
        if not self.key:
            name = self._name(target)
            remembered = store.get(name) if name else None
            self.key = (remembered or b"").decode() or self.own_key(store, target)
        return self.key

    def own_key(self, store: cache.ObjectCache, target: Target) -> str:
        """Return the key of the text itself: one that was given or remembered may be another's."""
        self.key = cache.object_key(self.write(), target)
        name = self._name(target)
        if name:
            store.put(name, self.key.encode())
        return self.key

    def _name(self, target: Target) -> str | None:
        return sources.key_of(self.made_of, target) if self.made_of else None


def emit_objects(texts: Sequence[Text], target: Target) -> list[list[bytes]]:
    """Return the object files of some modules, from the disk where they were compiled before.

    Modules are compiled in parts, so each has a list of them, by as many threads as compute.
    """
    store = cache.configured()
    keys = {text: text.find_key(store, target) for text in texts} if store else {}
    found = {text: store.get(key) if store else None for text, key in keys.items()}
    objects = {text: cache.parted(code) for text, code in found.items() if code is not None}
    cut = {text: parts_of(text.write()) for text in texts if text not in objects}
    parts = sorted({part for parts in cut.values() for part in parts}, key=lambda p: (-len(p), p))
    made = dict(zip(parts, _compiled(parts, target), strict=True))
    for text, own in cut.items():
        objects[text] = [made[part] for part in own]
        if store:
            store.put(text.own_key(store, target), cache.joined(objects[text]))
    return [objects[text] for text in texts]


def _compiled(texts: Sequence[str], target: Target) -> Iterable[bytes]:
    """Return the object file of each text; several threads share the work."""
    workers = min(len(texts), threads_wanted())
    if workers < 2:
        return [compile_object(text, target) for text in texts]
    from concurrent.futures import ThreadPoolExecutor  # here: often all is on the disk

    with ThreadPoolExecutor(workers, "symtensor-compile") as pool:
        return list(pool.map(compile_object, texts, [target] * len(texts)))


def compile_object(text: str, target: Target) -> bytes:
    """Return the object file for a module's text, made by LLVM; threads may do so at the same time."""
    machine, module = target.machine(), verified_module(text)
    emit = getattr(ffi.lib.LLVMPY_TargetMachineEmitToMemory, "_cfn", None)
    if emit is None:  # another llvmlite: its methods take turns
        return bytes(machine.emit_object(module))
    with ffi.OutputString() as problem:
        # without llvmlite's lock: nothing here is shared
        buffer = emit(machine, module, 1, problem)
        if not buffer:
            raise LoweringError(f"LLVM makes no object of generated code: {problem}")
    try:
        length = ffi.lib.LLVMPY_GetBufferSize(buffer)
        return ctypes.string_at(ffi.lib.LLVMPY_GetBufferStart(buffer), length)
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)


def emit_assembly(text: str, target: Target) -> str:
    """Return the assembly for a module's text; works for targets other than this machine."""
    with _lock:
        machine = target.machine()
        return str(machine.emit_assembly(verified_module(text)))


class LoadedCode:
    """Object files linked into this process; unloaded when dropped."""

    def __init__(
        self,
        code: Sequence[bytes],
        symbols: Sequence[str],
        libraries: Sequence[LoadedCode] = (),
        imports: Mapping[str, int] | None = None,
    ) -> None:
        with _lock:
            builder = llvm.JITLibraryBuilder().add_current_process()
            for part in code:
                builder.add_object_img(part)
            for name, address in (_library_functions() | dict(imports or {})).items():
                builder.import_symbol(name, address)
            for library in libraries:
                for name, address in library._addresses.items():
                    builder.import_symbol(name, address)
            for symbol in symbols:
                builder.export_symbol(symbol)
            linker = _linker_of_next()
            self._library = builder.link(linker, f"symtensor{next(_names)}")
            self._library.linker = linker  # which must not go first
            self._addresses: dict[str, int] = {s: self._library[s] for s in symbols}
            self._libraries = libraries  # they stay loaded as long as this code does

    def address(self, symbol: str) -> int:
        """Return the address of a function."""
        return int(self._addresses[symbol])


@functools.cache
def load_pool() -> LoadedCode:
    """Return the native side of the thread pool, one per process."""
    with _lock:
        target = host()
        library = ctypes.CDLL("kernelbase" if os.name == "nt" else None)
        functions = pool.SYSTEM.get(pool.system_of(target) or "", ())
        names = [text.partition("@")[2].partition("(")[0] for text in functions]
        imports = {x: ctypes.cast(getattr(library, x), ctypes.c_void_p).value or 0 for x in names}
        text = Text(functools.partial(pool.pool_module, target), made_of="pool")
        (code,) = emit_objects([text], target)
        return LoadedCode(code, list(pool.SYMBOLS), imports=imports)


_products: dict[tuple[Target, Products], LoadedCode] = {}


def load_module(
    text: Text,
    symbols: Sequence[str],
    target: Target,
    products: Iterable[Products] = (),
    libraries: Sequence[LoadedCode] = (),
) -> LoadedCode:
    """Return a module linked with the matrix products that it calls, and other libraries.

    Products that this process has not loaded yet are compiled beside it.
    """
    wanted = with_needed(products)
    missing = [x for x in wanted if (target, x) not in _products]
    code, *more = emit_objects([text, *(_text_of(x, target) for x in missing)], target)
    for own, objects in zip(missing, more, strict=True):
        below = [_products[target, x] for x in with_needed([own]) if x != own]
        _products.setdefault((target, own), LoadedCode(objects, own.entries, [load_pool(), *below]))
    return LoadedCode(code, symbols, [*(_products[target, x] for x in wanted), *libraries])


def _text_of(products: Products, target: Target) -> Text:
    return Text(functools.partial(products.module, target), made_of=" ".join(products.entries))


@functools.cache
def load_entry() -> LoadedCode:
    """Return the native entry of calls, compiled once per process."""
    with _lock:
        names = [name for name in (*entry.FUNCTIONS, *entry.DATA_SYMBOLS) if name.startswith("Py_")
                 or name.startswith(("PyObject", "PyEval", "PyList", "_Py"))]  # fmt: skip
        api = ctypes.pythonapi
        imports = {
            name: ctypes.cast(getattr(api, name), ctypes.c_void_p).value or 0 for name in names
        }
        imports["PyArray_Type"] = id(np.ndarray)
        imports["PyArray_New"] = _array_interface()[93]
        imports["PyArray_SetBaseObject"] = _array_interface()[282]
        (code,) = emit_objects([Text(entry.entry_module, made_of="entry")], host())
        return LoadedCode(code, [entry.NAME], imports=imports)


def _array_interface() -> Any:
    """Return NumPy's table of C functions."""
    capsule = importlib.import_module("numpy._core._multiarray_umath")._ARRAY_API
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return (ctypes.c_void_p * 283).from_address(pointer(capsule, None))


@functools.cache
def _library_functions() -> dict[str, int]:
    """Return the addresses of the C functions that generated code may call."""
    library = ctypes.CDLL("ucrtbase" if os.name == "nt" else None)
    names = set(LIBRARY)
    return {name: ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in names}


def _linker_of_next() -> Any:
    """Return the linker for one more library."""
    global _linker, _linked
    if _linked % LIBRARIES == 0:
        # JITLink puts a module's code and data side by side
        near = host().has_near_data
        _linker = llvm.create_lljit_compiler(host().machine(), use_jit_link=near)
    _linked += 1
    return _linker
