"""The order of steps while they become one: against networkx on random graphs."""

import itertools
import random

import networkx as nx
import pytest

import symtensor as st
from symtensor.codegen.precedence import Precedence, Reader
from symtensor.codegen.schedule import KernelStep, ordered


def random_steps(seed):
    """Return a graph of steps, edges from what is read to its readers, numbered from the first on."""
    rng = random.Random(seed)
    graph = nx.DiGraph()
    graph.add_nodes_from(range(24))
    graph.add_edges_from(
        pair for pair in itertools.combinations(range(24), 2) if rng.random() < 0.1
    )
    return graph, rng


def precedence_of(graph):
    found = Precedence()
    for step in reversed(range(len(graph))):
        found.add(step, [Reader(reader, False) for reader in graph.successors(step)])
    return found


def as_one(graph, members):
    """Return the graph with the steps of each set made one."""
    step_of = {x: min(own) for own in members for x in own}
    out = nx.DiGraph()
    out.add_nodes_from(step_of.values())
    out.add_edges_from((step_of[a], step_of[b]) for a, b in graph.edges if step_of[a] != step_of[b])
    return out


@pytest.mark.parametrize("seed", range(20))
def test_steps_become_one_exactly_where_no_cycle_arises(seed):
    graph, rng = random_steps(seed)
    found = precedence_of(graph)
    members = [{step} for step in graph]
    for _ in range(40):
        if len(members) == 1:
            break
        a, b = rng.sample(members, 2)
        rest = [x for x in members if x is not a and x is not b]
        together = [*rest, a | b]
        wanted = nx.is_directed_acyclic_graph(as_one(graph, together))
        assert found.may_unite(min(a), max(b)) == wanted
        if wanted:
            found.unite(max(a), sorted(b))
            members = together
    assert len(members) < 24


@pytest.mark.parametrize("seed", range(20))
def test_steps_store_what_nothing_before_them_reads(seed):
    graph, rng = random_steps(seed)
    found = precedence_of(graph)
    for _ in range(10):
        readers, host = rng.sample(range(24), 3), rng.randrange(24)
        new = graph.copy()
        new.add_edges_from((host, reader) for reader in readers if reader != host)
        wanted = nx.is_directed_acyclic_graph(new)
        edges = [Reader(reader, False) for reader in readers]
        assert found.may_store(host, edges) == wanted
        if wanted:
            found.store(object(), host, edges)
            graph = new
    for a, b in itertools.combinations(range(24), 2):
        wanted = nx.is_directed_acyclic_graph(
            as_one(graph, [{a, b}, *({x} for x in {*graph} - {a, b})])
        )
        assert found.may_unite(a, b) == wanted


def test_what_is_read_under_another_shape_is_stored_by_another_step():
    found = precedence_of(nx.DiGraph([(0, 1)]))
    found.add(2, [Reader(1, True)])
    assert found.may_unite(0, 1)
    assert not found.may_unite(1, 2)
    assert not found.may_store(1, [Reader(1, True)])
    found.unite(0, [1])
    assert not found.may_unite(0, 2)


def test_steps_that_wait_for_each_other_are_named():
    x = st.placeholder((3,), name="x")
    first, middle, last = st.exp(x).node, st.cos(st.exp(x)).node, st.sin(st.cos(st.exp(x))).node
    around = KernelStep((first, last), frozenset({first, last}))
    between = KernelStep((middle,), frozenset({middle}))
    step_of = {first: around, middle: between, last: around}
    with pytest.raises(st.LoweringError, match="wait for each other") as found:
        ordered(step_of, [x.node, first, middle, last])
    message = str(found.value)
    assert message.count("sin") == 2 and message.count(" needs ") == 2
