"""Costs against truths of their own: loops run one by one, numbers of fixed sizes, counts by hand."""

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen.kernel import Indirect, Let, Loop, Reduce, Store, Update
from symtensor.codegen.kernel_printer import format_kernel
from symtensor.codegen.program import build_program
from symtensor.codegen.target import host
from symtensor.engines.native_records import kernels_of
from symtensor.ir import dims as D
from symtensor.ir.printer import label_graph
from symtensor.ops.cost import fold_flops, node_cost, rule_flops
from symtensor.passes.pipeline import optimize
from symtensor.testing import checks, conformance

SAMPLES = conformance.samples_by_op()
SMALL = 3000
"""Rounds of loops up to which a kernel is run in Python."""


class Counting:
    """Walks a loop tree round by round, and remembers what is touched and how often what is done."""

    def __init__(self):
        self.flops, self.read, self.written, self.reads = 0, {}, {}, {}
        self.at, self.rounds, self.named = {}, 0, False

    def place(self, at):
        self.named |= any(isinstance(axis, Indirect) for axis, _ in at.terms)
        terms = [c * self.at[axis] for axis, c in at.terms if not isinstance(axis, Indirect)]
        return at.offset + sum(terms)

    def run(self, body):
        for stmt in body:
            if isinstance(stmt, Loop):
                for i in range(stmt.axis.extent):
                    self.rounds += 1
                    if self.rounds > SMALL:
                        raise OverflowError
                    self.at[stmt.axis] = i
                    self.run(stmt.body)
            elif isinstance(stmt, Reduce):
                self.run(stmt.body)
            elif isinstance(stmt, Update):
                value = stmt.result
                self.flops += fold_flops(value.data.combiner, value.args[0].dtype)
            else:
                self.step(stmt)

    def step(self, stmt):
        if isinstance(stmt, Store):
            self.written.setdefault(stmt.buffer, set()).add(self.place(stmt.at))
        elif isinstance(stmt, Let) and stmt.value.kind == "load":
            buffer, at = stmt.value.data
            self.read.setdefault(buffer, set()).add(self.place(at))
            self.reads.setdefault(buffer, set()).add(id(stmt))
        elif isinstance(stmt, Let) and stmt.value.kind == "apply":
            value = stmt.value
            self.flops += rule_flops(
                value.data.scalar, [x.dtype for x in value.args], value.data.attrs
            )

    def bytes(self, touched):
        return sum(len(places) * b.dtype.itemsize for b, places in touched.items())


@pytest.mark.parametrize("samples", SAMPLES.values(), ids=SAMPLES)
def test_kernels_do_what_their_records_say(samples):
    """Operations are exact; so are bytes where a buffer is read in one place of the code."""
    seen = set()
    for sample in samples:
        if sample.raises is not None:
            continue
        program = build_program(optimize(checks.sample_graph(sample)), host())
        naming = label_graph(program.graph).symbol
        trees = {format_kernel(k, name, naming): k for name, k in program.kernels.values()}
        for record in kernels_of(program):
            if record.kind != "kernel" or record.text in seen:
                continue
            seen.add(record.text)
            counted = Counting()
            try:
                counted.run(trees[record.text].body)
            except (OverflowError, TypeError):  # many rounds, or a size that only a call tells
                continue
            assert record.flops == counted.flops
            if counted.named:
                continue  # where it goes depends on data
            read, written = counted.bytes(counted.read), counted.bytes(counted.written)
            assert read <= record.bytes_read and written <= record.bytes_written
            overlapping = any(node.op.name == "windows" for node in record.nodes)
            if not overlapping and all(len(at) == 1 for at in counted.reads.values()):
                assert read == record.bytes_read, record.text
            assert record.bytes_written == written, record.text


@pytest.mark.parametrize("samples", SAMPLES.values(), ids=SAMPLES)
def test_formulas_give_the_numbers_of_fixed_sizes(samples):
    for sample in samples:
        if sample.raises is not None or sample.symbolic is not None:
            continue
        fixed, loose = checks.sample_graph(sample), checks.sample_graph(sample, True)
        if len(fixed.nodes()) != len(loose.nodes()):
            continue  # sizes that are not known take other nodes
        sizes = {}
        for x, array in zip(loose.inputs, sample.inputs, strict=True):
            for dim, size in zip(x.tensor_type.shape, array.shape, strict=True):
                if (symbol := D.as_symbol(dim)) is not None:
                    sizes[symbol] = size
        for a, b in zip(fixed.nodes(), loose.nodes(), strict=True):
            if a.op is b.op:
                cost = node_cost(b)
                if (D.symbols_in(cost.flops) | D.symbols_in(cost.bytes)) <= set(sizes):
                    assert cost.at(sizes) == node_cost(a)


def counted(build, *shapes):
    xs = [st.placeholder(shape, "float64") for shape in shapes]
    return st.function(xs, build(*xs), engine="llvm").cost(*shapes)


def test_counts_by_hand():
    assert counted(lambda x: st.sigmoid(x), (10,)).flops == 10  # one call of a function
    assert counted(lambda x: st.maximum(x, 0) * 2, (10,)).flops == 20
    assert counted(lambda x: -x, (10,)).flops == 0  # a sign bit
    assert counted(lambda x: x[::2], (10,)).bytes == 2 * 5 * 8
    assert counted(lambda x: st.sum(x, 0), (4, 5)).bytes == (20 + 5) * 8
    assert counted(lambda a, b: st.einsum("bij,bjk->bik", a, b), (2, 3, 4), (2, 4, 5)).flops == (
        2 * 2 * 3 * 4 * 5
    )
    x = st.placeholder((10,), "int64")
    assert st.function([x], x * x, engine="llvm").cost((10,)).flops == 0


def test_branches_count_the_dearer_one_and_scans_every_step():
    p, x = st.placeholder((), "bool"), st.placeholder((10,), "float64")
    both = st.cond(p, lambda: st.exp(x) * 2, lambda: x + 1)
    f = st.function([p, x], both, engine="numpy")
    assert f.cost((), (10,)).flops == 20
    rows = st.placeholder((None, 10), "float64")
    total = st.scan(lambda r, s: s + r * r, [rows], [st.zeros((10,), "float64")])[0]
    g = st.function([rows], total, engine="numpy")
    assert g.cost((7, 10)).flops == 7 * 20


def test_tables_of_costs():
    x = st.placeholder(("n", 4), "float64")
    f = st.function([x], st.sum(x * 2), engine="llvm")
    text = str(f.cost())
    assert text.splitlines()[-1].split()[:2] == ["total", "8*n"]
    assert f.cost().to_dict()["total"] == {
        "name": "total", "what": "", "flops": "8*n", "bytes": "32*n + 8"
    }  # fmt: skip
    assert f.cost(np.ones((5, 4))).to_dict()["total"]["bytes"] == 168


def test_costs_are_those_that_the_benchmarks_state():
    """Written down there by hand, for the machine's limits: bytes moved at least, operations."""
    from benchmarks.contestants.symtensor_functions import Symtensor
    from benchmarks.workloads import elementwise, products

    contestant = Symtensor(1)
    works = [
        w for w in (*elementwise.workloads(), *products.workloads()) if w.bytes or w.operations
    ]
    assert len(works) > 10
    for work in works:
        call = contestant.prepare(work, work.arrays()).call
        cost = call.func.cost(*call.args)
        if work.bytes:
            assert cost.bytes == pytest.approx(work.bytes, rel=0.01), work.name
        else:
            assert cost.flops == work.operations, work.name
