"""LLVM text -> machine code in this process.

The text is verified before anything else touches it (an invalid module can end the process), turned
into an object file, and linked. The object's bytes are all that linking needs.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import itertools
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from symtensor.codegen import cache, entry, gemm, pool
from symtensor.codegen.target import Target, host
from symtensor.codegen.vecmath import LIBRARY, RARELY
from symtensor.errors import LoweringError
from symtensor.ir.dtypes import DType

_lock = threading.RLock()  # LLVM's parser, code generator and linker are entered one at a time
_names = itertools.count()
_engine: Any = None


def verified_module(text: str) -> Any:
    """Return the parsed module; raises `LoweringError` with the text when LLVM rejects it."""
    try:
        module = llvm.parse_assembly(text)
        module.verify()
    except RuntimeError as error:
        failure = LoweringError(f"LLVM rejects generated code: {error}")
        failure.add_note(text)
        raise failure from None
    return module


def emit_object(text: str, target: Target) -> bytes:
    """Return the object file for a module's text, from the disk where it was compiled before."""
    store = cache.configured()
    if store is None:
        return compile_object(text, target)
    key = cache.object_key(text, target)
    code = store.get(key)
    if code is None:
        code = compile_object(text, target)
        store.put(key, code)
    return code


def compile_object(text: str, target: Target) -> bytes:
    """Return the object file for a module's text, made by LLVM."""
    with _lock:
        machine = target.machine()
        module = verified_module(text)
        return bytes(machine.emit_object(module))


def emit_assembly(text: str, target: Target) -> str:
    """Return the assembly for a module's text; works for targets other than this machine."""
    with _lock:
        machine = target.machine()
        return str(machine.emit_assembly(verified_module(text)))


class LoadedCode:
    """An object file linked into this process; unloaded when dropped."""

    def __init__(
        self,
        code: bytes,
        symbols: list[str],
        libraries: Sequence[LoadedCode] = (),
        imports: Mapping[str, int] | None = None,
    ) -> None:
        with _lock:
            builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
            for name, address in (_library_functions() | dict(imports or {})).items():
                builder.import_symbol(name, address)
            for library in libraries:
                for name, address in library._addresses.items():
                    builder.import_symbol(name, address)
            for symbol in symbols:
                builder.export_symbol(symbol)
            self._library = builder.link(_jit(), f"symtensor{next(_names)}")
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
        code = emit_object(pool.pool_module(target), target)
        return LoadedCode(code, list(pool.SYMBOLS), imports=imports)


_products: dict[tuple[Target, DType], LoadedCode] = {}


def load_gemm(target: Target, dtype: DType) -> LoadedCode:
    """Return the matrix product of a dtype, compiled once per process."""
    with _lock:
        found = _products.get((target, dtype))
        if found is None:
            code = emit_object(gemm.gemm_module(target, dtype), target)
            found = LoadedCode(
                code, [x.format(dtype.name) for x in (gemm.NAME, gemm.ALONE)], [load_pool()]
            )
            _products[target, dtype] = found
        return found


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
        code = emit_object(entry.entry_module(), host())
        return LoadedCode(code, [entry.NAME], imports=imports)


def _array_interface() -> Any:
    """Return NumPy's table of C functions."""
    capsule = importlib.import_module("numpy._core._multiarray_umath")._ARRAY_API
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return (ctypes.c_void_p * 100).from_address(pointer(capsule, None))


@functools.cache
def _library_functions() -> dict[str, int]:
    """Return the addresses of the C functions that generated code may call."""
    library = ctypes.CDLL("ucrtbase" if os.name == "nt" else None)
    names = {*LIBRARY.values(), *RARELY}
    return {name: ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in names}


def _jit() -> Any:
    global _engine
    if _engine is None:
        _engine = llvm.create_lljit_compiler(host().machine())
    return _engine
