"""What a function shows of itself as objects: stages, kernels, memory, remarks, costs, code."""

import gc
import json
import re

import numpy as np
import pytest

import symtensor as st
from symtensor.ir import dims as D
from symtensor.ops.cost import node_cost
from symtensor.ops.families import View

RNG = np.random.default_rng(5)


def mlp_step(engine="llvm"):
    """Return a training step of two layers, and shapes for it."""
    x = st.placeholder((None, 20), name="x")
    y = st.placeholder((None,), dtype="int32", name="y")
    w1 = st.variable(RNG.standard_normal((20, 16)).astype("f4"), name="w1")
    w2 = st.variable(RNG.standard_normal((16, 5)).astype("f4"), name="w2")
    logits = st.tanh(x @ w1) @ w2
    loss = st.mean(st.sparse_categorical_crossentropy(y, logits, from_logits=True))
    grads = st.gradients(loss, [w1, w2])
    updates = [(w, w - 0.1 * g) for w, g in zip((w1, w2), grads, strict=True)]
    return st.function([x, y], loss, updates=updates, engine=engine), ((8, 20), (8,))


def test_stages_begin_with_the_definition_and_end_with_what_is_compiled():
    x = st.placeholder((None,), "float64", name="x")
    f = st.function([x], st.log(1 + st.exp(x)) * 1)
    first, *rest = f.stages
    assert first.name == "definition" and first.graph is f.graph
    assert [stage.name for stage in rest] == [p.name for p in f.passes if p.changed]
    assert rest[-1].graph is f.optimized
    stable = next(stage for stage in rest if stage.name == "stabilize")
    (rewrite,) = [r for r in stable.rewrites if "softplus" in r.rule]
    assert rewrite.before.op.name == "log1p" and rewrite.after.type == rewrite.before.type
    assert all(sum(s.fired.values()) >= len(s.rewrites) for s in rest)
    assert all(s.seconds >= 0 for s in f.passes)


def test_kernels_know_members_loops_and_lines():
    x = st.placeholder((None, 6), "float64", name="x")
    y = st.exp(x) * 2
    f = st.function([x], [st.sum(y, 1), y], engine="llvm")
    by_output = {k.outputs[0].op.name: k for k in f.kernels}
    total = by_output["sum"] if "sum" in by_output else by_output["multiply"]
    assert total.kind == "kernel" and "load" in total.text and total.function in f.llvm_ir
    assert {"exp", "multiply"} <= {n.op.name for k in f.kernels for n in k.nodes}
    assert all(line.file == __file__ for k in f.kernels for line in k.lines)
    assert len({k.name for k in f.kernels}) == len(f.kernels)


def test_costs_of_simple_kernels_are_exact():
    n = st.dim("n")
    x = st.placeholder((n,), name="x")
    f = st.function([x], x * 2 + 1, engine="llvm")
    assert D.same(f.cost().flops, 2 * n) and D.same(f.cost().bytes, 8 * n)
    assert (f.cost((1000,)).flops, f.cost(np.ones(1000)).bytes) == (2000, 8000)
    g = st.function([x], st.sum(x * x), engine="llvm")
    assert g.cost((1000,)).flops == 2000 and g.cost((1000,)).bytes == 4004


def test_costs_of_products_and_loops():
    m, k = st.dim("m"), st.dim("k")
    a, b = st.placeholder((m, k), "float64"), st.placeholder((k, 7), "float64")
    f = st.function([a, b], a @ b, engine="llvm")
    assert D.same(f.cost().flops, 2 * m * k * 7)
    assert D.same(f.cost().bytes, 8 * (m * k + 7 * k + 7 * m))
    assert f.kernels[0].kind == "product" and f.kernels[0].text.startswith("kernel0(a, b, c)")
    x = st.placeholder((None, 4), "float64")
    last = st.scan(lambda row, s: st.tanh(s + row), [x], [st.zeros((4,), "float64")])[0]
    g = st.function([x], last, engine="llvm")
    (loop,) = [k for k in g.kernels if k.kind == "loop"]
    inside = [k for k in g.kernels if k.name.startswith(f"{loop.name}.")]
    assert inside and all(D.same(k.runs, x.shape[0]) for k in inside)
    assert g.cost((10, 4)).flops == 10 * 4 * 2  # an addition and a tanh


def test_a_window_read_twice_counts_once():
    x = st.placeholder((100,))
    f = st.function([x], x[1:] + x[:-1], engine="llvm")
    assert f.cost((100,)).bytes == 400 + 4 * 99


def test_the_memory_formula_bounds_the_plan():
    f, shapes = mlp_step()
    plan, use, sizes = f.memory_plan, f.memory(*shapes), f.sizes(*shapes)
    peak = D.evaluate(plan.peak, sizes)
    assert peak <= use.peak <= peak + 64 * len(plan.buffers)
    alive = max(size for _, size in plan.timeline(sizes))
    assert alive == D.evaluate(plan.temporaries, sizes) <= use.temporaries
    by_kind = {b.kind for b in plan.buffers}
    assert {"input", "variable", "output", "temporary"} <= by_kind
    assert all(b.first <= b.last for b in plan.buffers)
    assert "peak" in str(plan)


def test_remarks_are_objects_with_reason_and_line():
    gc.collect()  # a constant that another test has left would keep the line of that test
    f, _ = mlp_step()
    kinds = {r.kind for r in f.remarks}
    assert {"fused", "stored", "read through", "vectorized", "packed", "threads"} <= kinds
    assert all(r.line is not None and r.line.file == __file__ for r in f.remarks)
    fused = next(r for r in f.remarks if r.kind == "fused")
    assert fused.into and fused.where == "fusion"
    stored = [r.why for r in f.remarks if r.kind == "stored"]
    assert any("the kernel that computes it for its rows stores it" in why for why in stored)
    text = f.explain()
    assert isinstance(text, str) and text.remarks == f.remarks
    json.dumps([r.to_dict() for r in f.remarks])


def test_remarks_tell_of_every_value_that_something_reads_why_it_is_where_it_is():
    step, _ = mlp_step()
    image = st.placeholder((None, 8, 8, 3))
    kernel = st.variable(np.zeros((3, 3, 3, 4), "f4"))
    pooled = st.sum(st.max_pool(st.relu(st.conv(image, kernel, padding="same")), 2))
    change = kernel - st.gradients(pooled, kernel)
    convolve = st.function([image], pooled, updates=[(kernel, change)], engine="llvm")
    x = st.placeholder((None, 16))
    parts = [st.exp(st.sort(st.concatenate([x, x + 1]), 0)), st.cumsum(x * 2, 0) + st.pad(x, 0)]
    for f in (step, convolve, st.function([x], parts, engine="llvm")):
        users, told = f.optimized.users(), {r.node for r in f.remarks if r.where == "fusion"}
        silent = {"placeholder", "variable", "constant", "dim_value"}
        for node in f.optimized.nodes():
            if users[node] and node.op.name not in silent and not isinstance(node.op.family, View):
                assert node in told, node


def test_remarks_tell_what_was_stabilized_and_called_out():
    x = st.placeholder((3,), "float64")
    f = st.function([x], st.polygamma(1, st.log(1 + st.exp(x))), engine="llvm")
    by_kind = {r.kind: r for r in f.remarks}
    assert "softplus" in by_kind["stabilized"].why
    assert by_kind["call-out"].node.op.name == "polygamma"
    assert f.kernels[-1].kind == "call-out"


def test_code_of_this_machine_and_others():
    x = st.placeholder((None,), name="x")
    f = st.function([x], st.exp(x), engine="llvm")
    assert "define i32 @kernel0" in f.llvm_ir
    assert "kernel0" in f.assembly and f.assembly() == f.assembly
    assert "%ymm" in f.assembly("avx2") and "fmla" in f.assembly(target="neon")


@pytest.mark.parametrize(
    ("name", "tile"), [("avx2", "vfmadd231ps.*%ymm"), ("neon", r"fmla\s*v\d+\.4s"), (None, "")]
)
def test_code_of_matrix_products(name, tile):
    """They are a module of their own: the text says so, and shows it when asked."""
    x, w = st.placeholder((None, 40), name="x"), st.variable(np.ones((40, 50), "float32"))
    f = st.function([x], x @ w, engine="llvm")
    alone, whole = f.assembly(name), f.assembly(name, products=True)
    entry = re.compile(r"^_?symtensor_gemm_float32:", re.M)
    assert "products of float32: see assembly(products=True)" in alone and not entry.search(alone)
    assert len(entry.findall(whole)) == 1 and alone.rpartition("*/\n")[2] in whole
    assert not tile or (re.search(tile, whole) and not re.search(tile, alone))
    plain = st.function([x], x * 2, engine="llvm")
    assert plain.assembly(name, products=True) == plain.assembly(name)
    assert "products" not in plain.assembly(name)


def test_the_reference_engine_tells_what_it_can():
    f, shapes = mlp_step("numpy")
    g, _ = mlp_step("llvm")
    assert [s.name for s in f.stages] == [s.name for s in g.stages]
    assert all(k.kind == "call-out" for k in f.kernels)
    assert f.cost(*shapes).flops == pytest.approx(g.cost(*shapes).flops, rel=0.05)
    assert f.remarks is not None and "interpreted" in f.explain()
    for name in ("memory_plan", "llvm_ir", "assembly"):
        with pytest.raises(st.EngineError, match="the engine numpy"):
            getattr(f, name)


def test_an_engine_that_tells_nothing_is_counted_node_by_node():
    class Plain:
        name = "plain"

        def capabilities(self):
            return frozenset()

        def supports(self, node):
            return True

        def compile(self, graph):
            inner = st.function([], st.constant(1.0), engine="numpy").executable
            return lambda inputs, variables: inner(inputs, variables)

    x = st.placeholder((None,))
    f = st.function([x], x * 2 + 1, engine=Plain())
    assert f.cost((10,)).flops == 20
    assert f.stages[0].name == "definition" and "engine plain" in f.explain()
    with pytest.raises(st.EngineError, match="does not tell its kernels"):
        _ = f.kernels


def test_sizes_that_depend_on_data_are_refused():
    x = st.placeholder((None,))
    sums, _ = st.scan(lambda v, s: (s + v, st.until(s > 9)), [x], [st.zeros(())])
    f = st.function([x], st.exp(sums) * 2, engine="llvm")
    assert not isinstance(f.cost().flops, int)
    with pytest.raises(st.SymbolicValueError, match="depends on data"):
        f.cost((3,))
    with pytest.raises(st.ShapeError, match="expected 1 shapes, found 2"):
        f.cost((3,), (4,))


def test_every_node_has_a_cost():
    """Views and sources are free, others move at least their result."""
    f, shapes = mlp_step("numpy")
    sizes = f.sizes(*shapes)
    for node in f.optimized.nodes():
        cost = node_cost(node).at(sizes)
        assert cost.flops >= 0 and cost.bytes >= 0


def test_every_pass_tells_which_nodes_it_changed():
    x = st.placeholder((3, 4), "float64", name="x")
    branch = st.cond(st.constant(True), lambda: x * 2, lambda: x * 3)
    f = st.function([x], branch + st.exp(st.constant(1.0)), engine="numpy")
    told = {stage.name: {r.rule for r in stage.rewrites} for stage in f.stages}
    assert "inline a branch" in told["specialize"]
    assert any(rule.startswith("fold ") for rule in told["fold_constants"])


def test_what_was_worked_out_is_kept():
    f, _ = mlp_step()
    for name in ("stages", "kernels", "memory_plan", "remarks", "assembly"):
        assert getattr(f, name) is getattr(f, name)
