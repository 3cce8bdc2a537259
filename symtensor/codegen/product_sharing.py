"""Matrix products shared out among threads: what is cut, and where.

A product is cut along its longer side; that of a row with a matrix along the sum, so that each thread
reads whole rows of the matrix, in the order in which they lie. How it is cut changes no bit of the result.
"""

from __future__ import annotations

import functools
from enum import IntEnum

from symtensor.codegen import pool
from symtensor.codegen.microkernels import CACHE_LINE, PARAMETERS
from symtensor.codegen.product_blocks import PAGE, ProductBlocks, scratch_bytes
from symtensor.codegen.sharing import BYTE
from symtensor.codegen.text import FunctionText, V
from symtensor.codegen.vector_products import PIECES, SUMS, VectorProducts

PICOSECONDS = 4
"""Time of one multiply-add per byte of an element, about."""
ROW_RANGE = 8
"""Tiles of rows that a thread takes at least: packing for fewer would not pay."""
RANGES = 2
"""Ranges per thread, so that a late thread does not hold up the others."""
PARTS = SUMS + PAGE
"""Where in the caller's scratch memory pieces of a sum are left; before it they are made."""

Word = IntEnum(
    "Word", "A B C M N K ROUNDS AM AK AR BK BN BR BP CM CN D DM DN SCRATCH COLUMNS", start=0
)
"""Words of the block in which a product is handed to the threads."""
POINTERS = (Word.A, Word.B, Word.C, Word.D, Word.SCRATCH)
RANGE = [("ptr", "block"), ("i64", "first"), ("i64", "last"), ("i64", "number")]
"""What a function that makes a part of a product is told."""


class ProductSharing(ProductBlocks, VectorProducts):
    """Writes what shares products out, for one target and dtype."""

    OPERANDS = PARAMETERS[:-1]

    def is_row(self, f: FunctionText, m: V, bp: V) -> str:
        """Return whether a product is that of one row with a matrix that nothing has packed."""
        return f.both(f.compare("eq", m, 1), f.compare("eq", bp, 0))

    def product(self, f: FunctionText, m: V, bp: V, arguments: str) -> None:
        """Run a product on this thread."""
        f.branch(self.is_row(f, m, bp), lambda: f.do(f"call void @row_product({arguments})"),
                 lambda: f.do(f"call void @blocked({arguments})"))  # fmt: skip

    def share_out(self, f: FunctionText, values: dict[str, V]) -> None:
        """Run the product over ranges of the sum, or of rows or columns."""
        workers = f.load("i64", f"getelementptr (i64, ptr @{pool.STATE}, "
                         f"i64 {pool.WORKERS * pool.LINE})", 8)  # fmt: skip
        threads = f.add(workers, 1)
        row = self.is_row(f, values["m"], values["bp"])
        f.branch(
            f.both(row, self.cuts_sum(f, values, threads)),
            lambda: self.share_sum(f, values, threads),
            lambda: self.share_result(f, values, threads, row),
        )

    def ceiling(self, f: FunctionText, a: V, b: V) -> str:
        """Return a / b, rounded up."""
        return f.op(f"sdiv i64 {f.sub(f.add(a, b), 1)}, {b}")

    def words(self, f: FunctionText) -> dict[str, str]:
        """Return the words of the block of a product."""
        return {word.name.lower(): f.load("ptr" if word in POINTERS else "i64",
                                          f.at("i64", "%block", word), 8) for word in Word}  # fmt: skip

    # --- the result in ranges --------------------------------------------------------------------

    def share_result(self, f: FunctionText, values: dict[str, V], threads: V, row: str) -> None:
        """Run the product over ranges of rows or columns, whichever are more.

        Ranges are as long as keeps all threads busy: each packs for itself. They end where the loops
        of the whole product change tiles, so that no sum has another order than in one range.
        """
        m, n, k = values["m"], values["n"], f.mul(values["k"], values["rounds"])
        by_columns = f.compare("sge", n, m)
        f.store("i64", f.op(f"zext i1 {by_columns} to i64"), f.at("i64", "%block", Word.COLUMNS), 8)
        extent = f.select(by_columns, "i64", n, m)
        other = f.select(by_columns, "i64", m, n)
        height = self.block.height
        width = f.select(row, "i64", CACHE_LINE // self.align, self.block.width)
        granule = f.select(by_columns, "i64", width, height)
        least = f.select(by_columns, "i64", f.mul(self.ceiling(f, self.columns, width), width),
                         ROW_RANGE * height)  # fmt: skip
        share, fair = (
            f.mul(self.ceiling(f, self.ceiling(f, extent, count), granule), granule)
            for count in (threads, f.mul(threads, RANGES))
        )
        multiple = f.select(f.compare("sgt", fair, least), "i64", fair, f.minimum(least, share))
        multiple = f.select(f.compare("eq", multiple, 0), "i64", 1, multiple)  # nothing at all
        cost = f.mul(
            f.mul(other, k), f.select(row, "i64", BYTE * self.align, PICOSECONDS * self.align)
        )
        f.op(f"call i32 @{pool.PARALLEL}(ptr @range, ptr %block, i64 {extent}, i64 {cost}, "
             f"i64 {multiple})")  # fmt: skip

    def range(self) -> str:
        """Return the product over a range of rows or columns."""
        f = FunctionText("range", RANGE, "i32")
        x = self.words(f)
        by_columns = f.compare("ne", x["columns"], 0)
        count = f.sub("%last", "%first")
        moved = {
            "a": f.at(self.element, x["a"], f.mul("%first", x["am"])),
            "b": f.at(self.element, x["b"], f.mul("%first", self.column_step(f, x["bn"], x["bp"]))),
        }
        for name in ("c", "d"):
            step = f.select(by_columns, "i64", x[f"{name}n"], x[f"{name}m"])
            x[name] = f.at(self.element, x[name], f.mul("%first", step))
        rows = x["m"]
        x["a"] = f.select(by_columns, "ptr", x["a"], moved["a"])
        x["b"] = f.select(by_columns, "ptr", moved["b"], x["b"])
        x["m"] = f.select(by_columns, "i64", x["m"], count)
        x["n"] = f.select(by_columns, "i64", count, x["n"])
        scratch = f.op(f"call ptr @{pool.SCRATCH}(ptr {x['scratch']}, i64 %number)")
        arguments = [f"{kind} {x[name]}" for kind, name in self.OPERANDS]
        self.product(f, rows, x["bp"], f"{', '.join(arguments)}, ptr {scratch}")
        f.do("ret i32 0")
        return f.text()

    # --- the sum in pieces -----------------------------------------------------------------------

    def cuts_sum(self, f: FunctionText, values: dict[str, V], threads: V) -> str:
        """Return whether a product of one row is cut along its sum: pieces are enough, and have room."""
        pieces = self.pieces(f, values["k"])
        room = scratch_bytes(self.target, self.dtype) - PARTS
        conditions = [
            self.by_rows(f, values["bn"], values["n"]),
            f.compare("eq", values["rounds"], 1),
            f.compare("sgt", threads, 1),
            f.compare("sge", pieces, f.minimum(threads, PIECES)),
            f.compare("sle", f.mul(f.mul(pieces, values["n"]), self.align), room),
        ]
        return functools.reduce(f.both, conditions)

    def pieces(self, f: FunctionText, k: V) -> str:
        """Return how many pieces a sum of `k` terms has."""
        return self.ceiling(f, k, self.piece(f, k))

    def part(self, f: FunctionText, scratch: str, p: str, n: V) -> str:
        """Return where a piece of the sums of `n` columns is left."""
        return f.at(self.element, f.at("i8", scratch, PARTS), f.mul(p, n))

    def share_sum(self, f: FunctionText, values: dict[str, V], threads: V) -> None:
        """Run the product over ranges of pieces of the sum, and add these up in order."""
        n, pieces = values["n"], self.pieces(f, values["k"])
        cost = f.mul(f.mul(self.piece(f, values["k"]), n), BYTE * self.align)
        f.op(f"call i32 @{pool.PARALLEL}(ptr @range_of_sum, ptr %block, i64 {pieces}, i64 {cost}, "
             f"i64 {self.ceiling(f, pieces, threads)})")  # fmt: skip

        c, cn, d, dn = (values[x] for x in ("c", "cn", "d", "dn"))

        def add(p: str, _: list[str]) -> None:
            part, later = self.part(f, "%scratch", p, n), f.compare("ne", p, 0)
            f.do(f"call void @copy_tile(ptr {part}, ptr {c}, i64 0, i64 {cn}, "
                 f"ptr {f.select(later, 'ptr', c, d)}, i64 0, i64 {f.select(later, 'i64', cn, dn)}, "
                 f"i64 1, i64 {n})")  # fmt: skip

        f.loop(0, pieces, 1, add)

    def range_of_sum(self) -> str:
        """Return some pieces of the sum of a product row x matrix."""
        f = FunctionText("range_of_sum", RANGE, "i32")
        x = self.words(f)
        depth = self.piece(f, x["k"])
        scratch = f.op(f"call ptr @{pool.SCRATCH}(ptr {x['scratch']}, i64 %number)")

        def one(p: str, _: list[str]) -> None:
            t = f.mul(p, depth)
            a = f.at(self.element, x["a"], f.mul(t, x["ak"]))
            b = f.at(self.element, x["b"], f.mul(t, x["bk"]))
            k = f.minimum(f.sub(x["k"], t), depth)
            part = self.part(f, x["scratch"], p, x["n"])
            f.do(f"call void @row_times_matrix(ptr {a}, i64 {x['ak']}, ptr {b}, i64 {x['bk']}, "
                 f"ptr {part}, i64 1, ptr null, i64 0, i64 {x['n']}, i64 {k}, ptr {scratch})")  # fmt: skip

        f.loop("%first", "%last", 1, one)
        f.do("ret i32 0")
        return f.text()
