"""Products of a row with a matrix: dot products, or sums of the matrix's rows, whichever reads in order.

They read every number of the matrix once, so memory is their limit: nothing is packed. Each sum is made in
an order of its own, whatever columns are beside it and wherever the operands lie: in pieces that depend on
its length alone, of chains of products.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from symtensor.codegen.lanes import vector_of
from symtensor.codegen.microkernels import ALONE, CACHE_LINE, PARAMETERS, Microkernels
from symtensor.codegen.product_blocks import PAGE
from symtensor.codegen.text import FunctionText, V

CHAIN = 4
"""Products of a row with a matrix that are added up before the sum is. So many rows are read side by side."""
LONG_ROWS = 8
"""Rows read side by side that are longer than a page."""
VECTOR = 32
"""Bytes of a vector of sums at most: where rows don't begin with cache lines, half of such vectors cross
one, and all that are as long as a line."""
SUMS = 16 << 10
"""Bytes of sums of columns that are kept near."""
PIECES, PIECE = 8, 128
"""Pieces of a sum of rows at most, and terms of a piece at least: threads take pieces."""
DOT_ROWS, DOT_VECTORS = 4, 2
"""Rows, and vectors of each row, that go through dot products together; one vector if it fills a line."""
DEPTH = 4096
"""Terms of a block of dot products."""


class VectorProducts(Microkernels):
    """Writes the products for one target and dtype; `symtensor.codegen.product_blocks` does the rest."""

    def row_product(self) -> str:
        """Return the product of one row with a matrix, in blocks of depth."""
        f = FunctionText("row_product", PARAMETERS)
        row = self.by_rows(f, "%bn", "%n")
        dot = f.both(f.compare("eq", "%ak", 1), f.compare("eq", "%bk", 1))
        step = f.select(row, "i64", self.piece(f, "%k"), DEPTH)

        def depth(r: str, t: str) -> None:
            k = f.minimum(f.sub("%k", t), step)
            later = f.either(f.compare("ne", r, 0), f.compare("ne", t, 0))
            a = f.at(self.element, "%a", f.add(f.mul(r, "%ar"), f.mul(t, "%ak")))
            b = f.at(self.element, "%b", f.add(f.mul(r, "%br"), f.mul(t, "%bk")))
            d = f.select(later, "ptr", "%c", "%d")
            dn = f.select(later, "i64", "%cn", "%dn")

            def by_rows() -> None:
                f.do(f"call void @row_times_matrix(ptr {a}, i64 %ak, ptr {b}, i64 %bk, ptr %c, "
                     f"i64 %cn, ptr {d}, i64 {dn}, i64 %n, i64 {k}, ptr %scratch)")  # fmt: skip

            def by_dots() -> None:
                f.do(f"call void @dots(ptr {a}, ptr {b}, i64 %bn, ptr %c, i64 %cn, ptr {d}, i64 {dn}, "
                     f"i64 %n, i64 {k})")  # fmt: skip

            def in_blocks() -> None:
                f.do(f"call void @{self.named(ALONE)}(ptr {a}, ptr {b}, ptr %c, i64 1, i64 %n, i64 {k}, "
                     f"i64 1, i64 %am, i64 %ak, i64 0, i64 %bk, i64 %bn, i64 0, i64 0, i64 %cm, "
                     f"i64 %cn, ptr {d}, i64 0, i64 {dn}, ptr %scratch)")  # fmt: skip

            f.branch(row, by_rows, lambda: f.branch(dot, by_dots, in_blocks) and None)

        f.loop(0, "%rounds", 1, lambda r, _: f.loop(
            0, "%k", step, lambda t, _: depth(r, t)) and None)  # fmt: skip
        return f.text()

    def dots(self) -> str:
        """Return ``c[i cm] = d[i dm] + sum_t x[t] a[i am + t]`` for `count` rows a."""
        f = FunctionText("dots", [
            ("ptr", "x"), ("ptr", "a"), ("i64", "am"), ("ptr", "c"), ("i64", "cm"),
            ("ptr", "d"), ("i64", "dm"), ("i64", "count"), ("i64", "k")])  # fmt: skip
        adds = self.is_there(f, "%d")
        whole = f.op(f"and i64 %count, -{DOT_ROWS}")
        vectors = 1 if self.lanes * self.align == CACHE_LINE else DOT_VECTORS
        f.loop(0, whole, DOT_ROWS, lambda i, _: self.dot_rows(f, i, DOT_ROWS, vectors, adds))
        f.loop(whole, "%count", 1, lambda i, _: self.dot_rows(f, i, 1, DOT_ROWS * vectors, adds))
        return f.text()

    def dot_rows(self, f: FunctionText, first: str, rows: int, vectors: int, adds: str) -> None:
        """Write the dot products of x with some rows: `vectors` vectors at a time, then one, then less."""
        pointers = [f.at(self.element, "%a", f.mul(f.add(first, r), "%am")) for r in range(rows)]
        several = f.round_down("%k", vectors * self.lanes)

        def step(t: str, sums: list[str]) -> list[V]:
            return [total for v in range(vectors) for total in self.add_products(
                f, pointers, f.add(t, v * self.lanes), self.lanes, sums[v * rows : (v + 1) * rows]
            )]  # fmt: skip

        zeros: list[tuple[str, V]] = [(self.vector, "zeroinitializer")] * (rows * vectors)
        sums = f.loop(0, several, vectors * self.lanes, step, zeros)
        sums[:rows] = f.loop(
            several, f.round_down("%k", self.lanes), self.lanes,
            lambda t, sums: self.add_products(f, pointers, t, self.lanes, sums),
            [(self.vector, total) for total in sums[:rows]],
        )  # fmt: skip
        totals = self.across(f, pointers, [self.together(f, sums[r::rows]) for r in range(rows)])
        for r, total in enumerate(totals):
            place = f.at(self.element, "%c", f.mul(f.add(first, r), "%cm"))
            addend = f.at(self.element, "%d", f.mul(f.add(first, r), "%dm"))
            self.write_sum(f, self.element, place, total, adds, addend)

    def add_products(
        self, f: FunctionText, rows: list[str], t: V, width: int, totals: Sequence[str]
    ) -> list[V]:
        """Return a vector of sums for each row, with the products from term t on added."""
        kind = vector_of(self.element, width)
        x, *ys = (
            f.load(kind, f.at(self.element, pointer, t), self.align) for pointer in ("%x", *rows)
        )
        return [self.multiply_add(f, width, x, y, total)
                for y, total in zip(ys, totals, strict=True)]  # fmt: skip

    def together(self, f: FunctionText, sums: list[str]) -> str:
        """Return the sum of some vectors, a power of two of them."""
        while len(sums) > 1:
            sums = [self.add(f, self.vector, x, y)
                    for x, y in zip(sums[::2], sums[1::2], strict=True)]  # fmt: skip
        return sums[0]

    def across(self, f: FunctionText, rows: list[str], totals: list[str]) -> list[str]:
        """Return the sums of all lanes, made by halves; what is left of each row joins on the way."""
        width = self.lanes
        while width > 1:
            start, half = f.round_down("%k", width), width // 2
            totals = [self.half_sums(f, total, width) for total in totals]
            more = f.compare("ne", f.op(f"and i64 %k, {half}"), 0)
            add = functools.partial(self.add_products, f, rows, start, half, totals)
            kinds = [vector_of(self.element, half)] * len(totals)
            totals, width = f.branch(more, add, functools.partial(list, totals), kinds), half
        return totals

    def half_sums(self, f: FunctionText, total: str, width: int) -> str:
        """Return the sum of the halves of a vector."""
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
        return self.add(f, vector_of(self.element, half), *parts)

    # --- sums of rows ----------------------------------------------------------------------------

    def by_rows(self, f: FunctionText, bn: V, n: V) -> str:
        """Return whether columns of b are neighbours in memory, so that rows are added up."""
        return f.both(f.compare("eq", bn, 1), f.compare("ne", n, 1))

    @property
    def longest(self) -> int:
        """Lanes of a vector of sums at most."""
        return min(self.lanes, VECTOR // self.align)

    def zeros(self, width: int) -> str:
        return "zeroinitializer" if width > 1 else self.scalar_zero()

    def piece(self, f: FunctionText, k: V) -> V:
        """Return how many terms of a sum of `k` rows are added up before they go to the result.

        That depends on nothing else, so results do not depend on who makes a piece.
        """
        fair = f.divide(f.add(k, PIECES * CHAIN - 1), PIECES * CHAIN)
        fair = f.mul(fair, CHAIN)
        return f.select(f.compare("sgt", fair, PIECE), "i64", fair, PIECE)

    def row_times_matrix(self) -> str:
        """Return ``c[j cn] = d[j dn] + sum_t a[t ak] b[t bk + j]`` for a piece of the sum.

        The sums of some columns stay in `sums` until they are complete: c may lie across cache lines,
        and parts of these may belong to other threads.
        """
        f = FunctionText("row_times_matrix", [
            ("ptr", "a"), ("i64", "ak"), ("ptr", "b"), ("i64", "bk"), ("ptr", "c"), ("i64", "cn"),
            ("ptr", "d"), ("i64", "dn"), ("i64", "n"), ("i64", "k"), ("ptr", "sums")])  # fmt: skip
        together = SUMS // self.align

        def columns(j: str, _: list[str]) -> None:
            n = f.minimum(f.sub("%n", j), together)
            b = f.at(self.element, "%b", j)
            sums = self.place_of_sums(f, b)
            self.sum_columns(f, b, sums, n, self.longest)
            c, d = (f.at(self.element, f"%{x}", f.mul(j, f"%{x}n")) for x in "cd")
            f.do(f"call void @copy_tile(ptr {sums}, ptr {c}, i64 0, i64 %cn, ptr {d}, i64 0, i64 %dn, "
                 f"i64 1, i64 {n})")  # fmt: skip

        f.loop(0, "%n", together, columns)
        return f.text()

    def place_of_sums(self, f: FunctionText, b: str) -> str:
        """Return where in `sums` those of the columns at b go: half a page from b, but for whole pages.

        A load waits for a store shortly before it whose address differs in whole pages only. And so
        the sums lie in cache lines as b does.
        """
        here, there = (f.op(f"ptrtoint ptr {x} to i64") for x in ("%sums", b))
        distance = f.sub(f.add(there, PAGE // 2), here)
        return f.at("i8", "%sums", f.op(f"and i64 {distance}, {PAGE - 1}"))

    def sum_columns(self, f: FunctionText, b: str, sums: str, n: V, width: int) -> None:
        """Leave the sums of `n` columns in `sums`, by vectors of `width` lanes, or of less for few."""

        def whole() -> None:
            self.sum_vectors(f, b, sums, n, width)

        def fewer() -> None:
            self.sum_columns(f, b, sums, n, width // 2)

        if width == 1:
            whole()
        else:
            f.branch(f.compare("sge", n, width), whole, fewer)

    def sum_vectors(self, f: FunctionText, b: str, sums: str, n: V, width: int) -> None:
        """Leave the sums of at least `width` columns.

        The first vector and the last stay in registers. They may overlap their neighbours: that makes
        some sums twice, in the same way. So vectors between them can begin where they lie in lines.
        """
        kind = vector_of(self.element, width)
        zero = self.zeros(width)
        first, last = self.first_whole(f, b, width), f.sub(n, width)
        end = f.add(first, f.round_down(f.sub(f.sub(n, first), 1), width))

        def add(count: int, t: V, ends: Sequence[V]) -> list[V]:
            rows = self.rows_of_b(f, b, t, count, width)

            def between(j: str, _: list[str]) -> None:
                place = f.at(self.element, sums, j)
                before = f.load(kind, place, self.align)
                f.store(kind, self.add_rows(f, rows, j, width, before), place, self.align)

            if width == self.longest:
                f.loop(first, end, width, between)
            return [self.add_rows(f, rows, 0, width, ends[0]),
                    self.add_rows(f, rows, last, width, ends[1])]  # fmt: skip

        chains = f.round_down("%k", CHAIN)
        loops: list[tuple[V, int]] = [(chains, CHAIN), ("%k", 1)]
        if width == self.longest:
            f.loop(first, end, width, lambda j, _: f.store(
                kind, zero, f.at(self.element, sums, j), self.align))  # fmt: skip
            long = f.compare("sgt", f.mul("%bk", self.align), PAGE)
            loops.insert(0, (f.select(long, "i64", f.round_down("%k", LONG_ROWS), 0), LONG_ROWS))
        ends = [zero, zero]
        start: V = 0
        for stop, count in loops:
            one = functools.partial(add, count)
            ends = f.loop(start, stop, count, one, [(kind, x) for x in ends])
            start = stop
        f.store(kind, ends[0], sums, self.align)
        f.store(kind, ends[1], f.at(self.element, sums, last), self.align)

    def first_whole(self, f: FunctionText, b: str, width: int) -> V:
        """Return the first column but 0 from which on vectors lie in cache lines, if there is one."""
        size = width * self.align
        apart = f.op(f"and i64 {f.mul('%bk', self.align)}, {size - 1}")
        address = f.op(f"ptrtoint ptr {b} to i64")
        past = f.op(f"and i64 {address}, {size - 1}")
        past = f.select(f.compare("eq", apart, 0), "i64", past, 0)
        return f.sub(width, f.divide(past, self.align))

    def rows_of_b(
        self, f: FunctionText, b: str, t: V, count: int, width: int
    ) -> list[tuple[str, str]]:
        """Return `count` terms in all lanes, each with its row of b."""
        found = []
        for r in range(count):
            at = f.add(t, r)
            x = f.load(self.element, f.at(self.element, "%a", f.mul(at, "%ak")), self.align)
            found.append((self.splat(f, x, width), f.at(self.element, b, f.mul(at, "%bk"))))
        return found

    def add_rows(
        self, f: FunctionText, rows: list[tuple[str, str]], j: V, width: int, before: V
    ) -> V:
        """Return a vector of sums with the products of some rows, from column j on, added."""
        kind = vector_of(self.element, width)
        for start in range(0, max(len(rows), 1), CHAIN):
            total = self.zeros(width)
            for x, row in rows[start : start + CHAIN]:
                y = f.load(kind, f.at(self.element, row, j), self.align)
                total = self.multiply_add(f, width, x, y, total)
            before = self.add(f, kind, before, total)
        return before
