"""Engines: what runs graphs. `numpy` defines what every op means; `llvm` makes machine code."""

from symtensor.engines.base import (
    CAPABILITIES,
    Engine,
    Executable,
    available_engines,
    bind_sizes,
    get_engine,
    register_engine,
)

__all__ = [
    "CAPABILITIES", "Engine", "Executable", "available_engines", "bind_sizes", "get_engine",
    "register_engine",
]  # fmt: skip
