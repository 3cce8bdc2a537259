"""Copies that matrix products make: operands into panels ("packing"), and finished tiles into place.

A panel is `width` rows or columns of an operand side by side, one term of the sum after the other, as a
tile of `symtensor.codegen.microkernels` reads them.
"""

from __future__ import annotations

import functools

from symtensor.codegen.lanes import vector_of
from symtensor.codegen.microkernels import CACHE_LINE, Microkernels
from symtensor.codegen.text import FunctionText, V


class PanelCopies(Microkernels):
    """Writes the copies for one target and dtype."""

    def pack(self, width: int) -> str:
        """Return the copy of a panel: ``to[t width + i] = x[i xi + t xl]`` for ``i < count``."""
        f = FunctionText(f"pack_{width}", [
            ("ptr", "to"), ("ptr", "x"), ("i64", "xi"), ("i64", "xl"),
            ("i64", "count"), ("i64", "k")])  # fmt: skip
        full = f.compare("eq", "%count", width)
        neighbours = f.compare("eq", "%xi", 1)
        rows_together = f.both(full, neighbours)
        depth_together = f.both(full, f.compare("eq", "%xl", 1))
        f.branch(
            rows_together,
            lambda: self.copy_rows(f, width),
            lambda: f.branch(
                depth_together,
                lambda: self.transpose_blocks(f, width),
                lambda: f.branch(
                    neighbours,
                    lambda: self.copy_runs(f, width),
                    lambda: self.copy_elements(f, 0, "%count", 0, width),
                ),
            ),
        )
        return f.text()

    def copy_rows(self, f: FunctionText, width: int) -> None:
        """Copy `width` neighbours for each t."""
        pieces, start = [], 0
        for size in (self.lanes, 8, 4, 2, 1):
            while size <= self.lanes and start + size <= width:
                pieces.append((start, vector_of(self.element, size)))
                start += size

        def one(t: str, _: list[str]) -> None:
            source = f.at(self.element, "%x", f.mul(t, "%xl"))
            target = f.at(self.element, "%to", f.mul(t, width))
            for place, kind in pieces:
                value = f.load(kind, f.at(self.element, source, place), self.align)
                f.store(kind, value, f.at(self.element, target, place), self.align)

        f.loop(0, "%k", 1, one)

    def copy_runs(self, f: FunctionText, width: int) -> None:
        """Copy `%count` neighbours for each t."""

        def one(t: str, _: list[str]) -> None:
            source = f.at(self.element, "%x", f.mul(t, "%xl"))
            self.copy_run(f, source, f.at(self.element, "%to", f.mul(t, width)), "%count")

        f.loop(0, "%k", 1, one)

    def transpose_blocks(self, f: FunctionText, width: int) -> None:
        """Copy four rows by four t at a time through registers; what is left, one by one.

        Rows are read a cache line at a time: those of a panel may all fall into the same few places
        of a cache.
        """
        line, covered = CACHE_LINE // self.dtype.itemsize, width // 4 * 4
        together = max(self.lanes, 4)
        long, whole = f.round_down("%k", together), f.round_down("%k", 4)

        def block(t: str, size: int) -> None:
            f.loop(0, covered, 4, lambda i, _: self.transpose_rows(f, i, t, width, size))

        def lines(start: str, _: list[str]) -> None:
            end = f.minimum(f.add(start, line), long)
            f.loop(0, covered, 4, lambda i, _: f.loop(start, end, together, lambda t, _: (
                self.transpose_rows(f, i, t, width, together))) and None)  # fmt: skip

        f.loop(0, long, line, lines)
        f.loop(long, whole, 4, lambda t, _: block(t, 4))
        self.copy_elements(f, 0, covered, whole, width)
        if covered < width:
            self.copy_elements(f, covered, width, 0, width)

    def transpose_rows(self, f: FunctionText, first: str, t: str, width: int, size: int) -> None:
        """Copy four rows by `size` t, in groups of four."""
        kind, four = vector_of(self.element, size), vector_of(self.element, 4)
        source = f.at(self.element, f.at(self.element, "%x", t), f.mul(first, "%xi"))
        target = f.at(self.element, f.at(self.element, "%to", f.mul(t, width)), first)
        rows = [
            f.load(kind, f.at(self.element, source, f.mul(i, "%xi")), self.align) for i in range(4)
        ]

        def shuffle(x: str, y: str, picked: tuple[int, ...]) -> str:
            """Pick from each group of four of x and y."""
            lanes = ", ".join(f"i32 {i % 4 + i // 4 * size + group}"
                              for group in range(0, size, 4) for i in picked)  # fmt: skip
            return f.op(f"shufflevector {kind} {x}, {kind} {y}, <{size} x i32> <{lanes}>")

        low = [shuffle(rows[i], rows[i + 1], (0, 4, 1, 5)) for i in (0, 2)]
        high = [shuffle(rows[i], rows[i + 1], (2, 6, 3, 7)) for i in (0, 2)]
        for i, (x, y) in enumerate(((low[0], low[1]),) * 2 + ((high[0], high[1]),) * 2):
            columns = shuffle(x, y, (0, 1, 4, 5) if i % 2 == 0 else (2, 3, 6, 7))
            for group in range(0, size, 4):
                lanes = ", ".join(f"i32 {group + lane}" for lane in range(4))
                column = columns if size == 4 else f.op(
                    f"shufflevector {kind} {columns}, {kind} poison, <4 x i32> <{lanes}>")  # fmt: skip
                f.store(four, column, f.at(self.element, target, (group + i) * width), self.align)

    def copy_elements(self, f: FunctionText, start: V, end: V, first: V, width: int) -> None:
        """Copy elements ``start <= i < end`` for all t from `first`."""

        def row(t: str, _: list[str]) -> None:
            source = f.at(self.element, "%x", f.mul(t, "%xl"))
            target = f.at(self.element, "%to", f.mul(t, width))

            def one(i: str, _: list[str]) -> None:
                value = f.load(
                    self.element, f.at(self.element, source, f.mul(i, "%xi")), self.align
                )
                f.store(self.element, value, f.at(self.element, target, i), self.align)

            f.loop(start, end, 1, one)

        f.loop(first, "%k", 1, row)

    def copy_tile(self) -> str:
        """Return the copy of a computed tile into c, or of its sum with d, both of any strides."""
        f = FunctionText("copy_tile", [
            ("ptr", "tile"), ("ptr", "c"), ("i64", "cm"), ("i64", "cn"),
            ("ptr", "d"), ("i64", "dm"), ("i64", "dn"), ("i64", "rows"), ("i64", "columns")])  # fmt: skip
        adds = self.is_there(f, "%d")
        dense = f.both(f.compare("eq", "%cn", 1), self.is_dense(f))

        def row(r: str, _: list[str]) -> None:
            source = f.at(self.element, "%tile", f.mul(r, self.block.width))
            target = f.at(self.element, "%c", f.mul(r, "%cm"))
            addend = f.at(self.element, "%d", f.mul(r, "%dm"))

            def one(j: str, _: list[str]) -> None:
                value = f.load(self.element, f.at(self.element, source, j), self.align)
                place = f.at(self.element, target, f.mul(j, "%cn"))
                other = f.at(self.element, addend, f.mul(j, "%dn"))
                self.write_sum(f, self.element, place, value, adds, other)

            f.branch(
                dense,
                lambda: self.copy_run(f, source, target, "%columns", adds, addend),
                lambda: f.loop(0, "%columns", 1, one),
            )

        f.loop(0, "%rows", 1, row)
        return f.text()

    def is_dense(self, f: FunctionText) -> str:
        """Return whether what is added lies side by side along the columns, if anything is."""
        return f.either(f.compare("eq", "%dn", 1), f.op("icmp eq ptr %d, null"))

    def copy_run(
        self, f: FunctionText, source: str, target: str, count: V, adds: str = "false",
        addend: str = "null",
    ) -> None:  # fmt: skip
        """Copy `count` elements side by side, or their sums, a power of two at a time."""

        def piece(at: V, size: int) -> None:
            kind = self.element if size == 1 else vector_of(self.element, size)
            value = f.load(kind, f.at(self.element, source, at), self.align)
            place = f.at(self.element, target, at)
            if adds == "false":
                f.store(kind, value, place, self.align)
            else:
                other = f.at(self.element, addend, at)
                self.write_sum(f, kind, place, value, adds, other)

        whole = f.round_down(count, self.lanes)
        f.loop(0, whole, self.lanes, lambda j, _: piece(j, self.lanes))
        size = self.lanes // 2
        while size:
            there = f.compare("ne", f.op(f"and i64 {count}, {size}"), 0)
            at = f.round_down(count, 2 * size)
            f.branch(there, functools.partial(piece, at, size))
            size //= 2
