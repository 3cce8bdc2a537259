"""The thread pool, Python side: making the workers, stopping them, and living through a fork.

Workers are daemon threads that stay in native code. The pool starts with the first program that
can use it. A child process after a fork has no workers until it loads such a program itself.
"""

from __future__ import annotations

import atexit
import ctypes
import threading
from typing import Any

from symtensor import forks
from symtensor.codegen import pool
from symtensor.codegen.jit import load_pool
from symtensor.codegen.product_blocks import scratch_bytes
from symtensor.codegen.target import host, threads_wanted
from symtensor.ir.alignment import aligned_bytes
from symtensor.ir.dtypes import float32, float64

_lock = threading.Lock()
_workers: list[threading.Thread] = []
_scratches: dict[int, Any] = {}


def start() -> None:
    """Make the pool as large as wanted."""
    with _lock:
        for number in range(len(_workers) + 1, min(threads_wanted(), pool.MOST_THREADS)):
            _give_scratch(number)
            thread = threading.Thread(
                target=_run, args=(number,), name=f"symtensor-{number}", daemon=True
            )
            thread.start()
            _workers.append(thread)
        _set(pool.WORKERS, min(len(_workers), max(threads_wanted() - 1, 0)))


def _give_scratch(number: int) -> None:
    """Give a worker memory of its own for packing."""
    if number not in _scratches:
        _scratches[number] = aligned_bytes(
            max(scratch_bytes(host(), x) for x in (float32, float64))
        )
        kind = ctypes.c_void_p * pool.MOST_THREADS
        table = kind.from_address(load_pool().address(pool.SCRATCHES))
        table[number] = _scratches[number].ctypes.data


def _run(number: int) -> None:
    loop = ctypes.CFUNCTYPE(None, ctypes.c_int64)(load_pool().address(pool.WORKER))
    loop(number)


def _state() -> Any:
    kind = ctypes.c_int64 * pool.STATE_WORDS
    return kind.from_address(load_pool().address(pool.STATE))


def _set(word: int, value: int) -> None:
    _state()[word * pool.LINE] = value


def stop() -> None:
    """End all workers; `start` makes new ones."""
    with _lock:
        if not _workers:
            return
        _set(pool.WORKERS, 0)
        _set(pool.STOP, 1)
        wake = ctypes.CFUNCTYPE(None)(load_pool().address(pool.WAKE))
        while any(thread.is_alive() for thread in _workers):
            wake()
            for thread in _workers:
                thread.join(0.01)
        _workers.clear()
        _set(pool.STOP, 0)


def _forget() -> None:
    """In a child process: threads do not survive a fork, and what they held must be given back."""
    global _lock
    _lock = threading.Lock()
    if _workers:
        _workers.clear()
        for word in (pool.WORKERS, pool.BUSY, pool.SLEEPERS, pool.TICKET, pool.STOP):
            _set(word, 0)


atexit.register(stop)
forks.in_child(_forget)
