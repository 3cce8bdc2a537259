"""Tiles of matrix products in registers: their sizes, their arithmetic, and the table of them.

Each tile is a function in the text of a module of `symtensor.codegen.gemm`; what copies and loops around
them are made of comes from here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from symtensor.codegen.lanes import memory_type, vector_of
from symtensor.codegen.target import Target
from symtensor.codegen.text import FunctionText, V
from symtensor.ir.dtypes import DType

CACHE_LINE = 64
SHORT = 128
"""Terms of a sum that does not take long enough to ask for lines that are only written."""

PARAMETERS = (
    ("ptr", "a"), ("ptr", "b"), ("ptr", "c"),
    ("i64", "m"), ("i64", "n"), ("i64", "k"), ("i64", "rounds"),
    ("i64", "am"), ("i64", "ak"), ("i64", "ar"), ("i64", "bk"), ("i64", "bn"), ("i64", "br"),
    ("i64", "bp"), ("i64", "cm"), ("i64", "cn"), ("ptr", "d"), ("i64", "dm"), ("i64", "dn"),
    ("ptr", "scratch"),
)  # fmt: skip
"""What a whole product is told; `symtensor.codegen.gemm` says what they mean."""

NAME = "symtensor_gemm_{}"
ALONE = "symtensor_gemm_alone_{}"
"""The entry for products too small to share."""
VECTORS = "symtensor_product_{}"
"""The entry for products of which rows or columns may be one."""
VECTORS_ALONE = "symtensor_product_alone_{}"
PACK = "symtensor_gemm_pack_{}"


def declaration(name: str) -> str:
    """Return what declares an entry for products where it is called."""
    return f"declare void @{name}({', '.join(kind for kind, _ in PARAMETERS)})"


Access = Literal["strided", "packed", "packing"]
"""How a tile reads its operands: a at strides, or from a packed panel; or a at strides, and it packs b."""
L1, L2 = 3, 2
"""Names of caches for LLVM's prefetch."""
AHEAD: dict[Access, tuple[tuple[int, int], ...]] = {
    "strided": ((32, L2),), "packed": (), "packing": ((48, L2), (16, L1)),
}  # fmt: skip
"""How many rows before it reads one of b a tile asks for it, and in which cache. Rows may all fall into the
same few places of the L1, and a tile that packs must have them there: it asks twice."""


@dataclass(frozen=True, slots=True)
class Blocking:
    """Sizes of the register tile for one target and dtype."""

    height: int
    """Rows of the highest tile, and of a packed panel of a: an even number."""
    vectors: int
    """Width of a tile in vectors."""
    lanes: int
    """Elements of a vector."""

    @property
    def heights(self) -> range:
        """Rows of tiles, highest first: a tile does for one row less, whose last it computes twice."""
        return range(self.height, 0, -2)

    @property
    def width(self) -> int:
        """Columns of a full tile, and of a packed panel of b."""
        return self.vectors * self.lanes


def blocking(target: Target, dtype: DType) -> Blocking:
    """Return the tile that fills the registers: accumulators, one row of b, one element of a."""
    lanes = target.lanes(dtype.bits)
    if target.vector_bits == 512:
        return Blocking(12, 2, lanes)
    if target.vector_registers == 32:
        return Blocking(8, 3, lanes)
    return Blocking(6 if target.has_fma else 4, 2, lanes)


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

    def named(self, entry: str) -> str:
        """Return the name of an entry for this dtype."""
        return entry.format(self.dtype.name)

    # --- arithmetic ------------------------------------------------------------------------------

    def multiply_add(self, f: FunctionText, width: int, x: str, y: str, total: str) -> str:
        """Return x y + total in `width` lanes, fused where that is one instruction."""
        kind = vector_of(self.element, width)
        if self.dtype.is_integer:
            return f.op(f"add {kind} {f.op(f'mul {kind} {x}, {y}')}, {total}")
        if not self.target.has_fma:
            return f.op(f"fadd {kind} {f.op(f'fmul {kind} {x}, {y}')}, {total}")
        suffix = f"{'' if width == 1 else f'v{width}'}f{self.dtype.bits}"
        self.declarations.add(f"declare {kind} @llvm.fma.{suffix}({kind}, {kind}, {kind})")
        return f.op(f"call {kind} @llvm.fma.{suffix}({kind} {x}, {kind} {y}, {kind} {total})")

    def add(self, f: FunctionText, kind: str, x: V, y: V) -> str:
        return f.op(f"{'add' if self.dtype.is_integer else 'fadd'} {kind} {x}, {y}")

    def splat(self, f: FunctionText, x: str, width: int) -> str:
        """Return x in `width` lanes."""
        if width == 1:
            return x
        kind = vector_of(self.element, width)
        one = f.op(f"insertelement {kind} poison, {self.element} {x}, i64 0")
        return f.op(f"shufflevector {kind} {one}, {kind} poison, <{width} x i32> zeroinitializer")

    def scalar_zero(self) -> str:
        return "0" if self.dtype.is_integer else "0.0"

    # --- the tile --------------------------------------------------------------------------------

    def tile_name(self, rows: int, vectors: int, access: Access) -> str:
        return f"tile_{rows}x{vectors}_{access}"

    def tile(self, rows: int, vectors: int, access: Access) -> str:
        """Return ``c = d + a b`` for `rows` x `vectors` in registers, c and d contiguous along columns.

        The last row is `last`: `rows` - 1, or the one before it once more, so that all of d is read
        before anything is written.
        A packed panel of a holds the rows of a full tile side by side, one t after the other. A tile
        that packs leaves what it read of b in `panel`; it reads a at strides, packed or not.
        """
        f = FunctionText(self.tile_name(rows, vectors, access), [
            ("ptr", "a"), ("i64", "am"), ("i64", "ak"), ("i64", "ar"), ("ptr", "b"), ("i64", "bk"),
            ("i64", "br"), ("ptr", "c"), ("i64", "cm"), ("ptr", "d"), ("i64", "dm"), ("i64", "k"),
            ("i64", "rounds"), ("i64", "last"), ("ptr", "panel")])  # fmt: skip
        packed, packing = access == "packed", access == "packing"
        grid = [(r, v) for r in range(rows) for v in range(vectors)]
        numbers: list[V] = [*range(rows - 1), "%last"]
        starts = ["%a"] if packed else [f.at(self.element, "%a", f.mul("%am", r)) for r in numbers]
        a_step: V = self.block.height if packed else "%ak"
        following = f.at(self.element, "%a", f.mul("%am", rows))
        later = [(f.mul("%bk", ahead), cache) for ahead, cache in AHEAD[access]]

        places = 3 if packing else 2
        deep = f.compare("sgt", f.mul("%k", "%rounds"), SHORT)
        adds, elsewhere = self.is_there(f, "%d"), f.op("icmp ne ptr %d, %c")
        f.branch(adds, lambda: self.ask_for_rows(f, "%d", "%dm", vectors))
        asks = f.both(elsewhere, deep)
        f.branch(asks, lambda: self.ask_for_rows(f, "%c", "%cm", vectors))

        def step(t: str, state: list[str], ahead: str) -> list[V]:
            at, sums = state[:places], state[places:]
            # the rows of the next tile, as far as they follow in memory
            if access == "strided" and rows == self.block.height:
                self.prefetch(f, f.at("i8", ahead, f.mul(t, CACHE_LINE)))
            row = self.row_of_b(f, at[1], vectors, later)
            if packing:
                self.pack_row(f, row, at[2])
            for r in range(rows):
                start = starts[0] if packed else starts[r]
                one = f.at(self.element, start, at[0])
                one = f.at(self.element, one, r) if packed else one
                x = self.splat(f, f.load(self.element, one, self.align), self.lanes)
                for v in range(vectors):
                    place = grid.index((r, v))
                    sums[place] = self.multiply_add(f, self.lanes, x, row[v], sums[place])
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

        def places_in(pointer: str, stride: str) -> list[str]:
            starts = [f.at(self.element, pointer, f.mul(stride, r)) for r in numbers]
            return [f.at(self.element, starts[r], v * self.lanes) for r, v in grid]

        def added() -> list[V]:
            old = [f.load(self.vector, x, self.align) for x in places_in("%d", "%dm")]
            return [self.add(f, self.vector, x, y) for x, y in zip(old, sums, strict=True)]

        totals = f.branch(adds, added, lambda: [*sums], [self.vector] * len(grid))
        for total, place in zip(totals, places_in("%c", "%cm"), strict=True):
            f.store(self.vector, total, place, self.align)
        return f.text()

    def row_of_b(
        self, f: FunctionText, at: V, vectors: int, later: Sequence[tuple[V, int]]
    ) -> list[str]:
        """Return a row of b, and ask for those that are `later`, each in its cache."""
        row = f.at(self.element, "%b", at)
        places = [f.at(self.element, row, v * self.lanes) for v in range(vectors)]
        for distance, cache in later:
            for place in places:
                self.prefetch(f, f.at(self.element, place, distance), cache=cache)
        return [f.load(self.vector, place, self.align) for place in places]

    def pack_row(self, f: FunctionText, row: list[str], to: V) -> None:
        """Store a row of b where its panel has it."""
        panel = f.at(self.element, "%panel", to)
        for v, value in enumerate(row):
            f.store(self.vector, value, f.at(self.element, panel, v * self.lanes), self.align)

    def is_there(self, f: FunctionText, pointer: str) -> str:
        """Return whether a pointer is not null."""
        return f.op(f"icmp ne ptr {pointer}, null")

    def ask_for_rows(self, f: FunctionText, pointer: str, stride: str, vectors: int) -> None:
        """Ask for what a tile will add to, or write, when its sums are done."""

        def one(r: str, _: list[str]) -> None:
            row = f.at(self.element, pointer, f.mul(stride, r))
            for v in range(vectors):
                self.prefetch(f, f.at(self.element, row, v * self.lanes), write=1)

        f.loop(0, f.add("%last", 1), 1, one)

    def prefetch(self, f: FunctionText, pointer: str, write: int = 0, cache: int = L1) -> None:
        """Ask for a cache line; any address will do."""
        self.declarations.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        f.do(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 {write}, i32 {cache}, i32 1)")

    def tiles(self) -> list[tuple[int, int, Access]]:
        """Return rows, vectors and access of each tile, in the order of the table.

        Only tiles of full height have code for packed rows: lower ones read them at strides.
        """
        widths = range(1, self.block.vectors + 1)
        found: list[tuple[int, int, Access]] = [
            (r, v, "strided") for r in self.block.heights for v in widths
        ]
        found += [(self.block.height, v, "packed") for v in widths]
        return [*found, (self.block.height, self.block.vectors, "packing")]

    def tiles_of(self, f: FunctionText, rows: V, packed: str) -> str:
        """Return where the table has the tiles for some rows, not above the height of a full tile."""
        height = self.block.height
        place = f.op(f"lshr i64 {f.sub(height, rows)}, 1")
        full = f.both(packed, f.compare("eq", rows, height))
        place = f.select(full, "i64", len(self.block.heights), place)
        return f.at("ptr", "@tiles", f.sub(f.mul(place, self.block.vectors), 1))

    def call_tile(
        self, f: FunctionText, tiles: str, vectors: V, packing: str, arguments: str
    ) -> None:
        """Call the one of some tiles that is `vectors` wide, or the one that packs."""
        last = f.at("ptr", "@tiles", len(self.tiles()) - 1)
        place = f.select(packing, "ptr", last, f.at("ptr", tiles, vectors))
        f.do(f"call void {f.load('ptr', place, 8)}({arguments})")

    # --- results ---------------------------------------------------------------------------------

    def write_sum(
        self, f: FunctionText, kind: str, place: str, value: str, adds: str, addend: str
    ) -> None:
        """Store an element or a vector, or its sum with what is at `addend`."""

        def added() -> list[V]:
            return [self.add(f, kind, f.load(kind, addend, self.align), value)]

        (total,) = f.branch(adds, added, lambda: [value], [kind])
        f.store(kind, total, place, self.align)
