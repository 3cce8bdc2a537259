"""Products of which rows or columns may be one: a module of native code per dtype.

It has the entries of `symtensor.codegen.gemm` under names of their own, and calls those for products of
several rows and columns. That of a row with a matrix is cut along its sum, so that each thread reads whole
rows of the matrix, in the order in which they lie, or else along its columns. How it is cut changes no bit
of the result.
"""

from __future__ import annotations

import functools

from symtensor.codegen import pool
from symtensor.codegen.microkernels import (
    ALONE,
    CACHE_LINE,
    NAME,
    PARAMETERS,
    VECTORS,
    VECTORS_ALONE,
    declaration,
)
from symtensor.codegen.product_blocks import PAGE, scratch_bytes
from symtensor.codegen.product_sharing import RANGE, ProductSharing
from symtensor.codegen.sharing import BYTE
from symtensor.codegen.text import FunctionText, V
from symtensor.codegen.vector_products import PIECES, SUMS, VectorProducts

PARTS = SUMS + PAGE
"""Where in the caller's scratch memory pieces of a sum are left; before it they are made."""


class VectorGemm(ProductSharing, VectorProducts):
    """Writes the module for one target and dtype."""

    def module(self) -> str:
        """Return all functions."""
        functions = [self.copy_tile(), self.row_times_matrix(), self.dots(), self.row_product()]
        functions += [self.range_of_columns(), self.range_of_sum()]
        functions += [self.gemm(), self.alone()]
        others = [declaration(self.named(x)) for x in (NAME, ALONE)]
        state = f"@{pool.STATE} = external global [{pool.STATE_WORDS} x i64]"
        declared = [*pool.DECLARATIONS, *others, state, *sorted(self.declarations)]
        return "\n\n".join([*declared, *functions])

    # --- the entries -----------------------------------------------------------------------------

    def gemm(self) -> str:
        """Return the entry: a product with one row or column is shared out here."""
        f = FunctionText(self.named(VECTORS), PARAMETERS, linkage="")
        self.make_block(f)

        def share_out() -> None:
            values = self.row_form(f)
            self.fill_block(f, values)
            self.share_out(f, values)

        f.branch(self.has_vector(f), share_out, lambda: self.call_other(f, NAME))
        return f.text()

    def alone(self) -> str:
        """Return the entry for small products: one thread, nothing to share out."""
        f = FunctionText(self.named(VECTORS_ALONE), PARAMETERS, linkage="")
        f.branch(
            self.has_vector(f),
            lambda: f.do(f"call void @row_product({self.arguments(self.row_form(f))})"),
            lambda: self.call_other(f, ALONE),
        )
        return f.text()

    def has_vector(self, f: FunctionText) -> str:
        """Return whether a product has one row or column, nothing packed, and no empty sum."""
        terms = f.both(f.compare("sgt", "%k", 0), f.compare("sgt", "%rounds", 0))
        single = f.either(f.compare("eq", "%m", 1), f.compare("eq", "%n", 1))
        return f.both(f.both(single, f.compare("eq", "%bp", 0)), terms)

    def row_form(self, f: FunctionText) -> dict[str, V]:
        """Return the operands of a product of one row: for several, those of the transposed product."""
        return self.transposed_where(f, f.compare("ne", "%m", 1))

    def call_other(self, f: FunctionText, name: str) -> None:
        """Call an entry for products of matrices."""
        arguments = ", ".join(f"{kind} %{x}" for kind, x in PARAMETERS)
        f.do(f"call void @{self.named(name)}({arguments})")

    def share_out(self, f: FunctionText, values: dict[str, V]) -> None:
        """Run the product over ranges of the sum, or of columns."""
        threads = self.threads(f)
        f.branch(
            self.cuts_sum(f, values, threads),
            lambda: self.share_sum(f, values, threads),
            lambda: self.share_columns(f, values, threads),
        )

    # --- the columns in ranges -------------------------------------------------------------------

    def share_columns(self, f: FunctionText, values: dict[str, V], threads: V) -> None:
        """Run the product over ranges of columns."""
        granule = CACHE_LINE // self.align
        least = -(-self.columns // granule) * granule
        cost = f.mul(f.mul(values["k"], values["rounds"]), BYTE * self.align)
        self.share_ranges(f, "range_of_columns", values["n"], granule, least, cost, threads)

    def range_of_columns(self) -> str:
        """Return the product over a range of columns."""
        f = FunctionText("range_of_columns", RANGE, "i32")
        x = self.words(f)
        for name in "bcd":
            x[name] = f.at(self.element, x[name], f.mul("%first", x[f"{name}n"]))
        scratch = f.op(f"call ptr @{pool.SCRATCH}(ptr {x['scratch']}, i64 %number)")
        values = x | {"n": f.sub("%last", "%first")}
        f.do(f"call void @row_product({self.arguments(values, scratch)})")
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
