"""The explorer without a browser: its data, and that nothing a user names becomes markup."""

import base64
import hashlib
import itertools
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen import target
from symtensor.explorer import explorer_page
from symtensor.explorer.code import functions_of_assembly, functions_of_llvm
from symtensor.explorer.data import function_data
from symtensor.explorer.matching import match_nodes
from symtensor.explorer.page import SCRIPTS, embed_json
from symtensor.ir import dims as D
from symtensor.ir.printer import label_graph

HOSTILE = [
    "</script><script>alert(1)</script>", "<!--<script>", "]]>", "\u2028\u2029", "\x00\x1b", "\ud800",
    "{{DATA}}", '"\'\\`${x}', "<img src=x onerror=alert(1)>", "javascript:alert(1)", "&lt;&amp;",
]  # fmt: skip


def training_step(name="step"):
    x = st.placeholder((None, 3), name="x")
    w = st.variable(np.zeros((3, 2), np.float32), name="w")
    with st.name_scope("model"):
        y = st.log(st.softmax(x @ w))
    with st.name_scope("loss"):
        loss = -st.mean(y)
    return st.function([x], loss, updates=[(w, w - 0.1 * st.gradients(loss, w))], name=name)


def recurrent():
    xs = st.placeholder((None, 4), name="xs")
    u = st.variable(np.eye(4, dtype=np.float32), name="u")
    last = st.foldl(lambda h, a: st.tanh(a + h @ u), xs, st.zeros((4,)))
    loss = st.sum(last * last)
    return st.function([xs], loss, updates=[(u, u - 0.1 * st.gradients(loss, u))])


# --- escaping ------------------------------------------------------------------------------------


def test_json_in_html_reads_back_and_holds_no_markup():
    data = {"names": HOSTILE, "\u2028<": [1, 2.5, None, True]}
    text = embed_json(data)
    assert json.loads(text) == data
    assert text.isascii() and not set(text) & set("<>&")


def test_json_refuses_what_is_none():
    with pytest.raises(ValueError, match="JSON"):
        embed_json({"x": float("nan")})


class Page(HTMLParser):
    """Collects elements, and the texts of scripts and styles."""

    def __init__(self):
        super().__init__()
        self.tags, self.texts, self.attributes, self._inside = [], {}, [], None

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag in ("script", "style", "title"):
            self._inside = tag + dict(attrs).get("id", "")
            self.texts[self._inside] = ""

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside:
            self.texts[self._inside] += data


def parse(html):
    page = Page()
    page.feed(html)
    page.close()
    return page


def hostile_function():
    x = st.placeholder((2,), name=HOSTILE[0])
    total = x
    for name in HOSTILE:
        with st.name_scope(name):
            w = st.variable(np.ones(2, np.float32), name=name)
            total = total * w
    return st.function([x], total, name=HOSTILE[0])


def test_hostile_names_stay_text():
    plain, hostile = parse(explorer_page(training_step())), parse(explorer_page(hostile_function()))
    assert hostile.tags == plain.tags
    assert [a[:2] for a in hostile.attributes] == [a[:2] for a in plain.attributes]
    assert hostile.texts["title"].startswith(HOSTILE[0])
    names = {e.get("name") for e in json.loads(hostile.texts["scriptdata"])["entities"]}
    assert set(HOSTILE) <= names


def test_a_profile_that_is_none_is_refused():
    with pytest.raises(st.SymtensorError, match=r"what f\.profile returns, found 3"):
        training_step().explore("never_written.html", profile=3)


def test_the_policy_allows_this_script_and_style_alone():
    page = parse(explorer_page(training_step()))
    (policy,) = [
        v for tag, name, v in page.attributes if (tag, name) == ("meta", "content") and "src" in v
    ]
    for kind in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(page.texts[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy


def test_the_page_names_no_other_place():
    page = parse(explorer_page(training_step()))
    assert not [a for a in page.attributes if a[1] in ("src", "href", "action", "onclick", "style")]
    code = page.texts["script"] + page.texts["style"]
    assert set(re.findall(r"\w+://[\w./]+", code)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|import\(|innerHTML|@import|url\(", code)


def test_the_parts_are_in_the_package():
    from importlib import resources

    for name in (*SCRIPTS, "page.html", "style.css"):
        assert resources.files("symtensor.explorer").joinpath(name).is_file()


def test_the_page_is_the_same_each_time():
    f = training_step()
    page = re.sub(r'"seconds":[\d.e-]+', "", explorer_page(f))
    assert page == re.sub(r'"seconds":[\d.e-]+', "", explorer_page(f))


# --- data ----------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_is_named(tmp_path):
    x = st.placeholder((3,))
    f = st.function([x], x + 1, engine="llvm")
    for write in (f.explore, f.profile(np.ones(3, "float32")).plot):
        with pytest.raises(st.OutputError, match="can't write") as caught:
            write(tmp_path / "nowhere" / "page")
        assert isinstance(caught.value, OSError) and "make the folder" in str(caught.value)
        assert caught.value.place.file == __file__
    assert not list(tmp_path.iterdir())


def test_explore_writes_a_file_and_returns_its_path(tmp_path):
    path = training_step().explore(tmp_path / "out.html", (5, 3))
    page = parse(path.read_text(encoding="utf-8"))
    assert json.loads(page.texts["scriptdata"])["sizes"] == {"d0": 5}


def test_wrong_shapes_write_nothing(tmp_path):
    with pytest.raises(st.ShapeError):
        training_step().explore(tmp_path / "out.html", (5, 4))
    assert not list(tmp_path.iterdir())


def test_labels_are_those_of_the_text():
    f = training_step()
    data, labels = function_data(f), label_graph(f.optimized)
    shown = [data["entities"][n]["label"] for n in data["stages"][-1]["graph"]["nodes"]]
    assert shown == [labels.node(node) for node in f.optimized.all_nodes()]
    gone = set(range(len(data["entities"]))) - set(data["stages"][-1]["graph"]["nodes"])
    assert not {data["entities"][n]["label"] for n in gone} & set(shown)


def inputs_of(data, graph, node):
    return graph["inputs"].get(str(node), data["entities"][node]["inputs"])


def check_graph(data, graph, within=-1):
    """Check that a graph is closed, and its entities belong to it."""
    seen = set()
    for node in graph["nodes"]:
        assert data["entities"][node]["within"] == within
        assert set(inputs_of(data, graph, node)) <= seen
        seen.add(node)
        for _, body in graph["bodies"].get(str(node), []):
            check_graph(data, body, node)
    assert set(graph["outputs"]) | {n for pair in graph["updates"] for n in pair} <= seen
    return seen


@pytest.mark.parametrize("make", [training_step, recurrent, hostile_function])
def test_graphs_are_closed_and_references_exist(make):
    f = make()
    data = function_data(f)
    for stage, record in zip(f.stages, data["stages"], strict=True):
        nodes = check_graph(data, record["graph"])
        assert len(nodes) == len(stage.graph.all_nodes())
    count = len(data["entities"])
    for kernel in data["kernels"]:
        assert kernel["outputs"] and all(0 <= n < count for n in kernel["nodes"])
        assert kernel["kind"] == "call-out" or kernel["function"] in data["llvm"]
    assert len(data["kernels"]) == len(f.kernels) and len(data["remarks"]) == len(f.remarks)
    assert all(-1 <= row[1] < count for row in data["remarks"])
    assert all(
        0 <= line < len(data["lines"]) for line in (e.get("line", 0) for e in data["entities"])
    )


def test_kernels_in_loops_compute_nodes_of_the_body():
    f = recurrent()
    data = function_data(f)
    inner = [k for k in data["kernels"] if "." in k["name"]]
    assert inner and all(data["entities"][n]["within"] >= 0 for k in inner for n in k["nodes"])
    ops = {k.name: [n.op.name for n in k.nodes] for k in f.kernels}
    for kernel in data["kernels"]:
        assert [data["entities"][n]["op"] for n in kernel["nodes"]] == ops[kernel["name"]]


def evaluate(dim, sizes):
    if isinstance(dim, int):
        return dim
    total = 0
    for coefficient, atoms in dim["terms"]:
        for atom in atoms:
            if isinstance(atom, str):
                coefficient *= sizes[atom]
            else:
                a, b = (evaluate(x, sizes) for x in atom[1:])
                coefficient *= max(a, b) if atom[0] == "max" else a // b
        total += coefficient
    return total


def test_formulas_have_the_values_of_the_dims():
    f = recurrent()
    data, labels = function_data(f), label_graph(f.optimized)
    (symbol,) = {
        s for n in f.optimized.inputs for d in n.tensor_type.shape for s in D.symbols_in(d)
    }
    for size in (1, 7, 100):
        named = {labels.symbol(symbol): size}
        for kernel, record in zip(f.kernels, data["kernels"], strict=True):
            assert evaluate(record["flops"], named) == D.evaluate(kernel.flops, {symbol: size})
            assert evaluate(record["runs"], named) == D.evaluate(kernel.runs, {symbol: size})
        peak = D.evaluate(f.memory_plan.peak, {symbol: size})
        assert evaluate(data["memory"]["peak"], named) == peak


def test_source_lines_are_there_with_some_around():
    f = training_step()
    lines = function_data(f)["source"][__file__]
    (number,) = [n for n, text in lines.items() if "st.log(st.softmax(x @ w))" in text]
    assert {number - 1, number + 1} <= set(lines)


def test_an_engine_without_machine_code_has_graphs_all_the_same():
    x = st.placeholder((2,), name="x")
    f = st.function([x], st.exp(x) + 0.0, engine="numpy")
    data = json.loads(parse(explorer_page(f)).texts["scriptdata"])
    assert data["llvm"] == data["assembly"] == {} and data["stages"][0]["graph"]["nodes"]


def test_a_profile_is_laid_over():
    f = training_step()
    profile = f.profile(np.ones((5, 3), np.float32), repeat=1)
    data = json.loads(parse(explorer_page(f, (5, 3), profile=profile)).texts["scriptdata"])
    assert [k["name"] for k in data["profile"]["kernels"]] == [k["name"] for k in data["kernels"]]


# --- matching ------------------------------------------------------------------------------------


def test_nodes_above_a_change_are_still_the_same():
    x, w = st.placeholder((3,), name="x"), st.placeholder((3,), name="w")

    def chain(start):
        for _ in range(20):
            start = st.sin(start) * w
        return st.Graph((x.node, w.node), (start.node,)).nodes()

    old, new = chain(st.exp(x)), chain(st.exp(x + w))
    found = match_nodes(old, new)
    assert [n.op.name for n in new if n not in found] == ["add"]
    assert set(old) == set(found.values())
    assert [found[n].op for n in new if n in found] == [n.op for n in new if n in found]


def test_each_old_node_is_matched_once():
    x = st.placeholder((3,), name="x")
    operands = [x + float(i) for i in range(4)], [x * float(i + 2) for i in range(6)]
    roots = [tuple(st.sin(y).node for y in ys) for ys in operands]
    old, new = (st.Graph((x.node,), sines).nodes() for sines in roots)
    found = match_nodes(old, new)
    assert len(set(found.values())) == len(found)
    assert sum(n.op.name == "sin" for n in found) == 4


def test_nodes_of_one_line_keep_to_their_scopes():
    x = st.placeholder((3,), name="x")

    def layers(factor):
        y = x
        for i in range(5):
            with st.name_scope(f"layer{i}"):
                y = st.exp(y) * factor + y
        return st.Graph((x.node,), (y.node,)).nodes()

    old, new = layers(2.0), layers(3.0)
    found = match_nodes(old, new)
    assert all(a.loc.scope == b.loc.scope for a, b in found.items())
    inner = [n for n in found if n.op.name in ("exp", "multiply", "add")]
    assert len(inner) == 15


def test_a_spread_number_is_matched_by_its_value():
    x = st.placeholder((3,), name="x")
    values = [st.Graph((x.node,), ((x * 2.0 + n).node,)).nodes() for n in (3.0, 4.0)]
    found = match_nodes(*values)
    assert [n.op.name for n in values[1] if n not in found] == ["constant", "broadcast_to"]


def test_a_pass_that_changes_a_leaf_adds_only_what_it_adds():
    f = training_step()
    data = function_data(f)
    stages = [set(s["graph"]["nodes"]) for s in data["stages"]]
    for stage, (before, after) in zip(f.stages[1:], itertools.pairwise(stages), strict=True):
        touched = len(before - after) + len(after - before)
        assert touched <= 4 * sum(stage.fired.values())


# --- code ----------------------------------------------------------------------------------------


def test_llvm_text_by_function():
    f = training_step()
    parts = functions_of_llvm(f.llvm_ir)
    assert {k.function for k in f.kernels if k.function} <= set(parts)
    for name, text in parts.items():
        assert text.startswith("define") and text.endswith("}")
        defined = re.findall(r"^define [^@]*@([\w.]+)", text, re.MULTILINE)
        assert defined == [name] or defined == [f"{name}.{i}" for i in range(len(defined))]


@pytest.mark.parametrize("name", ["avx512", "avx2", "sse2", "neon", "apple", "windows"])
def test_assembly_by_function(name):
    f = training_step()
    parts = functions_of_assembly(f.assembly(name))
    wanted = {k.function for k in f.kernels if k.kind == "kernel"}
    assert wanted <= set(parts), target.named(name)
    assert all("\tret" in text or " ret" in text for key, text in parts.items() if key in wanted)
    assert not any(
        line.lstrip().startswith(".cfi") for t in parts.values() for line in t.splitlines()
    )
