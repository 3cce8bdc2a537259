"""What the machine could do: bytes and multiply-adds per second, measured."""

from typing import Any

import numpy as np

from symtensor.inspect.limits import multiply_add_rate, rate

CACHED, LARGE = 4_000_000, 64_000_000
"""Elements of the arrays: as in the workloads (a large cache may hold a part), and far beyond."""


def bandwidths(threads: int, elements: int) -> dict[str, float]:
    """Return bytes per second of a copy, of a sum of two vectors, and of reading two vectors."""
    parts = np.array_split(np.arange(elements), threads)
    spans = [slice(p[0], p[-1] + 1) for p in parts]
    a, b, c = (np.ones(elements, np.float32) for _ in range(3))
    size = a.nbytes
    return {
        "copy": rate(2 * size, [lambda s=s: np.copyto(c[s], a[s]) for s in spans]),
        "add": rate(3 * size, [lambda s=s: np.add(a[s], b[s], out=c[s]) for s in spans]),
        "read": rate(2 * size, [lambda s=s: np.dot(a[s], b[s]) for s in spans]),
    }


def limits(threads: int) -> dict[str, Any]:
    """Return operations per second and, by size and kind, bytes per second."""
    return {
        "operations": multiply_add_rate(threads),
        "cached": bandwidths(threads, CACHED),
        "large": bandwidths(threads, LARGE),
    }


def best_of(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return the higher of two measurements of every limit."""
    return {
        name: best_of(found, other[name]) if isinstance(found, dict) else max(found, other[name])
        for name, found in one.items()
    }
