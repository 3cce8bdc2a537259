"""Repeated kernels: equal forms have equal code, and what is not equal is kept apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen.fusion import schedule
from symtensor.codegen.program import _Builder, _Module
from symtensor.codegen.repeats import form_of
from symtensor.codegen.schedule import KernelStep, storage_node
from symtensor.codegen.slots import Placement
from symtensor.codegen.target import host
from symtensor.ir.graph import Graph

Outputs = Callable[[st.Tensor, st.Tensor], list[st.Tensor]]


def layers(x: st.Tensor, y: st.Tensor) -> list[st.Tensor]:
    for _ in range(4):
        w = st.variable(np.eye(3))
        x = st.softmax(st.tanh(x @ w) + st.sum(x, axis=1, keepdims=True))
    loss = st.sum(x * y)
    return [loss, *st.gradients(loss, [y])]


def updates(x: st.Tensor, y: st.Tensor) -> list[st.Tensor]:
    moments = [st.variable(np.ones((3, 3))) for _ in range(3)]
    return [0.9 * m + 0.1 * st.sum(x * y) for m in moments]


def sources(x: st.Tensor, y: st.Tensor) -> list[st.Tensor]:
    """Kernels that differ in a constant, an attribute, an alias, or which operand is which."""
    same, other = st.exp(x), st.exp(y)
    parts = [same - other, other - same, same - same * 2, same * 3 - other]
    return [st.sum(p, axis=a) for p in parts for a in (0, 1)] + [st.reshape(x, (-1,)) + 1]


@pytest.mark.parametrize("outputs", [layers, updates, sources])
def test_equal_forms_have_equal_code(outputs: Outputs) -> None:
    x, y = st.placeholder((None, 3), "float64"), st.placeholder((None, 3), "float64")
    graph = Graph((x.node, y.node), tuple(out.node for out in outputs(x, y)))
    module = _Module(host())
    placed = Placement(graph, schedule(graph, host()), module.table, module.lowered)
    placed.make_slots(dict.fromkeys((storage_node(root) for root in graph.roots), "output"))
    builder = _Builder(module, placed)
    found: dict[object, set[object]] = {}
    codes: set[str] = set()
    steps = [step for step in placed.schedule.steps if isinstance(step, KernelStep)]
    for step in steps:
        form, touched = form_of(step)
        module.forms.clear()  # so that each is lowered and emitted by itself
        module.emitted.clear()
        call, (kernel, nodes) = builder._lower_kernel(step), module.lowered(step)
        order = tuple(touched.index(node) for node in nodes)
        found.setdefault(form, set()).add((call.name, call.sizes, call.phases, order))
        codes.add(call.name)
        assert [touched[i] for i in order if i < len(step.roots)] == list(step.roots)
        assert len(kernel.buffers) == len(order)
    assert all(len(made) == 1 for made in found.values())
    assert len(codes) <= len(found) <= len(steps)


def test_a_deep_network_is_as_many_kernels_as_a_shallow_one() -> None:
    def network(depth: int) -> st.Function:
        h = x = st.placeholder((None, 4), "float64")
        for _ in range(depth):
            h = st.tanh(h @ st.variable(np.eye(4) / 2)) + x
        return st.function([x], h)

    shallow, deep = network(4), network(40)
    assert len(set(shallow.executable.kernels())) == len(set(deep.executable.kernels()))
    assert shallow.executable.llvm_ir.count("define ") == deep.executable.llvm_ir.count("define ")
    x = np.random.default_rng(0).standard_normal((5, 4))
    expected = x
    for _ in range(40):
        expected = np.tanh(expected / 2) + x
    np.testing.assert_allclose(deep(x), expected, rtol=1e-13)


def test_equal_updates_write_their_own_buffers() -> None:
    x = st.placeholder((None,), "float64")
    values = [st.variable(np.arange(3.0) + i) for i in range(5)]
    step = st.function([x], [], updates=[(v, 0.5 * v + st.sum(x)) for v in values])
    step([1.0, 2.0])
    for i, v in enumerate(values):
        np.testing.assert_array_equal(v.get_value(), 0.5 * (np.arange(3.0) + i) + 3)
