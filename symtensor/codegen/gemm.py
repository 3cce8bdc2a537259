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
Small products skip the packing. What may have a single row or column goes through the entries of
`symtensor.codegen.vector_gemm` first, which are a module of their own.
`pack` does the packing of b ahead, for many products with the same b: then `bk` is the width of a
panel, `bn` is 1, and `bp`, which is 0 otherwise, is k. Results of several rows are the same to the last bit.

The sum over r and t runs in blocks of a fixed depth, in order, so the bits of a result do not depend on
what else is computed, nor on the number of threads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

from symtensor.codegen import pool
from symtensor.codegen.microkernels import (
    ALONE,
    NAME,
    PACK,
    PARAMETERS,
    VECTORS,
    VECTORS_ALONE,
    declaration,
)
from symtensor.codegen.product_sharing import ProductSharing
from symtensor.codegen.target import Target
from symtensor.codegen.text import FunctionText, V
from symtensor.codegen.vector_gemm import VectorGemm
from symtensor.ir.dtypes import DType


class Products(NamedTuple):
    """A module of matrix products."""

    dtype: DType
    may_be_vectors: bool = False
    """True for the one with code for a single row or column, which calls the other for more."""

    def __str__(self) -> str:
        what = "products of rows or columns" if self.may_be_vectors else "matrix products"
        return f"{what} of {self.dtype}"

    @property
    def entries(self) -> list[str]:
        """The names of its functions."""
        names = (VECTORS, VECTORS_ALONE) if self.may_be_vectors else (NAME, ALONE, PACK)
        return [name.format(self.dtype.name) for name in names]

    @property
    def declarations(self) -> list[str]:
        """What declares its products where they are called."""
        return [declaration(name) for name in self.entries[:2]]

    def module(self, target: Target) -> str:
        """Return its text."""
        return _module(self, target)


def with_needed(products: Iterable[Products]) -> list[Products]:
    """Return some modules and those that they call, which come first."""
    every = {x for own in products for x in (own, Products(own.dtype))}
    return sorted(every, key=lambda x: (x.dtype.name, x.may_be_vectors))


@functools.cache
def _module(products: Products, target: Target) -> str:
    writer = VectorGemm if products.may_be_vectors else _Gemm
    return writer(target, products.dtype).module()


class _Gemm(ProductSharing):
    def module(self) -> str:
        """Return all functions, and the table of tiles."""
        functions = [self.tile(*tile) for tile in self.tiles()]
        functions += [self.pack(width) for width in sorted({self.block.height, self.block.width})]
        functions += [self.copy_tile(), self.blocked(), self.range()]
        functions += [self.gemm(), self.alone(), self.pack_ahead()]
        names = [self.tile_name(*tile) for tile in self.tiles()]
        pointers = ", ".join(f"ptr @{name}" for name in names)
        table = f"@tiles = internal constant [{len(names)} x ptr] [{pointers}]"
        state = f"@{pool.STATE} = external global [{pool.STATE_WORDS} x i64]"
        declared = [*pool.DECLARATIONS, state, *sorted(self.declarations)]
        return "\n\n".join([*declared, table, *functions])

    # --- the entries -----------------------------------------------------------------------------

    def gemm(self) -> str:
        """Return the entry: it brings the product to the form that the loops do best.

        A result stored by columns becomes one stored by rows; narrow columns become rows. Then the product
        is shared out along its longer side.
        """
        f = FunctionText(self.named(NAME), PARAMETERS, linkage="")
        self.make_block(f)
        values = self.upright(f)
        self.fill_block(f, values)
        self.share_result(f, values)
        return f.text()

    def alone(self) -> str:
        """Return the entry for small products: one thread, nothing to share out."""
        f = FunctionText(self.named(ALONE), PARAMETERS, linkage="")
        f.do(f"call void @blocked({self.arguments(self.upright(f))})")
        return f.text()

    def upright(self, f: FunctionText) -> dict[str, V]:
        """Return the operands in the form that the loops do best, after writing empty sums."""
        nothing = f.either(f.compare("sle", "%k", 0), f.compare("sle", "%rounds", 0))
        f.branch(nothing, lambda: f.branch(
            self.is_there(f, "%d"), lambda: self.start_from_addend(f), lambda: self.fill_zero(f)
        ))  # fmt: skip
        across = f.both(f.compare("ne", "%cn", 1), f.compare("eq", "%cm", 1))
        several = f.compare("ne", "%m", 1)
        swap = f.both(several, f.either(across, self.is_narrow(f)))
        return self.transposed_where(f, f.both(swap, f.compare("eq", "%bp", 0)))

    def is_narrow(self, f: FunctionText) -> str:
        """Return whether columns of c would leave a quarter of the lanes idle, and rows of a lie side by
        side: then the transposed product has whole vectors of these."""
        lanes = f.mul(self.vectors_of(f, "%n"), self.lanes)
        idle = f.compare("sle", f.mul("%n", 4), f.mul(lanes, 3))
        many = f.compare("sge", "%m", self.block.width)
        return f.both(f.both(idle, many), f.compare("eq", "%am", 1))

    def fill_zero(self, f: FunctionText) -> None:
        self.each_element(f, lambda i, j: self.scalar_zero())

    def start_from_addend(self, f: FunctionText) -> None:
        """Copy d to c."""

        def element(i: V, j: V) -> V:
            row = f.at(self.element, "%d", f.mul(i, "%dm"))
            return f.load(self.element, f.at(self.element, row, f.mul(j, "%dn")), self.align)

        self.each_element(f, element)

    def each_element(self, f: FunctionText, value: Callable[[V, V], V]) -> None:
        """Store a value in each element of c."""

        def row(i: str, _: list[str]) -> None:
            start = f.at(self.element, "%c", f.mul(i, "%cm"))
            f.loop(0, "%n", 1, lambda j, _: f.store(
                self.element, value(i, j), f.at(self.element, start, f.mul(j, "%cn")),
                self.align))  # fmt: skip

        f.loop(0, "%m", 1, row)

    def pack_ahead(self) -> str:
        """Return the entry that packs all of b."""
        f = FunctionText(self.named(PACK), [
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
