"""Long modules are compiled in parts, side by side: linked, they are the module."""

import ctypes
import gc
import re
import weakref

import pytest

from symtensor.codegen import jit, parts
from symtensor.codegen.gemm import Products, with_needed
from symtensor.codegen.target import host, named
from symtensor.ir.dtypes import float32

CHAIN = "\n\n".join(
    ["@table = internal constant [2 x ptr] [ptr @f0, ptr @f1]"]
    + [
        f"define internal i64 @f{i}(i64 %x) nounwind {{\n  %y = call i64 @f{i + 1}(i64 %x)\n"
        f"  %z = add i64 %y, {i}\n  ret i64 %z\n}}"
        for i in range(40)
    ]
    + ["define internal i64 @f40(i64 %x) nounwind {\n  ret i64 %x\n}"]
    + [
        "define i64 @start(i64 %x) nounwind {\n  %p = load ptr, ptr @table\n"
        "  %y = call i64 %p(i64 %x)\n  ret i64 %y\n}"
    ]
)


@pytest.fixture
def short_parts(monkeypatch):
    monkeypatch.setattr(parts, "PART", 500)


def defined(text):
    return re.findall(r"(?m)^define .*?@([\w.]+)\(", text)


def test_a_short_module_is_left_as_it_is():
    assert parts.parts_of(CHAIN[:200]) == [CHAIN[:200]]
    assert parts.parts_of(CHAIN) == [CHAIN]


def test_every_function_is_in_one_part(short_parts):
    cut = parts.parts_of(CHAIN)
    assert len(cut) == round(len(CHAIN) / 500)
    assert sorted(name for part in cut for name in defined(part)) == sorted(defined(CHAIN))
    assert max(map(len, cut)) < 3 * min(map(len, cut))
    for part in cut:
        jit.verified_module(part)


@pytest.mark.parametrize("threads", [1, 3])
def test_linked_parts_call_each_other(short_parts, monkeypatch, threads):
    monkeypatch.setenv("SYMTENSOR_NUM_THREADS", str(threads))
    monkeypatch.setenv("SYMTENSOR_CACHE", "off")
    (code,) = jit.emit_objects([jit.Text(lambda: CHAIN)], host())
    assert len(code) > 3
    loaded = jit.LoadedCode(code, ["start"])
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(loaded.address("start"))
    assert call(1000) == 1000 + sum(range(40))


def test_threads_make_the_same_objects(monkeypatch):
    monkeypatch.setenv("SYMTENSOR_CACHE", "off")
    text = Products(float32).module(host())
    made = []
    for threads in (1, 4):
        monkeypatch.setenv("SYMTENSOR_NUM_THREADS", str(threads))
        made.append(jit.emit_objects([jit.Text(lambda: text)], host()))
    assert made[0] == made[1] and len(made[0][0]) > 1


def test_without_llvmlites_bare_function(monkeypatch):
    expected = jit.compile_object(CHAIN, host())
    real = jit.ffi.lib.LLVMPY_TargetMachineEmitToMemory
    calls = []

    def emit(*arguments):
        calls.append(1)
        return real(*arguments)

    monkeypatch.setitem(jit.ffi.lib._fntab, "LLVMPY_TargetMachineEmitToMemory", emit)
    assert jit.compile_object(CHAIN, host()) == expected and calls


@pytest.mark.parametrize("machine", ["avx512", "avx2", "sse2", "neon", "apple", "windows"])
def test_products_come_apart_on_every_target(machine):
    there = named(machine)
    for own in with_needed([Products(float32, may_be_vectors=True)]):
        for part in parts.parts_of(own.module(there)):
            jit.verified_module(part)


def test_linkers_go_with_the_last_of_their_libraries():
    """LLVM keeps something of every library in its linker: functions come and go without end."""
    text = "define i64 @plus(i64 %a) {\n  %b = add i64 %a, 3\n  ret i64 %b\n}\n"
    code = [jit.compile_object(text, host())]
    linkers, kept = [], None
    for number in range(4 * jit.LIBRARIES):
        library = jit.LoadedCode(code, ["plus"])
        if library._library.linker not in [r() for r in linkers]:
            linkers.append(weakref.ref(library._library.linker))
        if number == jit.LIBRARIES + 5:
            kept = library
    del library
    gc.collect()
    alive = [own() for own in linkers[1:] if own() is not None]  # the first has others too
    assert len(linkers) >= 4
    assert {kept._library.linker, jit._linker} == set(alive)
    plus = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(kept.address("plus"))
    assert plus(4) == 7
