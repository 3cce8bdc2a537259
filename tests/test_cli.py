"""The command line: examples of the help texts and of the docs run; bad input is told, not traced back."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import symtensor as st
from symtensor.cli.main import main, make_parser
from symtensor.testing.reduction import measure, reduce_graph, tidy

ROOT = Path(__file__).parent.parent
MODEL = """\
import numpy as np
import symtensor as st

x = st.placeholder((None, 3), name="x")
y = st.placeholder((None,), name="y")
w = st.variable(np.zeros(3, np.float32), name="w")
loss = st.mean(st.square(x @ w - y))
step = st.function([x, y], loss, updates=[(w, w - 0.1 * st.gradients(loss, w))])
"""
FAILING = """\
graph {
  %x = placeholder : f32[n]
  %y = placeholder : f32[n]
  %0 = exp %y : f32[n]
  %1 = log %x : f32[n]
  %2 = add %0, %1 : f32[n]
  inputs %x, %y
  outputs %2, %0
}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder with the files that examples name, made the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "failing.ir").write_text(FAILING)
    names = {"x": np.ones((4, 3), "f"), "y": np.arange(4, dtype="f")}
    np.savez(tmp_path / "inputs.npz", **names)
    main(["opt", "model.py:step", "--passes=none", "-o", "graph.ir"])
    main(["opt", "graph.ir", "-o", "optimized.ir"])
    return tmp_path


def run(capsys, *arguments):
    """Return exit code, output and errors of a command line."""
    try:
        code = main(arguments)
    except SystemExit as end:  # argparse
        code = end.code
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def commands():
    actions = [a for a in make_parser()._actions if a.dest == "command"]
    return actions[0].choices


def examples_of_help():
    for name, parser in commands().items():
        lines = re.findall(r"^  python -m symtensor (.+)$", parser.format_help(), re.M)
        assert lines, f"{name} shows no example"
        yield from lines


def examples_of_docs():
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    return re.findall(r"^\$ python -m symtensor (.+)$", text, re.M)


# --- examples ------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", dict.fromkeys([*examples_of_help(), *examples_of_docs()]))
def test_examples_run(folder, capsys, monkeypatch, line):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for commands that start others
    capsys.readouterr()
    code, out, err = run(capsys, *shlex.split(line.partition("  #")[0]))
    assert code == (1 if line.startswith("diff") else 0), err
    assert out or "-o" in line, line
    for written in re.findall(r"-o (\S+)", line):
        assert (folder / written).stat().st_size > 0


def test_every_command_is_in_the_docs():
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    assert [name for name in commands() if f"`{name}" not in text] == []


def test_it_is_a_module(folder):
    done = subprocess.run(
        [sys.executable, "-m", "symtensor", "run", "graph.ir", "--check"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0 and "output_0 = float32 []" in done.stdout, done.stderr


# --- what they do --------------------------------------------------------------------------------


def test_info_tells_versions_settings_and_passes(capsys):
    code, out, _ = run(capsys, "info")
    assert code == 0
    for part in (st.__version__, np.__version__, "num_threads = 0", "stabilize", "llvm, numpy"):
        assert part in out


def test_doctor_finds_what_is_wrong(capsys, monkeypatch, tmp_path):
    assert run(capsys, "doctor")[0] == 0
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SYMTENSOR_CACHE_DIR", str(tmp_path / "file"))
    code, out, _ = run(capsys, "doctor")
    assert code == 1 and re.search(r"wrong +cache .*can't be used\n +-> it must be yours", out)
    monkeypatch.delenv("SYMTENSOR_CACHE_DIR")
    monkeypatch.setenv("SYMTENSOR_VERIFY", "perhaps")
    code, out, _ = run(capsys, "doctor")
    assert code == 1 and "SYMTENSOR_VERIFY: verify: expected true or false" in out


def test_doctor_finds_an_engine_that_is_wrong(capsys):
    from symtensor.engines import base
    from symtensor.engines.numpy import NumpyEngine

    class Wrong(NumpyEngine):
        name = "wrong_for_a_test"

        def compile(self, graph):
            inner = super().compile(graph)
            return lambda inputs, variables: [
                np.asarray(x + 1, x.dtype) for x in inner(inputs, variables)
            ]

    st.register_engine(Wrong())
    try:
        code, out, _ = run(capsys, "doctor")
    finally:
        del base._engines["wrong_for_a_test"]
    assert code == 1 and "the engine wrong_for_a_test gives another output 0" in out


def test_cache_is_shown_and_cleared(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("SYMTENSOR_CACHE_DIR", str(tmp_path))
    x = st.placeholder((None,))
    st.function([x], st.exp(x) + 1, engine="llvm")([1.0])
    assert re.search(r"entries +[1-9]", run(capsys, "cache")[1])
    assert re.match(r"removed [1-9]\d* entries", run(capsys, "cache", "clear")[1])
    assert re.search(r"entries +0", run(capsys, "cache", "info")[1])
    monkeypatch.setenv("SYMTENSOR_CACHE", "0")
    assert "switched off" in run(capsys, "cache")[1]


def test_opt_prints_stages_and_a_result_that_reads_back(folder, capsys):
    capsys.readouterr()
    _, out, _ = run(capsys, "opt", "graph.ir")
    assert out.startswith("graph {") and st.parse_graph(out).updates
    _, out, _ = run(capsys, "opt", "graph.ir", "--print-after-all")
    assert "# fold_constants: no change" in out and re.search(r"# algebra: \d+ -> \d+ nodes", out)
    _, out, _ = run(capsys, "opt", "graph.ir", "--passes=algebra", "--print-after-all")
    assert out.count("# ") == 1


def test_run_computes_what_numpy_does(folder, capsys):
    code, out, _ = run(capsys, "run", "model.py:step", "--inputs", "inputs.npz", "-o", "out.npz")
    assert code == 0 and "w = float32 [3]" in out
    found = np.load("out.npz")
    y = np.arange(4, dtype="f")
    np.testing.assert_allclose(found["output_0"], np.mean(y**2), rtol=1e-6)
    np.testing.assert_allclose(found["w"], np.full(3, 0.1 * 2 * y.mean()), rtol=1e-6)
    for engine in ("numpy", "llvm"):
        _, out, _ = run(
            capsys, "run", "model.py:loss", "--inputs", "inputs.npz", "--engine", engine
        )
        assert "3.5" in out


def test_run_makes_up_values_by_seed_and_size(folder, capsys):
    capsys.readouterr()
    first, again = (run(capsys, "run", "graph.ir", "--sizes", "5")[1] for _ in range(2))
    other = run(capsys, "run", "graph.ir", "--sizes", "5", "--seed", "1")[1]
    assert first == again != other
    code, _, err = run(capsys, "run", "graph.ir", "--sizes", "d0=3,4")
    assert code == 1 and "--> graph.ir:6" in err and "expected shape (3,), found (4,)" in err


def test_run_check_finds_the_line_of_a_nan(folder, capsys):
    code, _, err = run(capsys, "run", "failing.ir", "--check")
    assert code == 1 and "error[ST1502]: log:" in err and "--> failing.ir:5" in err
    assert run(capsys, "run", "failing.ir", "--check=passes,engine")[0] == 0


def test_run_checks_what_the_environment_asks_for(folder, capsys, monkeypatch):
    monkeypatch.setenv("SYMTENSOR_CHECK", "1")
    code, _, err = run(capsys, "run", "failing.ir")
    assert code == 1 and "error[ST1502]: log:" in err
    assert run(capsys, "run", "failing.ir", "--check=passes,engine")[0] == 0


@pytest.mark.parametrize(
    ("level", "part"),
    [
        ("graph", "graph {"), ("schedule", "= kernel"), ("loops", "sum over"), ("llvm", "define"),
        ("asm", "kernel0"),
    ],
)  # fmt: skip
def test_compile_emits_levels(folder, capsys, level, part):
    capsys.readouterr()
    assert part in run(capsys, "compile", "graph.ir", f"--emit={level}")[1]


def test_compile_emits_code_for_other_machines(folder, capsys):
    capsys.readouterr()
    _, out, _ = run(capsys, "compile", "graph.ir", "--emit=asm", "--target=neon")
    assert re.search(r"\bfmla\b|\bfmul\b", out) and "zmm" not in out
    assert run(capsys, "compile", "graph.ir", "--emit=obj", "--target=windows", "-o", "w.o")[0] == 0
    assert Path("w.o").read_bytes()[:2] == b"\x64\x86"  # COFF for x86-64


def test_diff_sees_structure_only(folder, capsys):
    capsys.readouterr()
    other = Path("graph.ir").read_text().replace("%7", "%77").replace("d0", "rows")
    Path("renamed.ir").write_text(other)
    assert run(capsys, "diff", "graph.ir", "renamed.ir")[:2] == (0, "equal\n")
    Path("changed.ir").write_text(Path("graph.ir").read_text().replace("square", "negative"))
    code, out, _ = run(capsys, "diff", "graph.ir", "changed.ir")
    assert code == 1
    assert re.search(r"^-%\d+ = square", out, re.M) and re.search(r"^\+%\d+ = negative", out, re.M)


def test_bench_times_engines(folder, capsys):
    capsys.readouterr()
    _, out, _ = run(capsys, "bench", "graph.ir", "--repeat", "3", "--engines", "numpy,llvm")
    assert [line.split()[0] for line in out.splitlines()] == ["engine", "numpy", "llvm"]


def test_explain_lists_and_explains(capsys):
    assert "inner" not in run(capsys, "explain")[1] and "ST0102" in run(capsys, "explain")[1]
    told = run(capsys, "explain", "ST0102")[1]
    assert "Wrong:" in told and "Right:" in told
    assert run(capsys, "explain", "st0102")[1] == run(capsys, "explain", "102")[1] == told
    written = run(capsys, "explain", "--markdown")[1]
    assert written == (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")


# --- bad input -----------------------------------------------------------------------------------

BAD = [
    (["optt"], "did you mean opt"),
    (["run"], "required: FILE"),
    (["run", "missing.ir"], "missing.ir can't be read: No such file"),
    (["run", "missing.py:f"], "no such file"),
    (["run", "model.py:stepp"], "did you mean step"),
    (["run", "model.py:np"], "is no function, graph or tensor"),
    (["run", "broken.py"], "broken.py:2 fails when it runs: ZeroDivisionError"),
    (["run", "empty.py"], "it defines no function"),
    (["run", "binary.ir"], "is no text"),
    (["run", "typo.ir"], "typo.ir: line 2, column 8: there is no op named 'exq'"),
    (["run", "graph.ir", "--sizes", "n=three"], "expected name=number"),
    (["run", "graph.ir", "--sizes", "n=3"], "there is no size 'n'; sizes: d0, d1"),
    (["run", "graph.ir", "--inputs", "missing.npz"], "missing.npz can't be read"),
    (["run", "graph.ir", "--inputs", "model.py"], "is no npz file of arrays"),
    (["run", "graph.ir", "--inputs", "other.npz"], "no input is named 'xx'; did you mean x?"),
    (["run", "graph.ir", "--engine", "lvm"], "did you mean llvm"),
    (["run", "graph.ir", "--check=nans"], "did you mean nan"),
    (["run", "graph.ir", "--sizes", "99999999999999"], "does not fit into memory"),
    (["opt", "graph.ir", "--passes=algebr"], "did you mean algebra"),
    (["opt", "graph.ir", "-o", "nowhere/x.ir"], "can't be written"),
    (["compile", "graph.ir", "--emit=asm", "--target=vax"], "expected a target among avx512"),
    (["compile", "graph.ir", "--emit=loops", "--target=neon"], "--target is for"),
    (["compile", "graph.ir", "--emit=code"], "invalid choice"),
    (["bench", "graph.ir", "--repeat", "0"], "expected at least 1"),
    (["explain", "ST9999"], "no error code 'ST9999'"),
    (["reduce", "graph.ir", "--check", "no-such-command"], "no-such-command can't be run"),
    (["reduce", "graph.ir", "--check", ""], "expected a command"),
]


@pytest.mark.parametrize(("arguments", "told"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input_is_told(folder, capsys, arguments, told):
    Path("broken.py").write_text("x = 0\ny = 1 / x\n")
    Path("empty.py").write_text("")
    Path("binary.ir").write_bytes(b"\xff\xfe\x00")
    Path("typo.ir").write_text("graph {\n  %0 = exq : f32[]\n inputs outputs }")
    np.savez("other.npz", xx=np.ones(3))
    capsys.readouterr()
    code, _, err = run(capsys, *arguments)
    assert code == 2 and told in err and "Traceback" not in err, err


def test_a_program_that_fails_shows_its_line(folder, capsys):
    Path("wrong.py").write_text("import symtensor as st\nst.zeros((2, 3)) @ st.zeros((4, 5))\n")
    code, _, err = run(capsys, "run", "wrong.py:f")
    assert code == 1 and "error[ST0102]" in err and "wrong.py:2" in err


# --- reducing ------------------------------------------------------------------------------------


def holds(name):
    tried = []

    def fails(graph):
        tried.append(graph)
        return any(node.op.name == name for node in graph.nodes())

    return fails, tried


def chain(length, at, wrong=st.tan):
    x = st.placeholder((None, 3), name="x")
    y = x
    for i in range(length):
        y = wrong(y) if i == at else st.sin(y) + x
    return st.Graph((x.node,), (y.node, st.sum(y).node))


@pytest.mark.parametrize("at", [0, 57, 199])
def test_a_long_graph_is_reduced_to_the_node_that_fails(at):
    fails, tried = holds("tan")
    small = reduce_graph(chain(200, at), fails)
    assert measure(small)[0] == 1 and len(small.inputs) == 1
    assert len(tried) < 150


def test_failures_of_two_nodes_keep_both():
    x, y = st.placeholder((4,), name="x"), st.placeholder((4,), name="y")
    out = st.sum(st.exp(st.tan(x)) * st.cos(st.sin(y) + x))
    graph = st.Graph((x.node, y.node), (out.node,))
    small = reduce_graph(graph, lambda g: {"tan", "sin"} <= {n.op.name for n in g.nodes()})
    assert measure(small)[0] <= 3


def test_updates_become_outputs_and_what_does_not_fail_stays():
    v = st.variable(np.zeros(3, "f"), name="v")
    graph = st.Graph((), (), ((v.node, st.tan(v).node),))
    small = reduce_graph(graph, holds("tan")[0])
    assert not small.updates and measure(small)[0] == 1
    assert reduce_graph(graph, lambda g: False) is graph


def test_inputs_that_decide_sizes_stay():
    x, y = st.placeholder(("n",), name="x"), st.placeholder(("n",), name="y")
    graph = st.Graph((x.node, y.node), (st.zeros((st.dim("n"),)).node,))
    assert tidy(graph).inputs == (x.node,)


def test_reduce_says_when_nothing_fails(folder, capsys):
    capsys.readouterr()
    command = f"{sys.executable} -c pass"
    code, _, err = run(capsys, "reduce", "graph.ir", "--check", command)
    assert code == 1 and "there is nothing to reduce" in err
