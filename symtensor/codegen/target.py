"""The machine that code is made for. Every level asks a `Target`; nothing else knows a machine.

`host()` describes this computer; `named` gives fixed targets, so that code for other machines can be
emitted and looked at anywhere.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm

from symtensor.config import get as get_setting
from symtensor.errors import LoweringError

OPTIONS: dict[str, Any] = {"opt": 2, "reloc": "pic"}
"""How LLVM makes code."""


@functools.cache
def _initialize() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


@dataclass(frozen=True, slots=True)
class Target:
    """A processor as code generation sees it."""

    triple: str
    cpu: str
    features: str
    vector_bits: int
    """Width of the vector registers to use."""
    has_fma: bool
    """True when a fused multiply-add is one instruction; else ``llvm.fma`` would be a library call."""
    has_half: bool
    """True when conversions between half and float are instructions."""

    def lanes(self, bits: int) -> int:
        """Return how many elements of `bits` bits fill a vector register."""
        return max(self.vector_bits // bits, 1)

    @property
    def vector_registers(self) -> int:
        """How many vector registers there are."""
        return 32 if self.vector_bits == 512 or self.triple.startswith(("aarch64", "arm64")) else 16

    @property
    def has_masks(self) -> bool:
        """True when any lanes of a vector can be moved to and from memory alone, by one instruction."""
        return self.vector_bits == 512

    def exponent_intrinsic(self, word: str, bits: int, width: int) -> str | None:
        """Return LLVM's name for ``scalef``, ``getexp`` or ``getmant`` on floats of some bits, if any."""
        if self.vector_bits != 512 or width * bits not in (128, 256, 512):
            return None
        return f"llvm.x86.avx512.mask.{word}.{'ps' if bits == 32 else 'pd'}.{width * bits}"

    @property
    def table_lanes(self) -> int:
        """Return how many floats of a table `lookup_intrinsic` reads from, 0 for no such instruction."""
        return 16 if self.vector_bits == 512 else 0

    @property
    def lookup_intrinsic(self) -> str:
        """Return LLVM's name for reading any lanes of a vector: of the floats, at these places."""
        return "llvm.x86.avx512.permvar.sf.512"

    @property
    def store_fence(self) -> str | None:
        """Return LLVM's name for waiting until stores past the caches are done; None: not needed."""
        return "llvm.x86.sse.sfence" if self.triple.startswith("x86_64") else None

    @property
    def has_near_data(self) -> bool:
        """True where code and its constants are linked so close that offsets of 32 bits reach."""
        return "-linux-" in self.triple and self.triple.startswith(("x86_64", "aarch64"))

    @property
    def code_model(self) -> str:
        """Return what LLVM may assume of distances; near constants need no registers."""
        return "small" if self.has_near_data else "jitdefault"

    @property
    def fingerprint(self) -> str:
        """All that makes LLVM's code for one text differ from that for another target."""
        options = sorted(OPTIONS.items())
        return repr((self.triple, self.cpu, self.features, options, self.code_model))

    def machine(self) -> Any:
        """Return an LLVM target machine; one per thread of compilation."""
        _initialize()
        target = llvm.Target.from_triple(self.triple)
        return target.create_target_machine(
            cpu=self.cpu, features=self.features, codemodel=self.code_model, **OPTIONS
        )


@functools.cache
def host() -> Target:
    """Return the target of this computer."""
    _initialize()
    triple = llvm.get_process_triple()
    found = llvm.get_host_cpu_features()
    has = {name for name, present in found.items() if present}
    arm = triple.startswith(("aarch64", "arm64"))
    if "avx512f" in has and "avx512vl" in has and "avx512dq" in has:
        bits = 512
    else:
        bits = 256 if "avx2" in has else 128
    return Target(
        triple=triple,
        cpu=llvm.get_host_cpu_name(),
        features=found.flatten(),
        vector_bits=bits,
        has_fma=arm or "fma" in has,
        has_half=arm or "f16c" in has,
    )


_NAMED = {
    "avx512": ("x86_64-unknown-linux-gnu", "skylake-avx512", 512, True, True),
    "avx2": ("x86_64-unknown-linux-gnu", "haswell", 256, True, True),
    "sse2": ("x86_64-unknown-linux-gnu", "x86-64", 128, False, False),
    "neon": ("aarch64-unknown-linux-gnu", "cortex-a76", 128, True, True),
    "apple": ("arm64-apple-macosx13.0.0", "apple-m1", 128, True, True),
    "windows": ("x86_64-pc-windows-msvc", "haswell", 256, True, True),
}


def named(name: str) -> Target:
    """Return a fixed target: avx512, avx2, sse2, neon, apple or windows."""
    if name not in _NAMED:
        raise LoweringError(f"expected a target among {', '.join(_NAMED)}, found {name!r}")
    triple, cpu, bits, fma, half = _NAMED[name]
    return Target(triple, cpu, "", bits, fma, half)


def processors() -> int:
    """Return how many processors this process may use: its affinity and its share (cgroup)."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        count = min(count, max(int(quota) // int(period), 1))
    except (OSError, ValueError):
        pass  # no cgroup, or no limit
    return max(count, 1)


def threads_wanted() -> int:
    """Return the threads to compute with: the setting ``num_threads``, OMP_NUM_THREADS, or all."""
    chosen = int(get_setting("num_threads"))
    if chosen == 0:
        first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
        chosen = int(first) if first.isdigit() else 0
    return chosen or processors()
