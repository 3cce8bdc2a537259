"""Matrix products in blocks: the loops around the tiles, and when operands are packed.

Blocks of columns of b go outermost, then blocks of the sum, then blocks of rows of a. A panel of b that
rows lie in is packed by the tiles of the first rows, in passing, as they read it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from symtensor.codegen.microkernels import PARAMETERS, blocking
from symtensor.codegen.panel_copies import PanelCopies
from symtensor.codegen.target import Target
from symtensor.codegen.text import FunctionText, V
from symtensor.ir.dtypes import DType

DEPTH = 2048
"""Bytes of the terms added before a partial sum goes to memory: a panel of a stays in the L1 cache, and
results are read again as seldom as possible."""
DEEPEST = 2304
"""Bytes of the terms of a block of several rounds at most."""
COLUMNS = 1024
"""Columns of b packed at a time: a is packed again for each so many."""
ROWS = 24
"""Rows of a that one panel of b is read for before the next is: whole tiles."""
PAGE = 4096
"""Rows this far apart, or a multiple of it, fall into the same few places of an L1 cache."""


def scratch_bytes(target: Target, dtype: DType) -> int:
    """Return the bytes of scratch that one running product needs."""
    block = blocking(target, dtype)
    return DEEPEST * (COLUMNS + block.width + ROWS)


@dataclass(frozen=True, slots=True)
class Panels:
    """The columns of b that a block of the product reads. The last three are of type i1."""

    at: str
    """The first column."""
    step: V
    """Elements per column from one panel to the next."""
    packed: str
    """True when the panels go through scratch."""
    packing: str
    """True when it is the tiles of the first rows that put them there."""
    ahead: str
    """True when b is packed as it is, all panels whole."""


@dataclass(frozen=True, slots=True)
class Addend:
    """What a block of the product adds to: null and no strides, or a place and its strides."""

    at: str
    rows: V
    columns: V


class ProductBlocks(PanelCopies):
    """Writes the loops for one target and dtype."""

    @property
    def depth(self) -> int:
        """Terms of a block of one round."""
        return DEPTH // self.dtype.itemsize

    @property
    def deepest(self) -> int:
        """Terms of a block at most."""
        return DEEPEST // self.dtype.itemsize

    @property
    def columns(self) -> int:
        """Columns of b that go together: whole panels."""
        return COLUMNS // self.block.width * self.block.width

    def blocked(self) -> str:
        """Return the product in blocks of columns and depth."""
        f = FunctionText("blocked", PARAMETERS)
        f.do(f"%tile = alloca {self.element}, i64 {self.block.height * self.block.width}, align 64")
        ahead = f.compare("ne", "%bp", 0)
        step = self.column_step(f, "%bn", "%bp")
        loose = f.op(f"xor i1 {ahead}, true")
        packed_b = f.both(loose, self.packs_b(f))
        together = self.rounds_together(f)

        def block(at: tuple[str, str, str], n: V, k: V, rounds: V) -> None:
            j, r, t = at
            b = f.at(
                self.element, "%b", f.add(f.add(f.mul(r, "%br"), f.mul(t, "%bk")), f.mul(j, step))
            )
            packing = self.packs_in_passing(f, packed_b)
            now = f.op(f"xor i1 {packed_b}, {packing}")
            needed = f.both(loose, f.either(packed_b, self.ragged(f, n)))
            self.pack_columns(f, b, n, k, rounds, now, needed)
            a = f.at(self.element, "%a", f.add(f.mul(r, "%ar"), f.mul(t, "%ak")))
            c = f.at(self.element, "%c", f.mul(j, "%cn"))
            later = f.either(f.compare("ne", r, 0), f.compare("ne", t, 0))
            given = f.at(self.element, "%d", f.mul(j, "%dn"))
            addend = Addend(
                f.select(later, "ptr", c, given),
                f.select(later, "i64", "%cm", "%dm"),
                f.select(later, "i64", "%cn", "%dn"),
            )
            panels = Panels(b, step, packed_b, packing, ahead)
            self.row_blocks(f, a, panels, c, n, k, rounds, addend)

        def columns(j: str, _: list[str]) -> None:
            n = f.minimum(f.sub("%n", j), self.columns)

            def rounds(r: str, _: list[str]) -> None:
                count = f.minimum(f.sub("%rounds", r), together)
                f.loop(0, "%k", self.depth, lambda t, _: block(
                    (j, r, t), n, f.minimum(f.sub("%k", t), self.depth), count))  # fmt: skip

            f.loop(0, "%rounds", together, rounds)

        f.loop(0, "%n", self.columns, columns)
        return f.text()

    def column_step(self, f: FunctionText, bn: V, bp: V) -> V:
        """Return how far apart columns of b are, counted from the first of a panel to another's."""
        return f.select(f.compare("ne", bp, 0), "i64", bp, bn)

    def ragged(self, f: FunctionText, columns: V) -> str:
        """Return whether some columns are not whole vectors."""
        return f.compare("ne", f.op(f"and i64 {columns}, {self.lanes - 1}"), 0)

    def vectors_of(self, f: FunctionText, columns: V) -> V:
        """Return how many vectors hold some columns."""
        return f.divide(f.add(columns, self.lanes - 1), self.lanes)

    def rounds_together(self, f: FunctionText) -> V:
        """Return how many rounds make a block: those that fit, or one that is cut in blocks itself."""
        some = f.select(f.compare("sgt", "%k", 0), "i64", "%k", 1)
        fitting = f.op(f"sdiv i64 {self.deepest}, {some}")
        return f.select(f.compare("sgt", fitting, 1), "i64", fitting, 1)

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

    def packs_in_passing(self, f: FunctionText, packed_b: str) -> str:
        """Return whether the tiles of the first rows pack b: they read it as it is, row by row."""
        rows = f.both(packed_b, f.compare("eq", "%bn", 1))
        return f.both(rows, f.compare("sge", "%m", self.block.height))

    def packs_a(self, f: FunctionText, n: V) -> str:
        """Return whether a is worth packing: when its rows are read by enough tiles, and a tile that
        reads them where they are would read many places of few lines, or of few sets of a cache."""
        often = f.compare("sge", n, 4 * self.block.width)
        across = f.compare("ne", "%ak", 1)
        step = f.op(f"and i64 {f.mul('%am', self.dtype.itemsize)}, {PAGE - 1}")
        return f.both(often, f.either(across, f.compare("eq", step, 0)))

    def pack_columns(
        self, f: FunctionText, b: str, n: V, k: V, rounds: V, now: str, needed: str
    ) -> None:
        """Pack the panels of b: all of them now, or only a last one that is not full, if needed."""
        width = self.block.width
        full = f.mul(f.divide(n, width), width)
        start = f.select(now, "i64", 0, f.select(needed, "i64", full, n))

        def panel(j: str, _: list[str]) -> None:
            to = f.at(self.element, "%scratch", f.mul(j, f.mul(k, rounds)))
            source = f.at(self.element, b, f.mul(j, "%bn"))
            count = f.minimum(f.sub(n, j), width)
            self.pack_rounds(f, width, to, source, "%bn, i64 %bk", count, k, rounds, "%br")

        f.loop(start, n, width, panel)

    def pack_rounds(
        self, f: FunctionText, width: int, to: str, source: str, strides: str, count: V, k: V,
        rounds: V, step: str,
    ) -> None:  # fmt: skip
        """Pack a panel of all rounds, one after the other."""

        def one(r: str, _: list[str]) -> None:
            place = f.at(self.element, to, f.mul(r, f.mul(k, width)))
            part = f.at(self.element, source, f.mul(r, step))
            f.do(
                f"call void @pack_{width}(ptr {place}, ptr {part}, i64 {strides}, i64 {count}, i64 {k})"
            )

        f.loop(0, rounds, 1, one)

    def row_blocks(
        self, f: FunctionText, a: str, b: Panels, c: str, n: V, k: V, rounds: V, addend: Addend
    ) -> None:
        """Emit the loop over blocks of rows; one panel of b after the other meets all of a block."""
        panel_a = f.at(self.element, "%scratch", self.deepest * (COLUMNS + self.block.width))
        packed_a = self.packs_a(f, n)

        def block(i: str, _: list[str]) -> None:
            rows = f.minimum(f.sub("%m", i), ROWS)
            source = f.at(self.element, a, f.mul(i, "%am"))
            f.branch(packed_a, lambda: self.pack_rows(f, panel_a, source, rows, k, rounds))
            chosen = f.select(packed_a, "ptr", panel_a, source)
            place = f.at(self.element, c, f.mul(i, "%cm"))
            first = f.both(b.packing, f.compare("eq", i, 0))
            moved = replace(addend, at=f.at(self.element, addend.at, f.mul(i, addend.rows)))
            self.column_panels(f, chosen, packed_a, rows, b, first, place, n, k, rounds, moved)

        f.loop(0, "%m", ROWS, block)

    def pack_rows(self, f: FunctionText, to: str, source: str, rows: V, k: V, rounds: V) -> None:
        """Pack a block of rows, a panel for each tile."""
        height = self.block.height

        def panel(i: str, _: list[str]) -> None:
            part = f.at(self.element, source, f.mul(i, "%am"))
            place = f.at(self.element, to, f.mul(i, f.mul(k, rounds)))
            count = f.minimum(f.sub(rows, i), height)
            self.pack_rounds(f, height, place, part, "%am, i64 %ak", count, k, rounds, "%ar")

        f.loop(0, rows, height, panel)

    def column_panels(
        self, f: FunctionText, a: str, packed_a: str, rows: V, b: Panels, packing: str,
        c: str, n: V, k: V, rounds: V, addend: Addend,
    ) -> None:  # fmt: skip
        width, height = self.block.width, self.block.height
        packed_before = f.op(f"xor i1 {b.packed}, {packing}")
        am = f.select(packed_a, "i64", 1, "%am")
        ak = f.select(packed_a, "i64", height, "%ak")
        ar = f.select(packed_a, "i64", f.mul(k, height), "%ar")
        depth = f.mul(k, rounds)
        step_a = f.select(packed_a, "i64", depth, "%am")  # from one panel of a to the next
        step_in_scratch = f.mul(k, width)
        loose = f.op(f"xor i1 {b.ahead}, true")
        dense = f.both(f.compare("eq", "%cn", 1), self.is_dense(f))

        def panel(j: str, _: list[str]) -> None:
            columns = f.minimum(f.sub(n, j), width)
            ragged = self.ragged(f, columns)
            narrow = f.both(loose, f.compare("slt", columns, width))
            partial = f.both(narrow, f.either(b.packed, ragged))
            packs = f.op(f"select i1 {partial}, i1 false, i1 {packing}")
            packed = f.at(self.element, "%scratch", f.mul(j, depth))
            loose_b = f.at(self.element, b.at, f.mul(j, b.step))
            vectors = self.vectors_of(f, columns)
            direct = f.both(f.op(f"xor i1 {ragged}, true"), dense)
            to_stride = f.select(direct, "i64", "%cm", width)
            beside = f.at(self.element, addend.at, f.mul(j, addend.columns))

            def tile(i: str, _: list[str]) -> None:
                count = f.minimum(f.sub(rows, i), height)
                now = f.both(packs, f.compare("eq", i, 0))
                behind = f.either(packed_before, f.compare("ne", i, 0))
                in_scratch = f.either(f.both(behind, b.packed), partial)
                source = f.select(in_scratch, "ptr", packed, loose_b)
                stride = f.select(in_scratch, "i64", width, "%bk")
                step = f.select(in_scratch, "i64", step_in_scratch, "%br")
                place = f.at(self.element, f.at(self.element, c, f.mul(j, "%cn")), f.mul(i, "%cm"))
                to = f.select(direct, "ptr", place, "%tile")
                d = f.at(self.element, beside, f.mul(i, addend.rows))
                start, last = f.at(self.element, a, f.mul(i, step_a)), f.sub(count, 1)
                tiles = self.tiles_of(f, count, f.both(packed_a, in_scratch))
                self.call_tile(f, tiles, vectors, now,
                    f"ptr {start}, i64 {am}, i64 {ak}, i64 {ar}, ptr {source}, i64 {stride}, i64 {step}, "
                    f"ptr {to}, i64 {to_stride}, ptr {f.select(direct, 'ptr', d, 'null')}, "
                    f"i64 {addend.rows}, i64 {k}, i64 {rounds}, i64 {last}, ptr {packed}")  # fmt: skip
                copied = (f"ptr %tile, ptr {place}, i64 %cm, i64 %cn, ptr {d}, i64 {addend.rows}, "
                          f"i64 {addend.columns}, i64 {count}, i64 {columns}")  # fmt: skip
                f.branch(direct, lambda: None, lambda: f.do(f"call void @copy_tile({copied})"))

            f.loop(0, rows, height, tile)

        f.loop(0, n, width, panel)
