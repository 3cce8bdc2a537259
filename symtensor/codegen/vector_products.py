"""Products of a row with a matrix: dot products, or sums of the matrix's rows, whichever reads in order.

They read every number of the matrix once, so memory is their limit: nothing is packed.
"""

from __future__ import annotations

from collections.abc import Callable

from symtensor.codegen.lanes import vector_of
from symtensor.codegen.microkernels import PARAMETERS, WIDE, Microkernels
from symtensor.codegen.text import FunctionText, V

ROWS_TOGETHER = 8
"""Rows of b that a product row x matrix reads side by side: few enough for the hardware to follow."""
DOT_ROWS, DOT_VECTORS = 4, 2
"""Rows, and vectors of each row, that go through dot products together."""
DEPTH = 4096
"""Terms of a block."""


class VectorProducts(Microkernels):
    """Writes the products for one target and dtype; `symtensor.codegen.product_blocks` does the rest."""

    def row_product(self) -> str:
        """Return the product of one row with a matrix, in blocks of depth."""
        f = FunctionText("row_product", PARAMETERS)
        row = f.both(f.compare("eq", "%bn", 1), f.compare("eq", "%cn", 1))
        row = f.both(row, f.compare("ne", "%n", 1))
        dot = f.both(f.compare("eq", "%ak", 1), f.compare("eq", "%bk", 1))
        adds = self.is_there(f, "%d")
        apart = f.both(adds, f.op("icmp ne ptr %d, %c"))
        f.branch(apart, lambda: self.start_from_addend(f))

        def depth(r: str, t: str) -> None:
            k = f.minimum(f.sub("%k", t), DEPTH)
            later = f.either(f.compare("ne", r, 0), f.compare("ne", t, 0))
            later = f.either(adds, later)
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
            rest_d = f.select(later, "ptr", rest_c, "null")
            step_d = f.select(later, "i64", "%cn", 0)
            f.do(f"call void @blocked(ptr {a}, ptr {rest_b}, ptr {rest_c}, i64 1, i64 {left}, "
                 f"i64 {k}, i64 1, i64 %am, i64 %ak, i64 0, i64 %bk, i64 %bn, i64 0, i64 0, i64 %cm, "
                 f"i64 %cn, ptr {rest_d}, i64 0, i64 {step_d}, ptr %scratch)")  # fmt: skip

        f.loop(0, "%rounds", 1, lambda r, _: f.loop(
            0, "%k", DEPTH, lambda t, _: depth(r, t)) and None)  # fmt: skip
        return f.text()

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
            self.write_sum(f, self.element, place, total, "%accumulate", place)

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
                d = f.select(later, "ptr", c, "null")
                f.do(f"call void @{self.tile_name(1, WIDE, 'strided')}(ptr {a}, i64 0, i64 %ak, i64 0, "
                     f"ptr {b}, i64 %bk, i64 0, ptr {c}, i64 0, ptr {d}, i64 0, i64 {k}, i64 1, "
                     "ptr null)")  # fmt: skip

            f.loop(0, whole, width, columns)

        f.loop(0, "%k", ROWS_TOGETHER, depth)
        f.do(f"ret i64 {whole}")
        return f.text()
