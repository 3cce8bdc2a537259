"""Graphs for other tools: pictures, Model Explorer, notebooks. Their own parsers read them back."""

import json
import shutil
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from itertools import combinations, pairwise

import numpy as np
import pytest

import symtensor as st
from symtensor.export.layout import REACH, layered_layout

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</title></script><script>alert("x")</script>\u2028&\x00\'"\\'


def training_step():
    x = st.placeholder((None, 3), name="x")
    w = st.variable(np.zeros((3, 2), np.float32), name="w")
    with st.name_scope("loss"):
        loss = st.mean(st.square(x @ w))
    return st.function([x], loss, updates=[(w, w - 0.1 * st.gradients(loss, w))])


def scan_function():
    xs = st.placeholder((None, 4), name="xs")
    last = st.foldl(lambda x, a: st.tanh(a + x), xs, st.zeros((4,)))
    return st.function([xs], last)


# --- layout --------------------------------------------------------------------------------------


def random_layers(seed, count=40):
    rng = np.random.default_rng(seed)
    boxes = [tuple(map(float, rng.integers((20, 10), (120, 60)))) for _ in range(count)]
    edges = {(int(rng.integers(b)), b) for b in range(1, count) for _ in range(rng.integers(3))}
    return boxes, sorted(edges)


@pytest.mark.parametrize("seed", range(8))
def test_boxes_do_not_overlap_and_producers_stand_above(seed):
    boxes, edges = random_layers(seed)
    found = layered_layout(boxes, edges)
    rectangles = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(found.corners, boxes, strict=True)]
    for a, b in combinations(rectangles, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    for (a, b), route in zip(edges, found.routes, strict=True):
        assert rectangles[a][3] < rectangles[b][1]
        assert route[0][1] == rectangles[a][3] and route[-1][1] == rectangles[b][1]
        assert all(p[1] < q[1] for p, q in pairwise(route))
    assert max(r[2] for r in rectangles) <= found.width
    assert max(r[3] for r in rectangles) <= found.height
    assert layered_layout(boxes, edges) == found


def test_lines_cross_no_box_at_their_bends():
    boxes, edges = random_layers(3)
    found = layered_layout(boxes, edges)
    for route in found.routes:
        for x, y in route[1:-1]:
            for (left, top), (width, height) in zip(found.corners, boxes, strict=True):
                assert not (left < x < left + width and top < y < top + height)


def ladder(rungs):
    """Return two chains, the second from the last to the first, joined by rungs: as gradients are."""
    edges = list(pairwise(range(2 * rungs)))
    edges += [(i, 2 * rungs - 1 - i) for i in range(rungs - 1)]
    return [(60.0, 20.0)] * (2 * rungs), edges


def test_lines_over_many_layers_have_few_bends_and_cross_no_box():
    boxes, edges = ladder(300)
    found = layered_layout(boxes, edges)
    assert sum(map(len, found.routes)) < 8 * len(edges)  # one per layer would be 90,000
    rectangles = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(found.corners, boxes, strict=True)]
    for (a, b), route in zip(edges, found.routes, strict=True):
        assert all(p[1] < q[1] for p, q in pairwise(route))
        assert all(0 <= x <= found.width for x, _ in route)
        for x, y in route[1:-1]:
            assert not any(r[0] < x < r[2] and r[1] < y < r[3] for r in rectangles)
        for (x, y), (x2, y2) in pairwise(route if b - a > REACH else ()):
            across = [r for r in rectangles if r[1] < y2 and y < r[3] and x != x2]
            assert not any(r[0] < max(x, x2) and min(x, x2) < r[2] for r in across)


def test_lines_beside_each_other_have_lanes_of_their_own():
    boxes, edges = ladder(40)
    lanes = {}
    for (a, b), route in zip(edges, layered_layout(boxes, edges).routes, strict=True):
        if b - a > REACH:
            lanes.setdefault(route[2][0], []).append((a, b))
    assert len(lanes) > 20
    for spans in lanes.values():
        assert all(b < c for (_, b), (c, _) in pairwise(sorted(spans)))


def test_nothing_and_one_box():
    assert layered_layout([], []).width == 0
    assert layered_layout([(30.0, 10.0)], []).corners == [(0.0, 0.0)]


def test_a_chain_is_straight():
    found = layered_layout([(50.0, 10.0), (20.0, 10.0), (80.0, 10.0)], [(0, 1), (1, 2)])
    assert all(a[0] == pytest.approx(b[0]) for a, b in found.routes)


# --- SVG -----------------------------------------------------------------------------------------


def texts(svg):
    return [t.text for t in ET.fromstring(svg).iter(f"{SVG}text")]


def test_svg_shows_every_node_once():
    f = training_step()
    svg = st.to_svg(f)
    shown = texts(svg)
    assert len(shown) == 2 * len(f.optimized.all_nodes())
    assert {"x", "w", "contract", "f32[3, 2]"} <= set(shown)
    assert st.to_svg(f) == svg


def test_svg_of_hostile_names_is_xml():
    x = st.placeholder((2,), name=HOSTILE)
    root = ET.fromstring(st.to_svg(st.exp(x)))
    assert not list(root.iter(f"{SVG}script"))
    assert any("alert" in t.text for t in root.iter(f"{SVG}text"))


def test_graphviz_where_it_is_installed():
    if shutil.which("dot") is None:
        pytest.skip("the program dot is not installed")
    assert "contract" in "".join(texts(st.to_svg(training_step(), layout="graphviz")))


def test_svg_without_graphviz_says_what_to_do(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(st.SymtensorError, match=r"no program dot[\s\S]*explore"):
        st.to_svg(training_step(), layout="graphviz")
    with pytest.raises(st.SymtensorError, match="own or graphviz"):
        st.to_svg(training_step(), layout="circle")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for dot")
def test_a_graphviz_that_takes_for_ever_is_given_up(monkeypatch, tmp_path):
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(program))
    monkeypatch.setattr("symtensor.export.graphviz.PATIENCE", 0.05)
    with pytest.raises(st.SymtensorError, match=r"did not place \d+ nodes[\s\S]*explore"):
        st.to_svg(training_step(), layout="graphviz")


def test_dot_escapes_names():
    x = st.placeholder((2,), name='a"b\\')
    assert 'label="a\\"b\\\\\\nf32[2]"' in st.to_dot(st.exp(x))


# --- networkx and Model Explorer -----------------------------------------------------------------


def test_networkx_knows_scopes():
    g = st.to_networkx(training_step())
    assert {data["scope"] for _, data in g.nodes(data=True)} == {"", "loss"}


def check_model_explorer(text):
    """Check the rules of the format: unique ids, edges and subgraphs that exist, texts everywhere."""
    collection = json.loads(text)
    assert isinstance(collection["label"], str)
    names = [graph["id"] for graph in collection["graphs"]]
    assert len(set(names)) == len(names)
    for graph in collection["graphs"]:
        ids = [node["id"] for node in graph["nodes"]]
        assert len(set(ids)) == len(ids)
        for node in graph["nodes"]:
            assert isinstance(node["label"], str) and not node["namespace"].startswith("/")
            assert all(edge["sourceNodeId"] in ids for edge in node["incomingEdges"])
            assert all(name in names for name in node["subgraphIds"])
            for pair in node["attrs"]:
                assert set(pair) == {"key", "value"} and isinstance(pair["value"], str)
            for output in node["outputsMetadata"]:
                assert set(output) == {"id", "attrs"}
    return collection


def test_model_explorer_has_the_graph_after_each_pass():
    f = training_step()
    found = check_model_explorer(st.to_model_explorer(f))
    assert [g["id"] for g in found["graphs"]] == [stage.name for stage in f.stages]
    last = found["graphs"][-1]["nodes"]
    assert len(last) == len(f.optimized.all_nodes())
    assert {n["namespace"] for n in last} == {"", "loss", "gradients/loss"}
    roles = [p["value"] for n in last for p in n["attrs"] if p["key"] == "role"]
    assert sorted(roles) == ["next value of w", "output 0"]


def test_model_explorer_has_bodies_as_graphs():
    found = check_model_explorer(st.to_model_explorer(scan_function()))
    inner = [n for g in found["graphs"] for n in g["nodes"] if n["subgraphIds"]]
    assert inner and any(" body" in g["id"] for g in found["graphs"])


def test_model_explorer_of_a_tensor_with_a_hostile_name():
    check_model_explorer(st.to_model_explorer(st.exp(st.placeholder((2,), name=HOSTILE))))


# --- notebooks -----------------------------------------------------------------------------------


class Tags(HTMLParser):
    """Collects tags and checks that they close in order."""

    VOID = frozenset({"path", "rect"})

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        if not (tag in self.VOID or tag == "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def tags(html):
    parser = Tags()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser.seen


def test_notebook_cards():
    f = training_step()
    x = st.placeholder((2,), name=HOSTILE)
    for value in (f, f.graph, x, st.exp(x)):
        seen = tags(value._repr_html_())
        assert "table" in seen and "script" not in seen
    assert "svg" in tags(f._repr_html_())
    assert "http" not in f._repr_html_().replace("http://www.w3.org/2000/svg", "")


def test_cards_of_large_graphs_stay_small():
    y = st.placeholder((2,))
    for i in range(3000):
        y = st.sin(y) + float(i)
    card = y._repr_html_()
    assert len(card) < 60_000 and "svg" not in tags(card) and "more nodes" in card
