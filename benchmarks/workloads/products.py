"""Matrix products: square, skinny, and by a vector."""

from benchmarks.workloads.workload import Workload, float32

SIZES = [(n, n, n) for n in (64, 128, 256, 512, 1024, 2048)]
SIZES += [(12, 512, 1024), (1024, 512, 16), (128, 784, 10), (1, 1024, 1024), (1024, 1024, 1)]
"""Rows, inner size, columns."""


def product(m: int, k: int, n: int) -> Workload:
    by_vector = m == 1 or n == 1  # memory is the limit
    return Workload(
        f"matmul {m}x{k} {k}x{n}",
        lambda xp, a, b: a @ b,
        lambda: (float32(m, k), float32(k, n)),
        operations=0 if by_vector else 2.0 * m * k * n,
        bytes=4.0 * (m * k + k * n + m * n) if by_vector else 0,
    )


def workloads() -> list[Workload]:
    return [product(*size) for size in SIZES]
