"""The text of every level: the same in every process, and read back where it can be."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import symtensor as st
from symtensor.codegen.kernel_parser import parse_kernel
from symtensor.codegen.kernel_printer import format_kernel
from symtensor.codegen.phases import emit_kernel
from symtensor.codegen.program import build_program
from symtensor.codegen.target import host, named
from symtensor.inspect import print_schedule
from symtensor.passes.pipeline import optimize
from symtensor.testing import checks, conformance

SAMPLES = conformance.samples_by_op()


def layer(engine="llvm"):
    x = st.placeholder(("batch", 4), name="x")
    w = st.placeholder((4, 3), name="w")
    return st.function([x, w], st.sum(st.relu(x @ w) * 2, 1), engine=engine)


# --- loop trees ----------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", SAMPLES.values(), ids=SAMPLES)
def test_loop_trees_of_the_catalogue_read_back(samples):
    """The text of what was read is the same, and so is the code that it gives."""
    seen = set()
    for sample in samples:
        for symbolic in (False, True) if sample.symbolic is None else (False,):
            if sample.raises is not None:
                continue
            program = build_program(optimize(checks.sample_graph(sample, symbolic)), host())
            for name, kernel in program.kernels.values():
                text = format_kernel(kernel, name)
                if text in seen:
                    continue
                seen.add(text)
                again = parse_kernel(text)
                assert format_kernel(again, name) == text
                code = emit_kernel(kernel, name, host()).text
                assert emit_kernel(again, name, host()).text == code


def test_a_hand_written_loop_tree():
    text = """
kernel(b0: f64*, b1: i32*, b2: f64*) sizes n, 2*m
  for i0 < n:
    t0 = load b1[i0]: i32
    t1 = below_is_no_rule(t0): i32
"""
    with pytest.raises(st.ParseError, match=r"line 5, column 10: there is no scalar rule"):
        parse_kernel(text)
    kernel = parse_kernel(text.replace("below_is_no_rule(t0): i32", "t0 below 2*m as k0"))
    assert kernel.may_refuse and [str(d) for d in kernel.sizes] == ["n", "2*m"]
    assert format_kernel(kernel) == format_kernel(parse_kernel(format_kernel(kernel)))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("  b9[0] <- t0", "there is no buffer 'b9'"),
        ("  b0[0] <- t0", "expected a value computed before, found 't0'"),
        ("  t0 = load b0[0]", "expected ':'"),
        ("  t0 = load b0[0]: f33", "no dtype 'f33'"),
        ("  t0 (+)= t1", "t0 is no fold around here"),
        ("  t0 = sum over r0: f32", "no loop over r0 follows"),
        ("      t0 = const 1: i32", "unexpected indentation"),
        ("  vector i0 < 3", "expected ':'"),
        ("  t0 = const 1: i32 twice", "expected the end of the line"),
    ],
)
def test_what_is_no_loop_tree_is_refused_with_its_place(line, message):
    with pytest.raises(st.ParseError) as caught:
        parse_kernel(f"kernel(b0: f32*)\n{line}")
    assert message in str(caught.value) and "line 2, column" in str(caught.value)


def test_kernels_without_a_loop_tree_say_what_they_are():
    x, i = st.placeholder((3, 4)), st.placeholder((3,), "int64")
    rows, _ = st.scan(lambda row, s: s + row, x, st.zeros((4,)))
    words = st.RandomStream(1).uniform((5,))
    f = st.function([x, i], [x @ st.ones((4, 2)), st.sort(x), rows[-1], words], engine="llvm",
                    on_unused_input="ignore")  # fmt: skip
    others = [kernel for kernel in f.kernels if kernel.kind != "kernel"]
    assert {kernel.kind for kernel in others} == {"product", "draw", "loop", "call-out"}
    for kernel in others:
        with pytest.raises(st.ParseError, match=f"found the text of a {kernel.kind}"):
            parse_kernel(kernel.text)


def test_summaries_of_kernels_are_told_from_their_loops():
    x = st.placeholder((None, 4))
    rows, _ = st.scan(lambda row, s: st.tanh(s + row), x, st.zeros((4,)))
    words = st.RandomStream(1).uniform((5,))
    outputs = [x @ st.ones((4, 2)), st.sort(x), rows[-1], words]
    kernels = st.function([x], outputs, engine="llvm").kernels
    assert {kernel.kind for kernel in kernels} == {"kernel", "product", "draw", "loop", "call-out"}
    assert any(" x d0: " in str(kernel) for kernel in kernels)
    for kernel in kernels:
        with pytest.raises(st.ParseError, match=f"found the summary of a {kernel.kind}\n"):
            parse_kernel(str(kernel))
    with pytest.raises(st.ParseError, match="expected the text of a loop kernel, found a Kernel"):
        parse_kernel(kernels[0])


def test_sizes_named_like_loops_are_told_apart():
    x = st.placeholder(("i0", 3))
    f = st.function([x], st.sum(x * x, 1), engine="llvm")
    text = f.kernels[0].text
    assert "for i0 < i0_:" in text
    assert format_kernel(parse_kernel(text), "kernel0") == text


# --- golden texts --------------------------------------------------------------------------------


def test_the_loop_tree_of_a_layer():
    """Text in, text out: a graph, and its loops for a machine that is not this one."""
    program = build_program(optimize(st.parse_graph(SOFTMAX)), named("avx2"))
    ((name, kernel),) = program.kernels.values()
    assert format_kernel(kernel, name) == SOFTMAX_LOOPS


SOFTMAX = """
graph {
  %x = placeholder : f32[batch, 3]
  %0 = max %x {axes = [1]} : f32[batch]
  %1 = reshape %0 {shape = [<batch>, 1]} : f32[batch, 1]
  %2 = broadcast_to %1 {shape = [<batch>, 3]} : f32[batch, 3]
  %3 = subtract %x, %2 : f32[batch, 3]
  %4 = exp %3 : f32[batch, 3]
  %5 = sum %4 {axes = [1]} : f32[batch]
  %6 = reshape %5 {shape = [<batch>, 1]} : f32[batch, 1]
  %7 = broadcast_to %6 {shape = [<batch>, 3]} : f32[batch, 3]
  %8 = divide %4, %7 : f32[batch, 3]
  inputs %x
  outputs %8
}
"""
SOFTMAX_LOOPS = """\
kernel0[batch](b0: f32*, b1: f32*) sizes batch, 3
  for i0 < batch:
    t0 = max over r0: f32
      vector r0 < 3:
        t1 = load b1[r0 + 3*i0]: f32
        t0 (+)= t1
    t2 = sum over r0: f32
      vector r0 < 3:
        t3 = load b1[r0 + 3*i0]: f32
        t4 = subtract(t3, t0): f32
        t5 = exp(t4): f32
        b0[r0 + 3*i0] <- t5
        t2 (+)= t5
    vector i1 < 3:
      t6 = reload b0[i1 + 3*i0]: f32
      t7 = divide(t6, t2): f32
      b0[i1 + 3*i0] <- t7"""


def test_the_schedule_of_a_layer():
    assert print_schedule(layer()) == LAYER_SCHEDULE


LAYER_SCHEDULE = """\
schedule {
  k0 = product kernel0 (%x, %w) -> %0 : f32[batch, 3]
  k1 = kernel kernel1 (%0) -> %5 : f32[batch]  # relu, multiply
}"""


def test_the_schedule_of_a_loop():
    x = st.placeholder((None, 4), name="x")
    last = st.scan(lambda row, s: st.maximum(s + row, 0), [x], [st.zeros((4,))])[0]
    assert print_schedule(st.function([x], last, engine="llvm")) == LOOP_SCHEDULE


LOOP_SCHEDULE = """\
schedule {
  k0 = kernel kernel0 () -> %1 : f32[4]
  k1 = loop loop0 x d0 (%1, %x) -> %4 : f32[4], %3 : f32[d0, 4] {
    k1.0 = kernel kernel1 (%1, %0) -> %5 : f32[4]  # add
  }
}"""


def test_the_schedule_of_the_reference_engine_is_a_call_a_node():
    text = print_schedule(layer("numpy"))
    assert text.startswith("schedule {\n  k0 = call-out (%x, %w) -> %0 : f32[batch, 3]\n")


# --- stability -----------------------------------------------------------------------------------

PROGRAM = """
import numpy as np, symtensor as st, sys
from symtensor.inspect import print_schedule
x = st.placeholder((None, 6), name="x")
y = st.placeholder((None,), dtype="int32", name="y")
w = st.variable(np.ones((6, 5), "f4"), name="w")
b = st.variable(np.ones(5, "f4"), name="b")
row = st.scan(lambda r, s: st.tanh(s + r), [x], [st.zeros((6,))])[0]
logits = st.tanh(x + row) @ w + b
loss = st.mean(st.sparse_categorical_crossentropy(y, logits, from_logits=True))
grads = st.gradients(loss, [w, b])
f = st.function([x, y], loss, updates=[(w, w - grads[0]), (b, b - grads[1])], engine="llvm")
st.debugprint(f)
for stage in f.stages:
    print(stage.name, st.print_graph(stage.graph))
print(print_schedule(f), *(k.text for k in f.kernels), sep="\\n")
print(f.explain(), f.llvm_ir, f.cost(), f.memory_plan, *f.remarks, sep="\\n")
print(f.assembly("avx2"))
"""


def test_all_texts_are_the_same_in_every_process(tmp_path):
    """With other hash seeds too: nothing is printed in the order of a set."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    texts = []
    for seed in ("0", "1"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, path], env=env, capture_output=True, check=True)
        texts.append(done.stdout)
    assert texts[0] == texts[1] and len(texts[0]) > 10_000


def test_names_do_not_depend_on_what_was_built_before():
    def texts():
        x = st.placeholder((None, 4), name="x")
        f = st.function([x], st.softmax(x), engine="llvm")
        told = [f.cost(), f.memory_plan, *f.kernels, *f.remarks, *(k.text for k in f.kernels)]
        explained = f.explain().split("\n", 1)[1]
        return [print_schedule(f), st.print_graph(f), f.llvm_ir, explained, *map(str, told)]

    first = texts()
    st.placeholder((None, None, None))
    assert texts() == first
    assert Path(__file__).name not in first[0] and np.ones(1).size == 1


# --- whatever the text ---------------------------------------------------------------------------


PIECES = ["", " ", "  ", "[", "(", "t0", "r0", "n", "-", "9", "over", "const ", "*", "%", '"']


@pytest.mark.parametrize("seed", range(8))
def test_damaged_loop_trees_are_read_or_refused(seed):
    """No text ends in anything but a kernel or an error that names its place."""
    x = st.placeholder((None, 5), name="x")
    i = st.placeholder((None,), "int32", name="i")
    f = st.function([x, i], st.softmax(x)[i] + st.cumsum(x, 1)[0], engine="llvm")
    texts = [k.text for k in f.kernels if k.kind == "kernel"]
    rng = np.random.default_rng(seed)
    for _ in range(300):
        text = str(rng.choice(texts))
        lines = text.splitlines()
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(len(lines)))
            where = int(rng.integers(len(lines[at]) + 1))
            piece = str(rng.choice(PIECES))
            lines[at] = lines[at][:where] + piece + lines[at][where + int(rng.integers(3)) :]
            if rng.random() < 0.2:
                lines.insert(at, lines[int(rng.integers(len(lines)))])
        try:
            parse_kernel("\n".join(lines))
        except st.SymtensorError as error:
            assert "line " in str(error)
