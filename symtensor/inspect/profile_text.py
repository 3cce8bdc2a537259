"""A profile as tables of text, and as a picture in SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import PurePath
from typing import TYPE_CHECKING

from symtensor.engines.records import label
from symtensor.ir import dims as D

if TYPE_CHECKING:
    from symtensor.inspect.profile import KernelTime, Profile

LINES = 12
"""Lines of the user's that the text shows."""


def profile_text(profile: Profile) -> str:
    """Return the tables of a profile."""
    parts = [
        f"profile of {profile.name}, engine {profile.engine}, median of {profile.repeat} calls\n"
        f"a call takes {format_seconds(profile.call)}, its kernels {format_seconds(profile.seconds)}",
        _kernels(profile),
        _phases(profile),
        _lines(profile),
        _compile(profile),
        f"limits of this machine, {profile.limits}",
    ]
    if profile.memory:
        most = max(profile.memory, key=lambda point: point.bytes)
        when = f"step {most.step:g}, after {format_seconds(most.seconds)}"
        parts.insert(4, f"temporaries are most at {when}: {most.bytes:,} bytes")
    return "\n\n".join(parts)


def format_seconds(seconds: float) -> str:
    """Return seconds with a unit that suits them."""
    for unit, factor in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def table(rows: Sequence[Sequence[str]], left: Iterable[int] = (0,)) -> str:
    """Return rows as columns; those of `left` are flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    flush = set(left)
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in flush else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else ""


def _rate(rate: float) -> str:
    return f"{rate / 1e9:.3g}" if rate else ""


def _kernels(profile: Profile) -> str:
    rows = [("kernel", "time", "share", "runs", "GFLOP/s", "GB/s", "of limit", "what")]
    for row in profile.kernels:
        limit = f"{row.of_limit:.0%} {row.bound}" if row.bound and row.floor else ""
        rows.append((
            row.kernel.name, format_seconds(row.seconds), _share(row.seconds, profile.seconds),
            str(row.runs), _rate(row.flops_per_second), _rate(row.bytes_per_second), limit,
            what(row),
        ))  # fmt: skip
    return table(rows, (0, 7))


def what(row: KernelTime) -> str:
    """Return what a kernel makes."""
    with D.named(row.kernel.naming):
        return f"{row.kernel.kind}: {', '.join(map(label, row.kernel.outputs[:3]))}"


def _phases(profile: Profile) -> str:
    rows = [(phase, format_seconds(seconds), _share(seconds, profile.seconds))
            for phase, seconds in profile.phases.items()]  # fmt: skip
    return table([("part", "time", "share"), *rows])


def _lines(profile: Profile) -> str:
    rows = [("line", "time", "share", "", "")]
    for found in profile.lines[:LINES]:
        phases = {p: s for p, s in found.by_phase.items() if s >= 0.005 * found.seconds}
        parts = ", ".join(f"{p} {_share(s, found.seconds)}" for p, s in phases.items())
        place = PurePath(found.line.rpartition(":")[0]).name + ":" + found.line.rpartition(":")[2]
        rows.append((place, format_seconds(found.seconds), _share(found.seconds, profile.seconds),
                     parts, found.source))  # fmt: skip
    return table(rows, (0, 3, 4))


def _compile(profile: Profile) -> str:
    rows = [(name, format_seconds(seconds)) for name, seconds in profile.passes]
    return table([("compiling", "time"), *rows])


# --- pictures ------------------------------------------------------------------------------------

WIDTH, ROW, LEFT, CHART = 900, 22, 220, 160
COLOURS = {"kernel": "#4878b0", "product": "#6a9f58", "loop": "#b0b0b0", "call-out": "#c1583f"}


def profile_svg(profile: Profile) -> str:
    """Return bars of each kernel's time, its floor by the machine's limits marked, and memory over time."""
    bars = _bars(profile, 50)
    height = 70 + ROW * len(profile.kernels)
    chart = _memory_chart(profile, height) if len(profile.memory) > 1 else ""
    height += CHART + 60 if chart else 0
    title = f"{profile.name}: {format_seconds(profile.call)} a call ({profile.engine})"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>\n'
        f'<text x="10" y="20" font-size="14">{escape(title)}</text>\n'
        f'<text x="10" y="38" fill="#666">time of each kernel; the mark is the least this machine '
        f"allows</text>\n{bars}{chart}</svg>\n"
    )


def _bars(profile: Profile, top: int) -> str:
    longest = max((row.seconds for row in profile.kernels), default=0.0) or 1.0
    room = WIDTH - LEFT - 170
    out = []
    for i, row in enumerate(profile.kernels):
        y = top + ROW * i
        width = room * row.seconds / longest
        floor = LEFT + min(room, room * row.floor / longest)
        colour = COLOURS[row.kernel.kind] if row.kernel.kind in COLOURS else "#888"
        note = f"{format_seconds(row.seconds)}, {_share(row.seconds, profile.seconds)}"
        lines = ", ".join(map(str, row.kernel.lines))
        out.append(
            f"<g><title>{escape(what(row))}\n{escape(lines)}</title>"
            f'<text x="10" y="{y + 15}">{escape(_short(row))}</text>'
            f'<rect x="{LEFT}" y="{y + 3}" width="{width:.1f}" height="{ROW - 6}" fill="{colour}"/>'
            f'<path d="M{floor:.1f} {y + 1}v{ROW - 2}" stroke="black"/>'
            f'<text x="{max(LEFT + width, floor) + 6:.1f}" y="{y + 15}" fill="#444">{note}</text></g>\n'
        )
    return "".join(out)


def _short(row: KernelTime) -> str:
    text = f"{row.kernel.name} {row.kernel.outputs[0].op.name if row.kernel.outputs else ''}"
    return text if len(text) <= 30 else f"{text[:29]}…"


def _memory_chart(profile: Profile, top: int) -> str:
    last = max(profile.seconds, profile.memory[-1].seconds) or 1.0
    most = max(point.bytes for point in profile.memory) or 1
    room = WIDTH - LEFT - 40
    base = top + 30 + CHART
    path = [f"M{LEFT} {base}"]
    ends = [*(point.seconds for point in profile.memory[1:]), last]
    for point, end in zip(profile.memory, ends, strict=True):
        path.append(f"V{base - CHART * point.bytes / most:.1f}H{LEFT + room * end / last:.1f}")
    return (
        f'<text x="10" y="{top + 24}">temporaries alive</text>'
        f'<text x="10" y="{top + 42}" fill="#666">at most {most:,} bytes</text>\n'
        f'<path d="{"".join(path)}V{base}Z" fill="#d9b26f" stroke="#8a6d3b"/>\n'
        f'<text x="{LEFT}" y="{base + 16}" fill="#666">0</text>'
        f'<text x="{LEFT + room}" y="{base + 16}" fill="#666" text-anchor="end">{format_seconds(last)}'
        "</text>\n"
    )
