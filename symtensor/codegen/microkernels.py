"""What matrix products are made of: tiles in registers, products with a vector, packing.

Each is a function in the text of a module of `symtensor.codegen.gemm`, which has the loops around them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

from symtensor.codegen.lanes import memory_type, vector_of
from symtensor.codegen.target import Target
from symtensor.codegen.text import FunctionText, V
from symtensor.ir.dtypes import DType

ROWS_TOGETHER = 8
"""Rows of b that a product row x matrix reads side by side: few enough for the hardware to follow."""
CACHE_LINE = 64
WIDE = 8
"""Vectors of the accumulator of a product row x matrix."""
DOT_ROWS, DOT_VECTORS = 4, 2
"""Rows, and vectors of each row, that go through dot products together."""
AHEAD = 16
"""Rows of b that a tile asks for before it packs them."""

Access = Literal["strided", "packed", "packing"]
"""How a tile reads its operands: a at strides, or from a packed panel; or a at strides, and it packs b."""


@dataclass(frozen=True, slots=True)
class Blocking:
    """Sizes of the register tile for one target and dtype."""

    rows: tuple[int, ...]
    """Heights of tiles, highest first, down to 1."""
    vectors: int
    """Width of a tile in vectors."""
    lanes: int
    """Elements of a vector."""

    @property
    def height(self) -> int:
        """Rows of the highest tile, and of a packed panel of a."""
        return self.rows[0]

    @property
    def width(self) -> int:
        """Columns of a full tile, and of a packed panel of b."""
        return self.vectors * self.lanes


def blocking(target: Target, dtype: DType) -> Blocking:
    """Return the tile that fills the registers: accumulators, one row of b, one element of a."""
    lanes = target.lanes(dtype.bits)
    if target.vector_bits == 512:
        return Blocking((12, 8, 4, 2, 1), 2, lanes)
    if target.vector_registers == 32:
        return Blocking((8, 4, 2, 1), 3, lanes)
    return Blocking((6, 4, 2, 1) if target.has_fma else (4, 2, 1), 2, lanes)


class Microkernels:
    """Writes the functions for one target and dtype."""

    def __init__(self, target: Target, dtype: DType) -> None:
        self.target = target
        self.dtype = dtype
        self.block = blocking(target, dtype)
        self.element = memory_type(dtype)
        self.align = dtype.itemsize
        self.lanes = self.block.lanes
        self.vector = vector_of(self.element, self.lanes)
        self.zero = f"{self.vector} zeroinitializer"
        self.declarations: set[str] = set()

    # --- arithmetic ------------------------------------------------------------------------------

    def multiply_add(self, f: FunctionText, kind: str, x: str, y: str, total: str) -> str:
        """Return x y + total, fused where that is one instruction."""
        if self.dtype.is_integer:
            return f.op(f"add {kind} {f.op(f'mul {kind} {x}, {y}')}, {total}")
        if not self.target.has_fma:
            return f.op(f"fadd {kind} {f.op(f'fmul {kind} {x}, {y}')}, {total}")
        suffix = f"{'' if kind == self.element else f'v{self.lanes}'}f{self.dtype.bits}"
        self.declarations.add(f"declare {kind} @llvm.fma.{suffix}({kind}, {kind}, {kind})")
        return f.op(f"call {kind} @llvm.fma.{suffix}({kind} {x}, {kind} {y}, {kind} {total})")

    def add(self, f: FunctionText, kind: str, x: str, y: str) -> str:
        return f.op(f"{'add' if self.dtype.is_integer else 'fadd'} {kind} {x}, {y}")

    def splat(self, f: FunctionText, x: str) -> str:
        one = f.op(f"insertelement {self.vector} poison, {self.element} {x}, i64 0")
        return f.op(
            f"shufflevector {self.vector} {one}, {self.vector} poison, "
            f"<{self.lanes} x i32> zeroinitializer"
        )

    def scalar_zero(self) -> str:
        return "0" if self.dtype.is_integer else "0.0"

    # --- the tile --------------------------------------------------------------------------------

    def tile_name(self, rows: int, vectors: int, access: Access) -> str:
        return f"tile_{rows}x{vectors}_{access}"

    def tile(self, rows: int, vectors: int, access: Access) -> str:
        """Return ``c (+)= a b`` for `rows` x `vectors` in registers, c contiguous along columns.

        A packed panel of a holds the rows of a full tile side by side, one t after the other. A tile
        that packs leaves what it read of b in `panel`; it reads a at strides, packed or not.
        """
        f = FunctionText(self.tile_name(rows, vectors, access), [
            ("ptr", "a"), ("i64", "am"), ("i64", "ak"), ("i64", "ar"), ("ptr", "b"), ("i64", "bk"),
            ("i64", "br"), ("ptr", "c"), ("i64", "cm"), ("i64", "k"), ("i64", "rounds"),
            ("i1", "accumulate"), ("ptr", "panel")])  # fmt: skip
        packed, packing = access == "packed", access == "packing"
        grid = [(r, v) for r in range(rows) for v in range(vectors)]
        starts = ["%a"] if packed else [f.at(self.element, "%a", f.mul("%am", r))
                                        for r in range(rows)]  # fmt: skip
        a_step: V = self.block.height if packed else "%ak"
        following = f.at(self.element, "%a", f.mul("%am", rows))
        later = f.mul("%bk", AHEAD) if packing else 0

        places = 3 if packing else 2
        f.branch("%accumulate", lambda: self.ask_for_result(f, grid))

        def step(t: str, state: list[str], ahead: str) -> list[V]:
            at, sums = state[:places], state[places:]
            # the rows of the next tile, as far as they follow in memory; a single row has no next
            if access == "strided" and vectors != WIDE:
                self.prefetch(f, f.at("i8", ahead, f.mul(t, CACHE_LINE)))
            b = f.at(self.element, "%b", at[1])
            row = [f.load(self.vector, f.at(self.element, b, v * self.lanes), self.align)
                   for v in range(vectors)]  # fmt: skip
            if packing:
                self.pack_row(f, b, row, at[2], later)
            for r in range(rows):
                start = starts[0] if packed else starts[r]
                one = f.at(self.element, start, at[0])
                one = f.at(self.element, one, r) if packed else one
                x = self.splat(f, f.load(self.element, one, self.align))
                for v in range(vectors):
                    place = grid.index((r, v))
                    sums[place] = self.multiply_add(f, self.vector, x, row[v], sums[place])
            steps = (a_step, "%bk", self.block.width)
            return [*map(f.add, at, steps), *sums]

        def one_round(_: str, state: list[str]) -> list[V]:
            kinds = ["i64"] * places + [self.vector] * len(grid)
            ahead = f.at(self.element, following, state[0])
            after = f.loop(0, "%k", 1, lambda t, now: step(t, now, ahead),
                           list(zip(kinds, state, strict=True)))  # fmt: skip
            starts = [f.add(state[0], "%ar"), f.add(state[1], "%br"), *after[2:places]]
            return [*starts, *after[places:]]

        first: list[tuple[str, V]] = [("i64", 0)] * places
        first += [(self.vector, "zeroinitializer")] * len(grid)
        sums = f.loop(0, "%rounds", 1, one_round, first)[places:]

        def write(accumulate: bool) -> None:
            for (r, v), total in zip(grid, sums, strict=True):
                row = f.at(self.element, "%c", f.mul("%cm", r))
                place = f.at(self.element, row, v * self.lanes)
                if accumulate:
                    old = f.load(self.vector, place, self.align)
                    total = self.add(f, self.vector, old, total)
                f.store(self.vector, total, place, self.align)

        f.branch("%accumulate", lambda: write(True), lambda: write(False))
        return f.text()

    def pack_row(self, f: FunctionText, b: str, row: list[str], to: V, later: V) -> None:
        """Store a row of b where its panel has it, and ask for one further on."""
        panel = f.at(self.element, "%panel", to)
        ahead = f.at(self.element, b, later)
        for v, value in enumerate(row):
            f.store(self.vector, value, f.at(self.element, panel, v * self.lanes), self.align)
            self.prefetch(f, f.at(self.element, ahead, v * self.lanes))

    def ask_for_result(self, f: FunctionText, grid: list[tuple[int, int]]) -> None:
        """Ask for what a tile will add to when its sums are done."""
        for r, v in grid:
            row = f.at(self.element, "%c", f.mul("%cm", r))
            self.prefetch(f, f.at(self.element, row, v * self.lanes), write=1)

    def prefetch(self, f: FunctionText, pointer: str, write: int = 0) -> None:
        """Ask for a cache line; any address will do."""
        self.declarations.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        f.do(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 {write}, i32 3, i32 1)")

    def tiles(self) -> list[tuple[int, int, Access]]:
        """Return rows, vectors and access of each tile, in the order of the table.

        Only tiles of full height have code for packed rows: lower ones read them at strides.
        """
        widths = range(1, self.block.vectors + 1)
        found: list[tuple[int, int, Access]] = [
            (r, v, "strided") for r in self.block.rows for v in widths
        ]
        found += [(self.block.height, v, "packed") for v in widths]
        return [*found, (self.block.height, self.block.vectors, "packing")]

    def tiles_of(self, f: FunctionText, rows: V, packed: str) -> str:
        """Return where the table has the tiles of a height of `Blocking.rows`."""
        place: V = 0
        for i, height in enumerate(self.block.rows):
            here = f.compare("eq", rows, height)
            place = f.select(here, "i64", i, place)
        full = f.both(packed, f.compare("eq", rows, self.block.height))
        place = f.select(full, "i64", len(self.block.rows), place)
        return f.at("ptr", "@tiles", f.sub(f.mul(place, self.block.vectors), 1))

    def call_tile(
        self, f: FunctionText, tiles: str, vectors: V, packing: str, arguments: str
    ) -> None:
        """Call the one of some tiles that is `vectors` wide, or the one that packs."""
        last = f.at("ptr", "@tiles", len(self.tiles()) - 1)
        place = f.select(packing, "ptr", last, f.at("ptr", tiles, vectors))
        f.do(f"call void {f.load('ptr', place, 8)}({arguments})")

    # --- products with a vector ------------------------------------------------------------------

    def dots(self) -> str:
        """Return ``c[i cm] (+)= sum_l x[t] a[i am + t]`` for `count` rows a."""
        f = FunctionText("dots", [
            ("ptr", "x"), ("ptr", "a"), ("i64", "am"), ("ptr", "c"), ("i64", "cm"),
            ("i64", "count"), ("i64", "k"), ("i1", "accumulate")])  # fmt: skip
        whole = f.op(f"and i64 %count, -{DOT_ROWS}")
        f.loop(0, whole, DOT_ROWS, lambda i, _: self.dot_rows(f, i, DOT_ROWS, DOT_VECTORS))
        f.loop(whole, "%count", 1, lambda i, _: self.dot_rows(f, i, 1, DOT_ROWS * DOT_VECTORS))
        return f.text()

    def dot_rows(self, f: FunctionText, first: str, rows: int, vectors: int) -> None:
        pointers = [f.at(self.element, "%a", f.mul(f.add(first, r), "%am")) for r in range(rows)]
        stride = vectors * self.lanes
        whole = f.round_down("%k", stride)
        grid = [(r, v) for r in range(rows) for v in range(vectors)]

        def step(t: str, sums: list[str]) -> list[V]:
            x = [self.vector_at(f, "%x", t, v) for v in range(vectors)]
            return [
                self.multiply_add(f, self.vector, x[v], self.vector_at(f, pointers[r], t, v), total)
                for (r, v), total in zip(grid, sums, strict=True)
            ]

        first_sums: list[tuple[str, V]] = [(self.vector, "zeroinitializer")] * len(grid)
        sums = f.loop(0, whole, stride, step, first_sums)
        totals = [self.across(f, sums[r * vectors : (r + 1) * vectors]) for r in range(rows)]

        def rest(t: str, sums: list[str]) -> list[V]:
            x = f.load(self.element, f.at(self.element, "%x", t), self.align)
            return [
                self.multiply_add(
                    f, self.element, x,
                    f.load(self.element, f.at(self.element, pointers[r], t), self.align), total,
                )
                for r, total in enumerate(sums)
            ]  # fmt: skip

        totals = f.loop(whole, "%k", 1, rest, [(self.element, total) for total in totals])
        for r, total in enumerate(totals):
            place = f.at(self.element, "%c", f.mul(f.add(first, r), "%cm"))
            self.write_element(f, place, total, "%accumulate")

    def vector_at(self, f: FunctionText, pointer: str, t: V, v: int) -> str:
        row = f.at(self.element, pointer, t)
        return f.load(self.vector, f.at(self.element, row, v * self.lanes), self.align)

    def across(self, f: FunctionText, sums: list[str]) -> str:
        """Return the sum of all lanes of some vectors, by halves."""
        while len(sums) > 1:
            sums = [self.add(f, self.vector, x, y)
                    for x, y in zip(sums[::2], sums[1::2], strict=True)]  # fmt: skip
        (total,), width = sums, self.lanes
        while width > 1:
            kind, half = vector_of(self.element, width), width // 2
            parts = []
            for start in (0, half):
                if half == 1:
                    parts.append(f.op(f"extractelement {kind} {total}, i64 {start}"))
                    continue
                picked = ", ".join(f"i32 {start + i}" for i in range(half))
                parts.append(
                    f.op(f"shufflevector {kind} {total}, {kind} poison, <{half} x i32> <{picked}>")
                )
            total, width = self.add(f, vector_of(self.element, half), *parts), half
        return total

    def write_element(self, f: FunctionText, place: str, value: str, accumulate: str) -> None:
        self.write_piece(f, self.element, place, value, accumulate)

    def write_piece(
        self, f: FunctionText, kind: str, place: str, value: str, accumulate: str
    ) -> None:
        """Store an element or a vector, or add it to what is there."""

        def added() -> list[V]:
            return [self.add(f, kind, f.load(kind, place, self.align), value)]

        if accumulate == "false":
            f.store(kind, value, place, self.align)
            return
        (total,) = f.branch(accumulate, added, lambda: [value], [kind])
        f.store(kind, total, place, self.align)

    def row_times_matrix(self) -> str:
        """Return ``c[j] (+)= sum_l a[t ak] b[t bk + j]`` for as many j as whole wide tiles cover."""
        f = FunctionText("row_times_matrix", [
            ("ptr", "a"), ("i64", "ak"), ("ptr", "b"), ("i64", "bk"), ("ptr", "c"),
            ("i64", "n"), ("i64", "k"), ("i1", "accumulate")], "i64")  # fmt: skip
        width = WIDE * self.lanes
        whole = f.round_down("%n", width)

        def depth(t: str, _: list[str]) -> None:
            k = f.minimum(f.sub("%k", t), ROWS_TOGETHER)
            a, rows = (f.at(self.element, x, f.mul(t, stride))
                       for x, stride in (("%a", "%ak"), ("%b", "%bk")))  # fmt: skip
            later = f.either("%accumulate", f.compare("ne", t, 0))

            def columns(j: str, _: list[str]) -> None:
                b, c = f.at(self.element, rows, j), f.at(self.element, "%c", j)
                f.do(f"call void @{self.tile_name(1, WIDE, 'strided')}(ptr {a}, i64 0, i64 %ak, i64 0, "
                     f"ptr {b}, i64 %bk, i64 0, ptr {c}, i64 0, i64 {k}, i64 1, i1 {later}, "
                     "ptr null)")  # fmt: skip

            f.loop(0, whole, width, columns)

        f.loop(0, "%k", ROWS_TOGETHER, depth)
        f.do(f"ret i64 {whole}")
        return f.text()

    # --- packing ---------------------------------------------------------------------------------

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
        """Return the copy of a computed tile into c of any strides, or its addition."""
        f = FunctionText("copy_tile", [
            ("ptr", "tile"), ("ptr", "c"), ("i64", "cm"), ("i64", "cn"), ("i64", "rows"),
            ("i64", "columns"), ("i1", "accumulate")])  # fmt: skip

        def row(r: str, _: list[str]) -> None:
            source = f.at(self.element, "%tile", f.mul(r, self.block.width))
            target = f.at(self.element, "%c", f.mul(r, "%cm"))

            def one(j: str, _: list[str]) -> None:
                value = f.load(self.element, f.at(self.element, source, j), self.align)
                place = f.at(self.element, target, f.mul(j, "%cn"))
                self.write_element(f, place, value, "%accumulate")

            f.branch(
                f.compare("eq", "%cn", 1),
                lambda: self.copy_run(f, source, target, "%columns", "%accumulate"),
                lambda: f.loop(0, "%columns", 1, one),
            )

        f.loop(0, "%rows", 1, row)
        return f.text()

    def copy_run(
        self, f: FunctionText, source: str, target: str, count: V, accumulate: str = "false"
    ) -> None:
        """Copy or add `count` elements side by side, a power of two at a time."""

        def piece(at: V, size: int) -> None:
            kind = self.element if size == 1 else vector_of(self.element, size)
            value = f.load(kind, f.at(self.element, source, at), self.align)
            self.write_piece(f, kind, f.at(self.element, target, at), value, accumulate)

        whole = f.round_down(count, self.lanes)
        f.loop(0, whole, self.lanes, lambda j, _: piece(j, self.lanes))
        size = self.lanes // 2
        while size:
            there = f.compare("ne", f.op(f"and i64 {count}, {size}"), 0)
            at = f.round_down(count, 2 * size)
            f.branch(there, functools.partial(piece, at, size))
            size //= 2
