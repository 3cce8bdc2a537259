"""Matrix products shared out among threads: what is cut, and where.

A product is cut along its longer side. How it is cut changes no bit of the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from symtensor.codegen import pool
from symtensor.codegen.microkernels import PARAMETERS
from symtensor.codegen.product_blocks import ProductBlocks
from symtensor.codegen.text import FunctionText, V

PICOSECONDS = 4
"""Time of one multiply-add per byte of an element, about."""
ROW_RANGE = 8
"""Tiles of rows that a thread takes at least: packing for fewer would not pay."""
RANGES = 2
"""Ranges per thread, so that a late thread does not hold up the others."""

Word = IntEnum(
    "Word", "A B C M N K ROUNDS AM AK AR BK BN BR BP CM CN D DM DN SCRATCH COLUMNS", start=0
)
"""Words of the block in which a product is handed to the threads."""
POINTERS = (Word.A, Word.B, Word.C, Word.D, Word.SCRATCH)
RANGE = [("ptr", "block"), ("i64", "first"), ("i64", "last"), ("i64", "number")]
"""What a function that makes a part of a product is told."""


class ProductSharing(ProductBlocks):
    """Writes what shares products out, for one target and dtype."""

    OPERANDS = PARAMETERS[:-1]
    SWAPPED = "b a c n m k rounds bn bk br ak am ar bp cn cm d dn dm".split()
    """What takes the place of each operand in the transposed product."""

    def ceiling(self, f: FunctionText, a: V, b: V) -> str:
        """Return a / b, rounded up."""
        return f.op(f"sdiv i64 {f.sub(f.add(a, b), 1)}, {b}")

    def transposed_where(self, f: FunctionText, condition: str) -> dict[str, V]:
        """Return the operands by name, where a condition holds those of the transposed product."""
        return {
            name: f.select(condition, kind, f"%{other}", f"%{name}")
            for (kind, name), other in zip(self.OPERANDS, self.SWAPPED, strict=True)
        }

    def make_block(self, f: FunctionText) -> None:
        """Make the block from which threads read a product."""
        f.do(f"%block = alloca i64, i64 {len(Word)}, align 8")

    def fill_block(self, f: FunctionText, values: dict[str, V]) -> None:
        """Write a product into its block."""
        for kind, name in self.OPERANDS:
            f.store(kind, values[name], f.at("i64", "%block", Word[name.upper()]), 8)
        f.store("ptr", "%scratch", f.at("i64", "%block", Word.SCRATCH), 8)

    def words(self, f: FunctionText) -> dict[str, str]:
        """Return the words of the block of a product."""
        return {word.name.lower(): f.load("ptr" if word in POINTERS else "i64",
                                          f.at("i64", "%block", word), 8) for word in Word}  # fmt: skip

    def threads(self, f: FunctionText) -> V:
        """Return how many threads there are."""
        workers = f.load("i64", f"getelementptr (i64, ptr @{pool.STATE}, "
                         f"i64 {pool.WORKERS * pool.LINE})", 8)  # fmt: skip
        return f.add(workers, 1)

    def arguments(self, values: Mapping[str, V], scratch: str = "%scratch") -> str:
        """Return the operands of a product as the arguments of a call."""
        given = [f"{kind} {values[name]}" for kind, name in self.OPERANDS]
        return f"{', '.join(given)}, ptr {scratch}"

    def share_result(self, f: FunctionText, values: dict[str, V]) -> None:
        """Run the product over ranges of rows or columns, whichever are more."""
        m, n, k = values["m"], values["n"], f.mul(values["k"], values["rounds"])
        by_columns = f.compare("sge", n, m)
        f.store("i64", f.op(f"zext i1 {by_columns} to i64"), f.at("i64", "%block", Word.COLUMNS), 8)
        extent = f.select(by_columns, "i64", n, m)
        other = f.select(by_columns, "i64", m, n)
        granule = f.select(by_columns, "i64", self.block.width, self.block.height)
        least = f.select(by_columns, "i64", self.columns, ROW_RANGE * self.block.height)
        cost = f.mul(f.mul(other, k), PICOSECONDS * self.align)
        self.share_ranges(f, "range", extent, granule, least, cost, self.threads(f))

    def share_ranges(
        self, f: FunctionText, function: str, extent: V, granule: V, least: V, cost: V, threads: V
    ) -> None:
        """Run a function over ranges of rows or columns, each of which takes about `cost`.

        Ranges are as long as keeps all threads busy, for each packs for itself, but `least` where there
        are enough. They are multiples of `granule`, where the loops of the whole product change tiles, so
        that no sum has another order than in one range.
        """
        share, fair = (
            f.mul(self.ceiling(f, self.ceiling(f, extent, count), granule), granule)
            for count in (threads, f.mul(threads, RANGES))
        )
        multiple = f.select(f.compare("sgt", fair, least), "i64", fair, f.minimum(least, share))
        multiple = f.select(f.compare("eq", multiple, 0), "i64", 1, multiple)  # nothing at all
        f.op(f"call i32 @{pool.PARALLEL}(ptr @{function}, ptr %block, i64 {extent}, i64 {cost}, "
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
        x["a"] = f.select(by_columns, "ptr", x["a"], moved["a"])
        x["b"] = f.select(by_columns, "ptr", moved["b"], x["b"])
        x["m"] = f.select(by_columns, "i64", x["m"], count)
        x["n"] = f.select(by_columns, "i64", count, x["n"])
        scratch = f.op(f"call ptr @{pool.SCRATCH}(ptr {x['scratch']}, i64 %number)")
        f.do(f"call void @blocked({self.arguments(x, scratch)})")
        f.do("ret i32 0")
        return f.text()
