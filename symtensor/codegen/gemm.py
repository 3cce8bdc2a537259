"""Matrix products: a module of native code per dtype, for matrices of any strides.

    gemm(ptr a, ptr b, ptr c, i64 m, i64 n, i64 k, i64 rounds, i64 am, i64 ak, i64 ar,
         i64 bk, i64 bn, i64 br, i64 bp, i64 cm, i64 cn, ptr scratch, i1 accumulate)
    pack(ptr b, ptr to, i64 n, i64 k, i64 bk, i64 bn)

computes ``c[i, j] (+)= sum_r sum_t a[i, t, r] b[t, j, r]`` for ``t < k`` and ``r < rounds``, where
``a[i, t, r]`` is at ``a + i am + t ak + r ar`` elements, and so on. Rounds are for sums over two labels
that are not one in memory: the rows of a convolution's window.
The method is that of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication"
(2008), in the form of BLIS (Van Zee and van de Geijn, 2015): a tile of rows x columns of c stays in
registers while t runs; panels of a and b are copied ("packed") so that the tile reads them in order.
Small products skip the packing. A row or column result goes through dot products or row sums.
`pack` does the packing of b ahead, for many products with the same b: then `bk` is the width of a
panel, `bn` is 1, and `bp`, which is 0 otherwise, is k. Results are the same to the last bit.

The sum over r and t runs in blocks of about `DEPTH` terms, in order, so the bits of a result do not depend on
what else is computed, nor on the number of threads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from symtensor.codegen import pool
from symtensor.codegen.microkernels import WIDE, Microkernels, blocking
from symtensor.codegen.target import Target
from symtensor.codegen.text import FunctionText, V
from symtensor.ir.dtypes import DType

NAME = "symtensor_gemm_{}"
ALONE = "symtensor_gemm_alone_{}"
"""The entry for products too small to share."""
PACK = "symtensor_gemm_pack_{}"
ENTRIES = (NAME, ALONE, PACK)
DEPTH = 2048
"""Bytes of the terms added before a partial sum goes to memory: a panel of a stays in the L1 cache, and
results are read again as seldom as possible."""
DEEPEST = 2304
"""Bytes of the terms of a block of several rounds at most."""
COLUMNS = 1024
"""Columns of b packed at a time: a is packed again for each so many."""
ROWS = 24
"""Rows of a that one panel of b is read for before the next is: whole tiles of any height."""
GEMV_DEPTH = 4096
"""Terms per block in products with a vector, which pack nothing."""

PAGE = 4096
"""Rows this far apart, or a multiple of it, fall into the same few places of an L1 cache."""
PICOSECONDS = 4
"""Time of one multiply-add per byte of an element, about."""
ROW_RANGE = 8
"""Tiles of rows that a thread takes at least: packing for fewer would not pay."""
RANGES = 2
"""Ranges per thread, so that a late thread does not hold up the others."""

Word = IntEnum(
    "Word", "A B C M N K ROUNDS AM AK AR BK BN BR BP CM CN SCRATCH ADDS COLUMNS", start=0
)
"""Words of the block in which a product is handed to the threads."""
POINTERS = (Word.A, Word.B, Word.C, Word.SCRATCH)


def scratch_bytes(target: Target, dtype: DType) -> int:
    """Return the bytes of scratch that one running product needs."""
    block = blocking(target, dtype)
    return DEEPEST * (COLUMNS + block.width + ROWS)


@functools.cache
def gemm_module(target: Target, dtype: DType) -> str:
    """Return the text of the module that defines ``symtensor_gemm_<dtype>``."""
    return _Gemm(target, dtype).module()


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


class _Gemm(Microkernels):
    def module(self) -> str:
        functions = [self.tile(*tile) for tile in self.tiles()]
        functions += [self.tile(1, WIDE, "strided"), self.dots()]
        functions += [self.pack(width) for width in sorted({self.block.height, self.block.width})]
        functions += [self.copy_tile(), self.row_times_matrix(), self.row_product()]
        functions += [self.blocked(), self.range(), self.gemm(), self.alone(), self.pack_ahead()]
        names = [self.tile_name(*tile) for tile in self.tiles()]
        pointers = ", ".join(f"ptr @{name}" for name in names)
        table = f"@tiles = internal constant [{len(names)} x ptr] [{pointers}]"
        state = f"@{pool.STATE} = external global [{pool.STATE_WORDS} x i64]"
        declared = [*pool.DECLARATIONS, state, *sorted(self.declarations)]
        return "\n\n".join([*declared, table, *functions])

    # --- the loops around the tile ---------------------------------------------------------------

    PARAMETERS = (
        ("ptr", "a"), ("ptr", "b"), ("ptr", "c"),
        ("i64", "m"), ("i64", "n"), ("i64", "k"), ("i64", "rounds"),
        ("i64", "am"), ("i64", "ak"), ("i64", "ar"), ("i64", "bk"), ("i64", "bn"), ("i64", "br"),
        ("i64", "bp"), ("i64", "cm"), ("i64", "cn"), ("ptr", "scratch"), ("i1", "accumulate"),
    )  # fmt: skip
    OPERANDS = PARAMETERS[:-2]
    SWAPPED = "b a c n m k rounds bn bk br ak am ar bp cn cm".split()
    """What takes the place of each operand in the transposed product."""

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
        f = FunctionText("blocked", self.PARAMETERS)
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
            later = f.either("%accumulate", later)
            panels = Panels(b, step, packed_b, packing, ahead)
            self.row_blocks(f, a, panels, c, n, k, rounds, later)

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

    def pack_ahead(self) -> str:
        """Return the entry that packs all of b."""
        f = FunctionText(PACK.format(self.dtype.name), [
            ("ptr", "b"), ("ptr", "to"), ("i64", "n"), ("i64", "k"), ("i64", "bk"),
            ("i64", "bn")], linkage="")  # fmt: skip
        width = self.block.width

        def panel(j: str, _: list[str]) -> None:
            to = f.at(self.element, "%to", f.mul(j, "%k"))
            source = f.at(self.element, "%b", f.mul(j, "%bn"))
            count = f.minimum(f.sub("%n", j), width)
            f.do(f"call void @pack_{width}(ptr {to}, ptr {source}, i64 %bn, i64 %bk, i64 {count}, "
                 "i64 %k)")  # fmt: skip

        f.loop(0, "%n", width, panel)
        return f.text()

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
        self, f: FunctionText, a: str, b: Panels, c: str, n: V, k: V, rounds: V, later: str
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
            self.column_panels(f, chosen, packed_a, rows, b, first, place, n, k, rounds, later)

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

    def next_tile(self, f: FunctionText, left: V, full: str, packed_a: str) -> list[str]:
        """Return the height of the next tile for `left` rows, and where the table has such tiles."""

        def low() -> list[V]:
            rows = self.rows_of(f, left)
            return [rows, self.tiles_of(f, rows, packed_a)]

        height = self.block.height
        return f.branch(f.compare("sge", left, height), lambda: [height, full], low, ["i64", "ptr"])

    def rows_of(self, f: FunctionText, left: V) -> V:
        """Return the height of the next tile for `left` rows."""
        rows: V = 1
        for height in reversed(self.block.rows[:-1]):
            rows = f.select(f.compare("sge", left, height), "i64", height, rows)
        return rows

    def column_panels(
        self, f: FunctionText, a: str, packed_a: str, rows: V, b: Panels, packing: str,
        c: str, n: V, k: V, rounds: V, later: str,
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
        full_tiles = self.tiles_of(f, height, packed_a)

        def panel(j: str, _: list[str]) -> None:
            columns = f.minimum(f.sub(n, j), width)
            ragged = self.ragged(f, columns)
            narrow = f.both(loose, f.compare("slt", columns, width))
            partial = f.both(narrow, f.either(b.packed, ragged))
            packs = f.op(f"select i1 {partial}, i1 false, i1 {packing}")
            packed = f.at(self.element, "%scratch", f.mul(j, depth))
            loose_b = f.at(self.element, b.at, f.mul(j, b.step))
            vectors = f.divide(f.add(columns, self.lanes - 1), self.lanes)
            direct = f.both(f.op(f"xor i1 {ragged}, true"), f.compare("eq", "%cn", 1))
            to_stride = f.select(direct, "i64", "%cm", width)
            adds = f.both(later, direct)

            def tile(_: str, state: list[str]) -> list[V]:
                (i,) = state
                height_now, tiles = self.next_tile(f, f.sub(rows, i), full_tiles, packed_a)
                now = f.both(packs, f.compare("eq", i, 0))
                behind = f.either(packed_before, f.compare("ne", i, 0))
                in_scratch = f.either(f.both(behind, b.packed), partial)
                source = f.select(in_scratch, "ptr", packed, loose_b)
                stride = f.select(in_scratch, "i64", width, "%bk")
                step = f.select(in_scratch, "i64", step_in_scratch, "%br")
                place = f.at(self.element, f.at(self.element, c, f.mul(j, "%cn")), f.mul(i, "%cm"))
                to = f.select(direct, "ptr", place, "%tile")
                within = f.op(f"urem i64 {i}, {height}")
                start = f.at(self.element, a,
                             f.add(f.mul(f.sub(i, within), step_a), f.mul(within, am)))  # fmt: skip
                self.call_tile(f, tiles, vectors, now,
                    f"ptr {start}, i64 {am}, i64 {ak}, i64 {ar}, ptr {source}, i64 {stride}, i64 {step}, "
                    f"ptr {to}, i64 {to_stride}, i64 {k}, i64 {rounds}, i1 {adds}, ptr {packed}")  # fmt: skip
                f.branch(direct, lambda: None, lambda: f.do(
                    f"call void @copy_tile(ptr %tile, ptr {place}, i64 %cm, i64 %cn, i64 {height_now}, "
                    f"i64 {columns}, i1 {later})"))  # fmt: skip
                return [f.add(i, height_now)]

            self.while_below(f, rows, tile)

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
        for kind, name in self.OPERANDS:
            f.store(kind, values[name], f.at("i64", "%block", Word[name.upper()]), 8)
        f.store("ptr", "%scratch", f.at("i64", "%block", Word.SCRATCH), 8)
        f.store("i64", f.op("zext i1 %accumulate to i64"), f.at("i64", "%block", Word.ADDS), 8)
        self.share_out(f, values)
        return f.text()

    def alone(self) -> str:
        """Return the entry for small products: one thread, nothing to share out."""
        f = FunctionText(ALONE.format(self.dtype.name), self.PARAMETERS, linkage="")
        values = self.upright(f)
        arguments = [f"{kind} {values[name]}" for kind, name in self.OPERANDS]
        self.product(f, values["m"], "%bp", f"{', '.join(arguments)}, ptr %scratch, i1 %accumulate")
        return f.text()

    def upright(self, f: FunctionText) -> dict[str, V]:
        """Return the operands in the form that the loops do best, zeros filled in for empty sums."""
        nothing = f.either(f.compare("sle", "%k", 0), f.compare("sle", "%rounds", 0))
        empty = f.both(nothing, f.op("xor i1 %accumulate, true"))
        f.branch(empty, lambda: self.fill_zero(f))
        one_column = f.both(f.compare("eq", "%n", 1), f.compare("ne", "%m", 1))
        across = f.both(f.compare("ne", "%cn", 1), f.compare("eq", "%cm", 1))
        swap = f.either(one_column, f.both(across, f.compare("ne", "%m", 1)))
        swap = f.both(swap, f.compare("eq", "%bp", 0))
        return {
            name: f.select(swap, kind, f"%{other}", f"%{name}")
            for (kind, name), other in zip(self.OPERANDS, self.SWAPPED, strict=True)
        }

    def is_row(self, f: FunctionText, m: V, bp: V) -> str:
        """Return whether a product is that of one row with a matrix that nothing has packed."""
        return f.both(f.compare("eq", m, 1), f.compare("eq", bp, 0))

    def product(self, f: FunctionText, m: V, bp: V, arguments: str) -> None:
        """Run a product on this thread."""
        f.branch(self.is_row(f, m, bp), lambda: f.do(f"call void @row_product({arguments})"),
                 lambda: f.do(f"call void @blocked({arguments})"))  # fmt: skip

    def share_out(self, f: FunctionText, values: dict[str, V]) -> None:
        """Run the product over ranges of rows or columns, whichever are more.

        Ranges are as long as keeps all threads busy: each packs for itself. They end where the loops
        of the whole product change tiles, so that no sum has another order than in one range.
        """
        m, n, k = values["m"], values["n"], f.mul(values["k"], values["rounds"])
        by_columns = f.compare("sge", n, m)
        f.store("i64", f.op(f"zext i1 {by_columns} to i64"), f.at("i64", "%block", Word.COLUMNS), 8)
        extent = f.select(by_columns, "i64", n, m)
        other = f.select(by_columns, "i64", m, n)
        workers = f.load("i64", f"getelementptr (i64, ptr @{pool.STATE}, "
                         f"i64 {pool.WORKERS * pool.LINE})", 8)  # fmt: skip
        threads = f.add(workers, 1)
        height = self.block.height
        width = f.select(
            self.is_row(f, m, values["bp"]), "i64", WIDE * self.lanes, self.block.width
        )
        granule = f.select(by_columns, "i64", width, height)
        least = f.select(by_columns, "i64", f.mul(self.ceiling(f, self.columns, width), width),
                         ROW_RANGE * height)  # fmt: skip
        share, fair = (
            f.mul(self.ceiling(f, self.ceiling(f, extent, count), granule), granule)
            for count in (threads, f.mul(threads, RANGES))
        )
        multiple = f.select(f.compare("sgt", fair, least), "i64", fair, f.minimum(least, share))
        multiple = f.select(f.compare("eq", multiple, 0), "i64", 1, multiple)  # nothing at all
        cost = f.mul(f.mul(other, k), PICOSECONDS * self.align)
        f.op(f"call i32 @{pool.PARALLEL}(ptr @range, ptr %block, i64 {extent}, i64 {cost}, "
             f"i64 {multiple})")  # fmt: skip

    def ceiling(self, f: FunctionText, a: V, b: V) -> str:
        """Return a / b, rounded up."""
        return f.op(f"sdiv i64 {f.sub(f.add(a, b), 1)}, {b}")

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
            "b": f.at(self.element, x["b"], f.mul("%first", self.column_step(f, x["bn"], x["bp"]))),
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
        arguments = [f"{kind} {x[name]}" for kind, name in self.OPERANDS]
        self.product(f, rows, x["bp"], f"{', '.join(arguments)}, ptr {scratch}, i1 {adds}")
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

        def depth(r: str, t: str) -> None:
            k = f.minimum(f.sub("%k", t), GEMV_DEPTH)
            later = f.either(f.compare("ne", r, 0), f.compare("ne", t, 0))
            later = f.either("%accumulate", later)
            a = f.at(self.element, "%a", f.add(f.mul(r, "%ar"), f.mul(t, "%ak")))
            b = f.at(self.element, "%b", f.add(f.mul(r, "%br"), f.mul(t, "%bk")))

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
                 f"i64 {k}, i64 1, i64 %am, i64 %ak, i64 0, i64 %bk, i64 %bn, i64 0, i64 0, i64 %cm, "
                 f"i64 %cn, ptr %scratch, i1 {later})")  # fmt: skip

        f.loop(0, "%rounds", 1, lambda r, _: f.loop(
            0, "%k", GEMV_DEPTH, lambda t, _: depth(r, t)) and None)  # fmt: skip
        return f.text()
