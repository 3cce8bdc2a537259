"""Matrix products: a module of native code per dtype, for matrices of any strides.

    gemm(ptr a, ptr b, ptr c, i64 m, i64 n, i64 k, i64 rounds, i64 am, i64 ak, i64 ar,
         i64 bk, i64 bn, i64 br, i64 bp, i64 cm, i64 cn, ptr d, i64 dm, i64 dn, ptr scratch)
    pack(ptr b, ptr to, i64 n, i64 k, i64 bk, i64 bn)

computes ``c[i, j] = d[i, j] + sum_r sum_t a[i, t, r] b[t, j, r]`` for ``t < k`` and ``r < rounds``, where
``a[i, t, r]`` is at ``a + i am + t ak + r ar`` elements, and so on. Nothing is added where d is null (then
its strides are 0); it may be c itself. Rounds are for sums over two labels that are not one in memory: the
rows of a convolution's window.
The method is that of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication"
(2008), in the form of BLIS (Van Zee and van de Geijn, 2015): a tile of rows x columns of c stays in
registers while t runs; panels of a and b are copied ("packed") so that the tile reads them in order.
Small products skip the packing. A row or column result goes through dot products or row sums.
`pack` does the packing of b ahead, for many products with the same b: then `bk` is the width of a
panel, `bn` is 1, and `bp`, which is 0 otherwise, is k. Results are the same to the last bit.

The sum over r and t runs in blocks of a fixed depth, in order, so the bits of a result do not depend on
what else is computed, nor on the number of threads.
"""

from __future__ import annotations

import functools
from enum import IntEnum

from symtensor.codegen import pool
from symtensor.codegen.microkernels import PARAMETERS, WIDE
from symtensor.codegen.product_blocks import ProductBlocks
from symtensor.codegen.target import Target
from symtensor.codegen.text import FunctionText, V
from symtensor.codegen.vector_products import VectorProducts
from symtensor.ir.dtypes import DType

NAME = "symtensor_gemm_{}"
ALONE = "symtensor_gemm_alone_{}"
"""The entry for products too small to share."""
PACK = "symtensor_gemm_pack_{}"
ENTRIES = (NAME, ALONE, PACK)
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


@functools.cache
def gemm_module(target: Target, dtype: DType) -> str:
    """Return the text of the module that defines ``symtensor_gemm_<dtype>``."""
    return _Gemm(target, dtype).module()


class _Gemm(ProductBlocks, VectorProducts):
    OPERANDS = PARAMETERS[:-1]
    SWAPPED = "b a c n m k rounds bn bk br ak am ar bp cn cm d dn dm".split()
    """What takes the place of each operand in the transposed product."""

    def module(self) -> str:
        """Return all functions, and the table of tiles."""
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

    # --- the entries -----------------------------------------------------------------------------

    def gemm(self) -> str:
        """Return the entry: it brings the product to the form that the loops do best.

        A result of one column becomes one row; a result stored by columns, one stored by rows. Then
        the product is shared out along its longer side.
        """
        f = FunctionText(NAME.format(self.dtype.name), PARAMETERS, linkage="")
        f.do(f"%block = alloca i64, i64 {len(Word)}, align 8")
        values = self.upright(f)
        for kind, name in self.OPERANDS:
            f.store(kind, values[name], f.at("i64", "%block", Word[name.upper()]), 8)
        f.store("ptr", "%scratch", f.at("i64", "%block", Word.SCRATCH), 8)
        self.share_out(f, values)
        return f.text()

    def alone(self) -> str:
        """Return the entry for small products: one thread, nothing to share out."""
        f = FunctionText(ALONE.format(self.dtype.name), PARAMETERS, linkage="")
        values = self.upright(f)
        arguments = [f"{kind} {values[name]}" for kind, name in self.OPERANDS]
        self.product(f, values["m"], "%bp", f"{', '.join(arguments)}, ptr %scratch")
        return f.text()

    def upright(self, f: FunctionText) -> dict[str, V]:
        """Return the operands in the form that the loops do best, after writing empty sums."""
        nothing = f.either(f.compare("sle", "%k", 0), f.compare("sle", "%rounds", 0))
        f.branch(nothing, lambda: f.branch(
            self.is_there(f, "%d"), lambda: self.start_from_addend(f), lambda: self.fill_zero(f)
        ))  # fmt: skip
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

    def fill_zero(self, f: FunctionText) -> None:
        self.each_element(f, lambda i, j: self.scalar_zero())

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
