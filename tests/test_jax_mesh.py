"""Programs on one device, on eight in several layouts, and on several processes that share them.

The devices are virtual ones of the CPU, which jax makes only before it starts: so everything runs in
processes of its own. The reference engine says what must come out.
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symtensor as st
from symtensor import checkpoint
from symtensor.errors import CheckpointError

pytest.importorskip("jax")

PROGRAM = Path(__file__).parent / "mesh_program.py"
Truth = dict[str, dict[str, Any]]


def start(devices: int, *arguments: str, program: Path = PROGRAM) -> subprocess.Popen[str]:
    flags = f"--xla_force_host_platform_device_count={devices}"
    root = str(PROGRAM.parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    env = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": path}
    return subprocess.Popen(
        [sys.executable, str(program), *arguments],
        env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> None:
    try:
        output, _ = process.communicate(timeout=100)
    finally:
        process.kill()
    assert process.returncode == 0, output


@pytest.fixture(scope="module")
def truth() -> Truth:
    """For each layout the same training by NumPy."""
    from mesh_program import LAYOUTS, deep, network

    assert set(LAYOUTS) == set(CUT)
    of = {}
    for build in (network, deep):
        step, weights, batches = build("numpy")
        losses = [step(*batch) for batch in batches]
        of[build] = {"losses": losses, **{k: w.get_value() for k, w in weights.items()}}
    return {layout: of[deep if layout.startswith("pipe") else network] for layout in LAYOUTS}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mesh")
    finish(start(8, str(folder), ",".join(CUT)))
    return folder


def check(result: Any, reference: dict[str, Any]) -> None:
    for name, wanted in reference.items():
        np.testing.assert_allclose(result[name], wanted, rtol=2e-5, atol=2e-6, err_msg=name)
    assert result["devices"] == 8
    assert result["failed"] == "IndexOutOfRange" and result["kept"]


CUT = {
    "one": {"W1": (16, 32), "b1": (32,), "W2": (32, 10)},
    "data": {"W1": (16, 32), "b1": (32,), "W2": (32, 10)},
    "tensor": {"W1": (16, 4), "b1": (4,), "W2": (4, 10)},
    "both": {"W1": (16, 8), "b1": (8,), "W2": (8, 10)},
    "annotated": {"W1": (16, 8), "b1": (8,), "W2": (8, 10)},
    "pipe": {"V": (16, 24), "W": (1, 24, 24), "b": (1, 1, 24), "U": (24, 10)},
    "pipe and data": {"V": (16, 24), "W": (2, 24, 24), "b": (2, 1, 24), "U": (24, 10)},
}
"""What each of eight devices has of the weights."""


@pytest.mark.parametrize("layout", CUT)
def test_eight_devices_give_what_one_gives(layout: str, results: Path, truth: Truth) -> None:
    result = np.load(results / f"{layout}-0.npz")
    check(result, truth[layout])
    assert {name: tuple(result[f"{name} cut"]) for name in CUT[layout]} == CUT[layout]
    programs = str(result["programs"])
    assert ("all-reduce" in programs) == (layout != "one")
    assert not re.search(r"f32\[(16,32|8,24,24)\]\S* all-gather", programs)  # weights stay apart
    text = str(result["explain"])
    assert ("cut over the mesh: x" in text) == (
        layout in ("data", "both", "annotated", "pipe and data")
    )


@pytest.mark.parametrize(("layout", "stages"), [("pipe", 8), ("pipe and data", 4)])
def test_what_moves_in_a_pipeline_goes_to_the_next_stage(
    layout: str, stages: int, results: Path
) -> None:
    moves = {
        frozenset((int(a), int(b)) for a, b in re.findall(r"{(\d+),(\d+)}", line))
        for line in str(np.load(results / f"{layout}-0.npz")["programs"]).splitlines()
        if " collective-permute(" in line and "/while/body/" in line
    }
    rings = [range(i, i + stages) for i in range(0, 8, stages)]
    onward = frozenset((i, r[(i + 1) % stages]) for r in rings for i in r)
    assert moves == {onward, frozenset((b, a) for a, b in onward)}  # forward; gradients back


@pytest.mark.parametrize("count", [2, 4])
def test_several_processes_give_what_one_gives(count: int, tmp_path: Path, truth: Truth) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    together = [
        start(8 // count, str(tmp_path), "both", address, str(count), str(number))
        for number in range(count)
    ]
    for process in together:
        finish(process)
    for number in range(count):
        result = np.load(tmp_path / f"both-{number}.npz")
        check(result, truth["both"])
        assert result["local"] == 8 // count
        assert {name: tuple(result[f"{name} cut"]) for name in CUT["both"]} == CUT["both"]
    parts = sorted(path.name for path in tmp_path.glob("both.*.safetensors"))
    assert parts == [f"both.0000{n}-of-0000{count}.safetensors" for n in range(count)]
    check_resumed(tmp_path / "both.safetensors", "both", truth["both"])
    last = tmp_path / "both end.safetensors"
    np.testing.assert_array_equal(checkpoint.read(last)[0]["W1"], result["W1"])
    shutil.copy(tmp_path / parts[0], tmp_path / parts[0].replace("both", "both end"))
    with pytest.raises(CheckpointError, match="of different saves"):  # though the texts are equal
        checkpoint.read(last)


@pytest.mark.parametrize("layout", CUT)
def test_any_layout_can_be_resumed_without_devices(
    layout: str, results: Path, truth: Truth
) -> None:
    check_resumed(results / f"{layout}.safetensors", layout, truth[layout])


def check_resumed(path: Path, layout: str, reference: dict[str, Any]) -> None:
    """Go on from a checkpoint by NumPy, on no devices at all."""
    from mesh_program import network_of, variables

    step, _, batches = network_of(layout, "numpy")
    start = int(checkpoint.load(path, variables(step))["step"])
    losses = [step(*batch) for batch in batches[start:]]
    np.testing.assert_allclose(losses, reference["losses"][start:], rtol=2e-5)


def test_next_values_live_where_their_variables_do(tmp_path: Path) -> None:
    program = """
import numpy as np, symtensor as st
from symtensor.engines.jax import JaxEngine
engine = JaxEngine(mesh={"model": 2}, shardings={"w": ("model", None)})
w, v = (st.variable(np.full((2, 3), n), name=name) for n, name in ((1.0, "w"), (3.0, "v")))
grow = st.function([], w, updates=[(w, 2 * w)], engine=engine)
swap = st.function([], updates=[(w, v), (v, w)], engine=engine)
for call in (grow, swap, grow, swap, grow):
    call()
assert (w.get_value() == 4.0).all() and (v.get_value() == 6.0).all(), (w.get_value(), v.get_value())
places = [x.store.elsewhere_or_array().array.sharding.spec for x in (w, v)]
assert "model" in places[0] and "model" not in places[1], places
"""
    path = tmp_path / "program.py"
    path.write_text(program, encoding="utf-8")
    finish(start(2, program=path))


def test_call_outs_of_large_values_do_not_block_devices(tmp_path: Path) -> None:
    program = """
import numpy as np, symtensor as st
from symtensor.engines.jax import JaxEngine
x = st.placeholder((None, 64), name="x", shard=("batch", None))
w = st.variable(np.ones((64, 64), "f4"), name="w")
y = st.polygamma(1, st.abs(x @ w) + 1.0)
given = np.random.default_rng(0).random((1024, 64)).astype("f4")
engine = JaxEngine(mesh={"batch": 8})
f = st.function([x], [st.mean(y), y], updates=[(w, w * 0.5)], engine=engine)
g = st.function([x], [st.mean(y), y], engine="numpy")
for _ in range(3):
    wanted = g(given)
    for a, b in zip(f(given), wanted):
        np.testing.assert_allclose(a, b, rtol=1e-4)
text = f.explain()
assert "2 XLA program(s)" in text and "call-out to NumPy: polygamma" in text, text
"""
    path = tmp_path / "program.py"
    path.write_text(program, encoding="utf-8")
    finish(start(8, program=path))


# --- what a layout may not be --------------------------------------------------------------------


def test_wrong_layouts_are_refused() -> None:
    from symtensor.engines.jax import JaxEngine

    x = st.placeholder((None, 3), name="x")
    with pytest.raises(st.EngineError, match="needs 4096 devices") as caught:
        JaxEngine(mesh={"batch": 4096})
    assert "xla_force_host_platform_device_count=4096" in str(caught.value)
    with pytest.raises(st.EngineError, match="shardings need a mesh"):
        JaxEngine(shardings={x: ("batch", None)})
    for spec in (("rows", None), ("batch", "batch")):
        with pytest.raises(st.EngineError, match="does not name distinct axes"):
            JaxEngine(mesh={"batch": 1}, shardings={x: spec})
    with pytest.raises(st.EngineError, match="has 2 axes, its sharding"):
        JaxEngine(mesh={"batch": 1}, shardings={x: ("batch",)})
    with pytest.raises(st.EngineError, match="'x' has 2 axes, its sharding"):
        st.function([x], x, engine=JaxEngine(mesh={"batch": 1}, shardings={"x": ("batch",)}))
    for mesh in ({"batch": 0}, {"batch": 1.0}, 8):
        with pytest.raises(st.EngineError, match="positive sizes by name"):
            JaxEngine(mesh=mesh)
    for spec in ("batch", {"batch"}, 3, ("batch", 1), (("batch",), None)):
        with pytest.raises(st.EngineError, match=r"sharding .*'x'"):
            JaxEngine(mesh={"batch": 1}, shardings={"x": spec})  # type: ignore[dict-item]
    for shardings in ({3: ("batch",)}, [x]):
        with pytest.raises(st.EngineError, match="expected"):
            JaxEngine(mesh={"batch": 1}, shardings=shardings)  # type: ignore[arg-type]


def test_a_misspelled_name_is_told_and_that_of_another_function_is_not() -> None:
    from symtensor.engines.jax import JaxEngine

    images = st.placeholder((None, 3), name="images")
    w1, w2 = (st.variable(np.ones(3), name=name) for name in ("w1", "w2"))
    for wrong in ("image", "Images"):
        engine = JaxEngine(mesh={"batch": 1}, shardings={wrong: ("batch", None)})
        with pytest.raises(st.EngineError, match=r"did you mean 'images'\?"):
            st.function([images], images, engine=engine)
    shardings = {"images": ("batch", None), "labels": ("batch",), "w2": ("batch",)}
    engine = JaxEngine(mesh={"batch": 1}, shardings=shardings)  # type: ignore[arg-type]
    f = st.function([images], images * w1, engine=engine)
    assert "not here: labels, which shardings name\nnot here: w2" in f.explain()
    assert "not here" not in st.function([], w2, engine=JaxEngine(mesh={"batch": 1})).explain()


def test_shardings_of_the_engine_go_before_those_of_the_program() -> None:
    from symtensor.engines.jax import JaxEngine

    x = st.placeholder((None, 3), name="x", shard=("batch", "model"))

    def cut(**options: Any) -> str:
        f = st.function([x], x + 1, engine=JaxEngine(**options))
        np.testing.assert_array_equal(f(np.zeros((2, 3), "f4")), np.ones((2, 3)))
        return "".join(re.findall(r"cut over the mesh: x \S+ 3\] (.*)", f.explain()))

    assert cut() == ""
    assert cut(mesh={"batch": 1}) == "('batch', None)"  # there is no axis model
    assert cut(mesh={"batch": 1, "model": 1}) == "('batch', 'model')"
    assert cut(mesh={"rows": 1}, shardings={x: (None, "rows")}) == "(None, 'rows')"
    for key in (x, "x"):
        assert cut(mesh={"batch": 1}, shardings={key: None}) == ""


def test_a_function_on_a_mesh_is_pickled_with_its_layout() -> None:
    import jax

    from symtensor.engines.jax import JaxEngine

    x = st.placeholder((None, 3), name="x")
    w = st.variable(np.ones((3, 2), "f4"), name="w")
    shardings: Any = {x: ("batch", None), "w": (None, "model")}
    engine = JaxEngine(mesh={"batch": 1, "model": 1}, shardings=shardings)
    f = st.function([x], x @ w, updates=[(w, 2 * w)], engine=engine)
    for g in (pickle.loads(pickle.dumps(f)), f.copy(share_memory=False)):
        assert g(np.ones((4, 3), "f4"))[0, 0] == 3 and w.get_value()[0, 0] == 1
        lines = [line.split("]")[-1] for line in g.explain().splitlines() if "cut over" in line]
        assert lines == [" ('batch', None)", " (None, 'model')"]
    for devices in (jax.sharding.Mesh(np.array(jax.devices()[:1]), ("batch",)), None):
        g = pickle.loads(pickle.dumps(st.function([x], x, engine=JaxEngine(mesh=devices))))
        assert g.engine.placement.mesh == devices


def test_layouts_find_their_devices_elsewhere(tmp_path: Path) -> None:
    program = """
import pathlib, pickle, sys
import jax, numpy as np, symtensor as st
from symtensor.engines.jax import JaxEngine
folder = pathlib.Path(sys.argv[1])
if len(jax.devices()) == 4:
    last = jax.sharding.Mesh(np.array(jax.devices()[2:]), ("batch",))
    engines = [JaxEngine(mesh={"batch": 4}), JaxEngine(mesh=last), JaxEngine(device=jax.devices()[3])]
    assert pickle.loads(pickle.dumps(engines[1])).placement.mesh == last
    assert pickle.loads(pickle.dumps(engines[2])).placement.device == jax.devices()[3]
    for i, engine in enumerate(engines):
        (folder / str(i)).write_bytes(pickle.dumps(engine))
else:
    for i, told in enumerate(["needs 4 devices, found 2", "devices [2, 3], found", "devices [3], found"]):
        try:
            pickle.loads((folder / str(i)).read_bytes())
        except st.EngineError as error:
            assert told in str(error), error
        else:
            raise AssertionError(told)
"""
    path = tmp_path / "program.py"
    path.write_text(program, encoding="utf-8")
    for devices in (4, 2):
        finish(start(devices, str(tmp_path), program=path))
