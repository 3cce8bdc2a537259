"""What ``doctor`` looks at, each check by itself: one that raises is a finding, not the end.

In: nothing but this machine. Out: findings that are ``ok``, a ``note`` (works, but not as well as it could)
or ``wrong``, each with what to do. Every check runs the real thing: a module through LLVM, a program on
each engine held against the reference, an entry written to the cache and read back.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from symtensor.cli.text import seconds, size
from symtensor.errors import SymtensorError


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    name: str
    status: str
    """``ok``, ``note`` or ``wrong``."""
    text: str
    advice: str = ""

    def __str__(self) -> str:
        line = f"{self.status:5}  {self.name:9}  {self.text}"
        return line + (f"\n{'':18}-> {self.advice}" if self.advice else "")


class Wrong(Exception):
    """A check failed; arguments: the fact and what to do."""


def examine() -> list[Finding]:
    """Run all checks."""
    findings = [_run(name, check) for name, check in CHECKS.items()]
    from symtensor.engines.base import available_engines

    return findings + [_run(name, partial(_engine, name)) for name in available_engines()]


def _run(name: str, check: Callable[[], tuple[str, str, str]]) -> Finding:
    try:
        return Finding(name, *check())
    except Wrong as wrong:
        fact, advice = wrong.args
        return Finding(name, "wrong", fact, advice)
    except SymtensorError as error:
        return Finding(name, "wrong", error.message, error.help or "")
    except Exception as error:
        return Finding(
            name, "wrong", f"{type(error).__name__}: {error}", "report this with the text above"
        )


def _python() -> tuple[str, str, str]:
    version = ".".join(map(str, sys.version_info[:3]))
    return "ok", f"Python {version}, {sys.platform}", ""


def _packages() -> tuple[str, str, str]:
    import llvmlite
    import networkx

    found = (
        f"numpy {np.__version__}, llvmlite {llvmlite.__version__}, networkx {networkx.__version__}"
    )
    if int(np.__version__.split(".")[0]) < 2:
        raise Wrong(found, "pip install 'numpy>=2'")
    return "ok", found, ""


def _settings() -> tuple[str, str, str]:
    from symtensor.config import SETTINGS, get_with_origin

    found = {name: get_with_origin(name) for name in SETTINGS}
    changed = [
        f"{name} = {value!r} ({origin})"
        for name, (value, origin) in found.items()
        if origin != "default"
    ]
    checking = found["check"][0] or found["verify"][0]
    status, advice = (
        ("note", "checks make calls slow: unset SYMTENSOR_CHECK") if checking else ("ok", "")
    )
    return status, "; ".join(changed) or "all default", advice


def _llvm() -> tuple[str, str, str]:
    from symtensor.codegen.jit import compile_object
    from symtensor.codegen.target import host

    start = time.perf_counter()
    code = compile_object("define i64 @probe(i64 %x) {\n  ret i64 %x\n}\n", host())
    if not code:
        raise Wrong(
            "LLVM makes no code", "reinstall llvmlite: pip install --force-reinstall llvmlite"
        )
    took = seconds(time.perf_counter() - start)
    target = host()
    text = f"{target.cpu}, vectors of {target.vector_bits} bits, an object file in {took}"
    if target.vector_bits < 256 and target.triple.startswith("x86_64"):
        return "note", text, "this processor has no AVX2: kernels use vectors of 128 bits"
    return "ok", text, ""


def _threads() -> tuple[str, str, str]:
    import symtensor as st
    from symtensor.codegen.target import processors, threads_wanted

    x = st.placeholder((None, None), "float32")
    f = st.function([x], [x @ x, st.exp(x) + 1], engine="llvm", check=False)
    value = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
    with st.config(num_threads=1):
        one = [y.copy() for y in f(value)]
    if any(a.tobytes() != b.tobytes() for a, b in zip(one, f(value), strict=True)):
        raise Wrong(
            "results depend on the number of threads", "set SYMTENSOR_NUM_THREADS=1, report it"
        )
    text = f"{threads_wanted()} of {processors()} processors, the same bits as with 1"
    fewer = threads_wanted() < processors()
    variable = os.environ.get("OMP_NUM_THREADS")
    hint = (
        f"OMP_NUM_THREADS={variable} limits them"
        if variable
        else "the setting num_threads limits them"
    )
    return ("note", text, hint) if fewer else ("ok", text, "")


def _cache() -> tuple[str, str, str]:
    from symtensor.codegen.cache import configured

    store = configured()
    if store is None:
        return (
            "note",
            "switched off, or no folder: every process compiles anew",
            "set SYMTENSOR_CACHE_DIR",
        )
    key, code = f"{os.getpid():064x}", b"symtensor doctor"
    store.put(key, code)
    found = store.get(key)
    store.remove(key)
    if found != code:
        raise Wrong(
            f"{store.folder} can't be used",
            "it must be yours, with write permission for nobody else: chmod 700 it, or set "
            "SYMTENSOR_CACHE_DIR",
        )
    entries = store.entries()
    return "ok", f"{store.folder}: {len(entries)} entries, {size(sum(entries.values()))}", ""


def _entry() -> tuple[str, str, str]:
    import symtensor as st

    x = st.placeholder((None,), "float32")
    f = st.function([x], x + 1, engine="llvm", check=False)
    f(np.ones(3, np.float32))
    if type(f._entry).__name__ != "builtin_function_or_method":
        return (
            "note",
            "calls go through Python: some 10 us each",
            "CPython 3.11 to 3.13 has native calls",
        )
    return "ok", "calls by position run without Python", ""


def _engine(name: str) -> tuple[str, str, str]:
    """Hold an engine against the reference on a small training step."""
    import symtensor as st

    x, labels = st.placeholder((None, 5), "float32"), st.placeholder((None,), "int64")
    w = st.variable(np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3), name="w")
    loss = st.mean(st.sparse_categorical_crossentropy(labels, x @ w, from_logits=True))
    updates = {w: w - 0.1 * st.gradients(loss, w)}
    checks = ["passes", "engine", "aliasing"]
    f = st.function([x, labels], [loss, x[labels]], updates, engine=name, check=checks)
    values = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    for _ in range(3):
        f(values, np.array([0, 1, 2, 0]))
    return "ok", "a training step equals the reference", ""


CHECKS: dict[str, Callable[[], tuple[str, str, str]]] = {
    "python": _python, "packages": _packages, "settings": _settings, "llvm": _llvm,
    "threads": _threads, "cache": _cache, "entry": _entry,
}  # fmt: skip
