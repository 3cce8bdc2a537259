"""Matrix products: a module of native code per dtype, for matrices of any strides.

    gemm(ptr a, ptr b, ptr c, i64 m, i64 n, i64 k,
         i64 am, i64 ak, i64 bk, i64 bn, i64 cm, i64 cn, ptr scratch, i1 accumulate)

computes ``c[i, j] (+)= sum_l a[i, t] b[t, j]`` where ``x[i, j]`` is at ``x + i xm + j xn`` elements.
The method is that of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication"
(2008), in the form of BLIS (Van Zee and van de Geijn, 2015): a tile of rows x columns of c stays in
registers while t runs; panels of a and b are copied ("packed") so that the tile reads them in order.
Small products skip the packing. A row or column result goes through dot products or row sums.

The sum over t runs in blocks of `Blocking.depth`, in order, so the bits of a result do not depend on
what else is computed, nor on the number of threads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from symtensor.codegen import pool
from symtensor.codegen.lanes import memory_type, vector_of
from symtensor.codegen.target import Target
from symtensor.codegen.text import FunctionText, V
from symtensor.ir.dtypes import DType

NAME = "symtensor_gemm_{}"
ALONE = "symtensor_gemm_alone_{}"
"""The entry for products too small to share."""
DEPTH = 256
"""Terms added before a partial sum goes to memory; panels of this depth fit the L1 cache."""
COLUMNS = 512
"""Columns of b packed at a time; with `DEPTH` rows in float32, half of a common L2 cache."""
GEMV_DEPTH = 4096
"""Terms per block in products with a vector, which pack nothing."""
ROWS_TOGETHER = 8
"""Rows of b that a product row x matrix reads side by side: few enough for the hardware to follow."""
WIDE = 8
"""Vectors of the accumulator of a product row x matrix."""
DOT_ROWS, DOT_VECTORS = 4, 2
"""Rows, and vectors of each row, that go through dot products together."""

PICOSECONDS = 4
"""Time of one multiply-add per byte of an element, about."""
COLUMN_RANGE, ROW_RANGE = 128, 8
"""Columns (unless fewer are each thread's share), and tiles of rows, that a thread takes at least:
packing for fewer would not pay."""
RANGES = 4
"""Ranges per thread, so that a late thread does not hold up the others."""

Word = IntEnum("Word", "A B C M N K AM AK BK BN CM CN SCRATCH ADDS COLUMNS", start=0)
"""Words of the block in which a product is handed to the threads."""
POINTERS = (Word.A, Word.B, Word.C, Word.SCRATCH)


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


def scratch_bytes(target: Target, dtype: DType) -> int:
    """Return the bytes of scratch that one running product needs."""
    block = blocking(target, dtype)
    return DEPTH * (COLUMNS + block.width + block.height) * dtype.itemsize


@functools.cache
def gemm_module(target: Target, dtype: DType) -> str:
    """Return the text of the module that defines ``symtensor_gemm_<dtype>``."""
    return _Gemm(target, dtype).module()


class _Gemm:
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

    def module(self) -> str:
        shapes = [(r, v) for r in self.block.rows for v in range(1, self.block.vectors + 1)]
        functions = [self.tile(r, v, packed) for packed in (False, True) for r, v in shapes]
        functions += [self.tile(1, WIDE, packed=False), self.dots()]
        functions += [self.pack(width) for width in sorted({self.block.height, self.block.width})]
        functions += [self.copy_tile(), self.row_times_matrix(), self.row_product()]
        functions += [self.blocked(), self.range(), self.gemm(), self.alone()]
        names = [self.tile_name(r, v, packed) for packed in (False, True) for r, v in shapes]
        pointers = ", ".join(f"ptr @{name}" for name in names)
        table = f"@tiles = internal constant [{len(names)} x ptr] [{pointers}]"
        state = f"@{pool.STATE} = external global [{pool.STATE_WORDS} x i64]"
        declared = [*pool.DECLARATIONS, state, *sorted(self.declarations)]
        return "\n\n".join([*declared, table, *functions])

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

    def tile_name(self, rows: int, vectors: int, packed: bool) -> str:
        return f"tile_{rows}x{vectors}_{'packed' if packed else 'strided'}"

    def tile(self, rows: int, vectors: int, packed: bool) -> str:
        """Return ``c (+)= a b`` for `rows` x `vectors` in registers, c contiguous along columns.

        A packed panel of a holds the rows of a full tile side by side, one t after the other.
        """
        f = FunctionText(self.tile_name(rows, vectors, packed), [
            ("ptr", "a"), ("i64", "am"), ("i64", "ak"), ("ptr", "b"), ("i64", "bk"),
            ("ptr", "c"), ("i64", "cm"), ("i64", "k"), ("i1", "accumulate")])  # fmt: skip
        grid = [(r, v) for r in range(rows) for v in range(vectors)]
        starts = ["%a"] if packed else [f.at(self.element, "%a", f.mul("%am", r))
                                        for r in range(rows)]  # fmt: skip
        a_step: V = self.block.height if packed else "%ak"

        def step(_: str, state: list[str]) -> list[V]:
            a_at, b_at, *sums = state
            row = [f.load(self.vector, f.at(self.element, f.at(self.element, "%b", b_at),
                                            v * self.lanes), self.align)
                   for v in range(vectors)]  # fmt: skip
            for r in range(rows):
                start = starts[0] if packed else starts[r]
                one = f.at(self.element, start, a_at)
                one = f.at(self.element, one, r) if packed else one
                x = self.splat(f, f.load(self.element, one, self.align))
                for v in range(vectors):
                    place = grid.index((r, v))
                    sums[place] = self.multiply_add(f, self.vector, x, row[v], sums[place])
            return [f.add(a_at, a_step), f.add(b_at, "%bk"), *sums]

        first: list[tuple[str, V]] = [("i64", 0), ("i64", 0)]
        first += [(self.vector, "zeroinitializer")] * len(grid)
        _, _, *sums = f.loop(0, "%k", 1, step, first)

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

    def call_tile(self, f: FunctionText, rows: V, vectors: V, packed: str, arguments: str) -> None:
        """Call the tile function for a height of `Blocking.rows`."""
        place: V = 0
        for i, height in enumerate(self.block.rows):
            here = f.compare("eq", rows, height)
            place = f.select(here, "i64", i, place)
        place = f.add(f.mul(place, self.block.vectors), f.sub(vectors, 1))
        half = len(self.block.rows) * self.block.vectors
        place = f.add(place, f.select(packed, "i64", half, 0))
        entry = f.at("ptr", "@tiles", place)
        f.do(f"call void {f.load('ptr', entry, 8)}({arguments})")

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
        def added() -> list[V]:
            old = f.load(self.element, place, self.align)
            return [self.add(f, self.element, old, value)]

        (total,) = f.branch(accumulate, added, lambda: [value], [self.element])
        f.store(self.element, total, place, self.align)

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
                f.do(f"call void @{self.tile_name(1, WIDE, False)}(ptr {a}, i64 0, i64 %ak, "
                     f"ptr {b}, i64 %bk, ptr {c}, i64 0, i64 {k}, i1 {later})")  # fmt: skip

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
        rows_together = f.both(full, f.compare("eq", "%xi", 1))
        depth_together = f.both(full, f.compare("eq", "%xl", 1))
        f.branch(
            rows_together,
            lambda: self.copy_rows(f, width),
            lambda: f.branch(
                depth_together,
                lambda: self.transpose_blocks(f, width),
                lambda: self.copy_elements(f, 0, "%count", 0, width),
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

    def transpose_blocks(self, f: FunctionText, width: int) -> None:
        """Copy four rows by four t at a time through registers; what is left, one by one."""
        whole, covered = f.round_down("%k", 4), width // 4 * 4

        def block(t: str, _: list[str]) -> None:
            source = f.at(self.element, "%x", t)
            target = f.at(self.element, "%to", f.mul(t, width))
            for first in range(0, covered, 4):
                self.transpose_4x4(f, source, target, first, width)

        f.loop(0, whole, 4, block)
        self.copy_elements(f, 0, covered, whole, width)
        if covered < width:
            self.copy_elements(f, covered, width, 0, width)

    def transpose_4x4(
        self, f: FunctionText, source: str, target: str, first: int, width: int
    ) -> None:
        kind = vector_of(self.element, 4)
        rows = [
            f.load(kind, f.at(self.element, source, f.mul(first + i, "%xi")), self.align)
            for i in range(4)
        ]

        def shuffle(x: str, y: str, picked: tuple[int, ...]) -> str:
            lanes = ", ".join(f"i32 {i}" for i in picked)
            return f.op(f"shufflevector {kind} {x}, {kind} {y}, <4 x i32> <{lanes}>")

        low = [shuffle(rows[i], rows[i + 1], (0, 4, 1, 5)) for i in (0, 2)]
        high = [shuffle(rows[i], rows[i + 1], (2, 6, 3, 7)) for i in (0, 2)]
        for t, (x, y) in enumerate(((low[0], low[1]),) * 2 + ((high[0], high[1]),) * 2):
            column = shuffle(x, y, (0, 1, 4, 5) if t % 2 == 0 else (2, 3, 6, 7))
            f.store(kind, column, f.at(self.element, target, t * width + first), self.align)

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

            f.loop(0, "%columns", 1, one)

        f.loop(0, "%rows", 1, row)
        return f.text()

    # --- the loops around the tile ---------------------------------------------------------------

    PARAMETERS = (
        ("ptr", "a"), ("ptr", "b"), ("ptr", "c"), ("i64", "m"), ("i64", "n"), ("i64", "k"),
        ("i64", "am"), ("i64", "ak"), ("i64", "bk"), ("i64", "bn"), ("i64", "cm"), ("i64", "cn"),
        ("ptr", "scratch"), ("i1", "accumulate"),
    )  # fmt: skip

    def blocked(self) -> str:
        """Return the product in blocks of columns and depth."""
        f = FunctionText("blocked", self.PARAMETERS)
        f.do(f"%tile = alloca {self.element}, i64 {self.block.height * self.block.width}, align 64")
        packed_b = self.packs_b(f)

        def columns(j: str, _: list[str]) -> None:
            n = f.minimum(f.sub("%n", j), COLUMNS)

            def depth(t: str, _: list[str]) -> None:
                k = f.minimum(f.sub("%k", t), DEPTH)
                b = f.at(self.element, "%b", f.add(f.mul(t, "%bk"), f.mul(j, "%bn")))
                self.pack_columns(f, b, n, k, packed_b)
                a = f.at(self.element, "%a", f.mul(t, "%ak"))
                c = f.at(self.element, "%c", f.mul(j, "%cn"))
                later = f.either("%accumulate", f.compare("ne", t, 0))
                self.row_panels(f, a, b, c, n, k, packed_b, later)

            f.loop(0, "%k", DEPTH, depth)

        f.loop(0, "%n", COLUMNS, columns)
        return f.text()

    def packs_b(self, f: FunctionText) -> str:
        """Return whether b is worth packing: not when it is read by few rows of tiles."""
        few = f.compare("sle", "%m", 2 * self.block.height)
        size = f.mul(f.mul("%k", "%n"), self.dtype.itemsize)
        small = f.compare("sle", size, 64 << 10)
        stride = f.op(f"and i64 {f.mul('%bk', self.dtype.itemsize)}, 1023")
        spread = f.compare("ne", stride, 0)
        direct = f.either(few, f.both(small, spread))
        contiguous = f.compare("eq", "%bn", 1)
        return f.op(f"xor i1 {f.both(contiguous, direct)}, true")

    def pack_columns(self, f: FunctionText, b: str, n: V, k: V, packed: str) -> None:
        """Pack the panels of b; when b is read in place, only a last panel that is not full."""
        width = self.block.width
        full = f.mul(f.divide(n, width), width)
        start = f.select(packed, "i64", 0, full)

        def panel(j: str, _: list[str]) -> None:
            to = f.at(self.element, "%scratch", f.mul(j, k))
            source = f.at(self.element, b, f.mul(j, "%bn"))
            count = f.minimum(f.sub(n, j), width)
            f.do(f"call void @pack_{width}(ptr {to}, ptr {source}, i64 %bn, i64 %bk, "
                 f"i64 {count}, i64 {k})")  # fmt: skip

        f.loop(start, n, width, panel)

    def row_panels(
        self, f: FunctionText, a: str, b: str, c: str, n: V, k: V, packed_b: str, later: str
    ) -> None:
        height, width = self.block.height, self.block.width
        panel_a = f.at(self.element, "%scratch", DEPTH * (COLUMNS + width))
        packed_a = f.compare("sge", n, 4 * width)

        def panel(_: str, state: list[str]) -> list[V]:
            (i,) = state
            rows = self.rows_of(f, f.sub("%m", i))
            source = f.at(self.element, a, f.mul(i, "%am"))

            def pack() -> list[V]:
                f.do(f"call void @pack_{height}(ptr {panel_a}, ptr {source}, i64 %am, i64 %ak, "
                     f"i64 {rows}, i64 {k})")  # fmt: skip
                return [panel_a]

            (chosen,) = f.branch(packed_a, pack, lambda: [source], ["ptr"])
            place = f.at(self.element, c, f.mul(i, "%cm"))
            self.column_panels(f, chosen, packed_a, rows, b, packed_b, place, n, k, later)
            return [f.add(i, rows)]

        # the index of this loop only counts rounds: the height of a panel varies
        self.while_below(f, "%m", panel)

    def while_below(
        self, f: FunctionText, end: V, body: Callable[[str, list[str]], list[V]]
    ) -> None:
        name = f"W{f.fresh()[2:]}"
        f.do(f"br label %{name}.pre")
        f.label(f"{name}.pre")
        f.do(f"br label %{name}.head")
        f.label(f"{name}.head")
        place = len(f.lines)
        at = f.fresh()
        more = f.compare("slt", at, end)
        f.do(f"br i1 {more}, label %{name}.body, label %{name}.exit")
        f.label(f"{name}.body")
        (following,) = body("", [at])
        f.do(f"br label %{name}.latch")
        f.label(f"{name}.latch")
        f.do(f"br label %{name}.head")
        f.label(f"{name}.exit")
        f.lines.insert(
            place, f"  {at} = phi i64 [ 0, %{name}.pre ], [ {following}, %{name}.latch ]"
        )

    def rows_of(self, f: FunctionText, left: V) -> V:
        """Return the height of the next tile for `left` rows."""
        rows: V = 1
        for height in reversed(self.block.rows[:-1]):
            rows = f.select(f.compare("sge", left, height), "i64", height, rows)
        return rows

    def column_panels(
        self, f: FunctionText, a: str, packed_a: str, rows: V, b: str, packed_b: str, c: str,
        n: V, k: V, later: str,
    ) -> None:  # fmt: skip
        width = self.block.width

        def panel(j: str, _: list[str]) -> None:
            columns = f.minimum(f.sub(n, j), width)
            partial = f.compare("slt", columns, width)
            in_scratch = f.either(packed_b, partial)
            packed = f.at(self.element, "%scratch", f.mul(j, k))
            source = f.select(in_scratch, "ptr", packed, f.at(self.element, b, f.mul(j, "%bn")))
            stride = f.select(in_scratch, "i64", width, "%bk")
            vectors = f.divide(f.add(columns, self.lanes - 1), self.lanes)
            place = f.at(self.element, c, f.mul(j, "%cn"))
            whole = f.compare("eq", f.op(f"and i64 {columns}, {self.lanes - 1}"), 0)
            direct = f.both(whole, f.compare("eq", "%cn", 1))
            to = f.select(direct, "ptr", place, "%tile")
            to_stride = f.select(direct, "i64", "%cm", width)
            adds = f.both(later, direct)
            self.call_tile(f, rows, vectors, packed_a,
                f"ptr {a}, i64 %am, i64 %ak, ptr {source}, i64 {stride}, ptr {to}, "
                f"i64 {to_stride}, i64 {k}, i1 {adds}")  # fmt: skip
            f.branch(direct, lambda: None, lambda: f.do(
                f"call void @copy_tile(ptr %tile, ptr {place}, i64 %cm, i64 %cn, i64 {rows}, "
                f"i64 {columns}, i1 {later})"))  # fmt: skip

        f.loop(0, n, width, panel)

    # --- the entry -------------------------------------------------------------------------------

    def gemm(self) -> str:
        """Return the entry: it brings the product to the form that the loops do best.

        A result of one column becomes one row; a result stored by columns, one stored by rows. Then
        the product is shared out along its longer side.
        """
        f = FunctionText(NAME.format(self.dtype.name), self.PARAMETERS, linkage="")
        f.do(f"%block = alloca i64, i64 {len(Word)}, align 8")
        values = self.upright(f)
        for kind, name in self.PARAMETERS[:12]:
            f.store(kind, values[name], f.at("i64", "%block", Word[name.upper()]), 8)
        f.store("ptr", "%scratch", f.at("i64", "%block", Word.SCRATCH), 8)
        f.store("i64", f.op("zext i1 %accumulate to i64"), f.at("i64", "%block", Word.ADDS), 8)
        self.share_out(f, values["m"], values["n"], values["k"])
        return f.text()

    def alone(self) -> str:
        """Return the entry for small products: one thread, nothing to share out."""
        f = FunctionText(ALONE.format(self.dtype.name), self.PARAMETERS, linkage="")
        values = self.upright(f)
        arguments = [f"{kind} {values[name]}" for kind, name in self.PARAMETERS[:12]]
        self.product(f, values["m"], f"{', '.join(arguments)}, ptr %scratch, i1 %accumulate")
        return f.text()

    def upright(self, f: FunctionText) -> dict[str, V]:
        """Return the operands in the form that the loops do best, zeros filled in for empty sums."""
        empty = f.both(f.compare("sle", "%k", 0), f.op("xor i1 %accumulate, true"))
        f.branch(empty, lambda: self.fill_zero(f))
        one_column = f.both(f.compare("eq", "%n", 1), f.compare("ne", "%m", 1))
        across = f.both(f.compare("ne", "%cn", 1), f.compare("eq", "%cm", 1))
        swap = f.either(one_column, f.both(across, f.compare("ne", "%m", 1)))
        swapped = ("b", "a", "c", "n", "m", "k", "bn", "bk", "ak", "am", "cn", "cm")
        return {
            name: f.select(swap, kind, f"%{other}", f"%{name}")
            for (kind, name), other in zip(self.PARAMETERS[:12], swapped, strict=True)
        }

    def product(self, f: FunctionText, m: V, arguments: str) -> None:
        """Run a product on this thread."""
        f.branch(f.compare("eq", m, 1), lambda: f.do(f"call void @row_product({arguments})"),
                 lambda: f.do(f"call void @blocked({arguments})"))  # fmt: skip

    def share_out(self, f: FunctionText, m: V, n: V, k: V) -> None:
        """Run the product over ranges of rows or columns, whichever are more.

        Ranges are as long as keeps all threads busy: each packs for itself.
        """
        by_columns = f.compare("sge", n, m)
        f.store("i64", f.op(f"zext i1 {by_columns} to i64"), f.at("i64", "%block", Word.COLUMNS), 8)
        extent = f.select(by_columns, "i64", n, m)
        other = f.select(by_columns, "i64", m, n)
        workers = f.load("i64", f"getelementptr (i64, ptr @{pool.STATE}, "
                         f"i64 {pool.WORKERS * pool.LINE})", 8)  # fmt: skip
        threads = f.add(workers, 1)
        width = self.block.width
        row = f.mul(threads, width)
        panels = f.op(f"sdiv i64 {f.add(n, f.sub(row, 1))}, {row}")
        panels = f.select(f.compare("eq", panels, 0), "i64", 1, panels)  # no column at all
        unit = f.select(by_columns, "i64", f.minimum(f.mul(panels, width), COLUMN_RANGE),
                        ROW_RANGE * self.block.height)  # fmt: skip
        share = f.op(f"sdiv i64 {extent}, {f.mul(threads, RANGES)}")
        units = f.op(f"sdiv i64 {share}, {unit}")
        multiple = f.mul(f.add(units, 1), unit)
        cost = f.mul(f.mul(other, k), PICOSECONDS * self.align)
        f.op(f"call i32 @{pool.PARALLEL}(ptr @range, ptr %block, i64 {extent}, i64 {cost}, "
             f"i64 {multiple})")  # fmt: skip

    def range(self) -> str:
        """Return the product over a range of rows or columns."""
        f = FunctionText("range", [
            ("ptr", "block"), ("i64", "first"), ("i64", "last"), ("i64", "number")], "i32")  # fmt: skip
        x = {word.name.lower(): f.load("ptr" if word in POINTERS else "i64",
                                       f.at("i64", "%block", word), 8) for word in Word}  # fmt: skip
        by_columns = f.compare("ne", x["columns"], 0)
        count = f.sub("%last", "%first")
        moved = {
            "a": f.at(self.element, x["a"], f.mul("%first", x["am"])),
            "b": f.at(self.element, x["b"], f.mul("%first", x["bn"])),
        }
        x["c"] = f.at(self.element, x["c"],
                      f.mul("%first", f.select(by_columns, "i64", x["cn"], x["cm"])))  # fmt: skip
        rows = x["m"]
        x["a"] = f.select(by_columns, "ptr", x["a"], moved["a"])
        x["b"] = f.select(by_columns, "ptr", moved["b"], x["b"])
        x["m"] = f.select(by_columns, "i64", x["m"], count)
        x["n"] = f.select(by_columns, "i64", count, x["n"])
        scratch = f.op(f"call ptr @{pool.SCRATCH}(ptr {x['scratch']}, i64 %number)")
        adds = f.compare("ne", x["adds"], 0)
        arguments = [f"{kind} {x[name]}" for kind, name in self.PARAMETERS[:12]]
        self.product(f, rows, f"{', '.join(arguments)}, ptr {scratch}, i1 {adds}")
        f.do("ret i32 0")
        return f.text()

    def fill_zero(self, f: FunctionText) -> None:
        def row(i: str, _: list[str]) -> None:
            start = f.at(self.element, "%c", f.mul(i, "%cm"))
            f.loop(0, "%n", 1, lambda j, _: f.store(
                self.element, self.scalar_zero(), f.at(self.element, start, f.mul(j, "%cn")),
                self.align))  # fmt: skip

        f.loop(0, "%m", 1, row)

    def row_product(self) -> str:
        """Return the product of one row with a matrix, in blocks of depth."""
        f = FunctionText("row_product", self.PARAMETERS)
        row = f.both(f.compare("eq", "%bn", 1), f.compare("eq", "%cn", 1))
        row = f.both(row, f.compare("ne", "%n", 1))
        dot = f.both(f.compare("eq", "%ak", 1), f.compare("eq", "%bk", 1))

        def depth(t: str, _: list[str]) -> None:
            k = f.minimum(f.sub("%k", t), GEMV_DEPTH)
            later = f.either("%accumulate", f.compare("ne", t, 0))
            a = f.at(self.element, "%a", f.mul(t, "%ak"))
            b = f.at(self.element, "%b", f.mul(t, "%bk"))

            def by_rows() -> list[V]:
                return [f.op(f"call i64 @row_times_matrix(ptr {a}, i64 %ak, ptr {b}, i64 %bk, "
                             f"ptr %c, i64 %n, i64 {k}, i1 {later})")]  # fmt: skip

            def by_dots() -> list[V]:
                f.do(f"call void @dots(ptr {a}, ptr {b}, i64 %bn, ptr %c, i64 %cn, i64 %n, "
                     f"i64 {k}, i1 {later})")  # fmt: skip
                return ["%n"]

            def not_by_rows() -> list[V]:
                return list(f.branch(dot, by_dots, lambda: [0], ["i64"]))

            (done,) = f.branch(row, by_rows, not_by_rows, ["i64"])
            left = f.sub("%n", done)
            rest_b = f.at(self.element, b, f.mul(done, "%bn"))
            rest_c = f.at(self.element, "%c", f.mul(done, "%cn"))
            f.do(f"call void @blocked(ptr {a}, ptr {rest_b}, ptr {rest_c}, i64 1, i64 {left}, "
                 f"i64 {k}, i64 %am, i64 %ak, i64 %bk, i64 %bn, i64 %cm, i64 %cn, ptr %scratch, "
                 f"i1 {later})")  # fmt: skip

        f.loop(0, "%k", GEMV_DEPTH, depth)
        return f.text()
