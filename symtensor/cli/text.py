"""What help texts and reports share."""

from __future__ import annotations

from collections.abc import Sequence


def example(*lines: str) -> str:
    """Return the end of a help text: examples, which the tests run."""
    return "examples:\n" + "\n".join(f"  python -m symtensor {line}" for line in lines)


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows in columns."""
    if not rows:
        return ""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    cells = [[cell.ljust(w) for cell, w in zip(row, widths, strict=True)] for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in cells)


def seconds(value: float) -> str:
    """Return a time for people."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def size(count: int) -> str:
    """Return a number of bytes for people."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} GiB"
