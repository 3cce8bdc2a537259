"""One program on one device, on eight in several layouts, and on two processes with four each.

The devices are virtual ones of the CPU, which jax makes only before it starts: so everything runs in
processes of its own. The reference engine says what must come out.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symtensor as st
from symtensor import checkpoint

pytest.importorskip("jax")

PROGRAM = Path(__file__).parent / "mesh_program.py"
WEIGHTS = ("W1", "b1", "W2")


def start(devices: int, *arguments: str) -> subprocess.Popen[str]:
    flags = f"--xla_force_host_platform_device_count={devices}"
    root = str(PROGRAM.parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    env = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": path}
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *arguments],
        env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> None:
    try:
        output, _ = process.communicate(timeout=100)
    finally:
        process.kill()
    assert process.returncode == 0, output


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    """The same training by NumPy."""
    from mesh_program import LAYOUTS, network

    assert set(LAYOUTS) == {"one", "data", "tensor", "both"}
    step, weights, batches = network("numpy")
    losses = [step(*batch) for batch in batches]
    return {"losses": losses, **{k: w.get_value() for k, w in weights.items()}}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mesh")
    finish(start(8, str(folder), "one,data,tensor,both"))
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
}


@pytest.mark.parametrize("layout", CUT)
def test_eight_devices_give_what_one_gives(
    layout: str, results: Path, reference: dict[str, Any]
) -> None:
    result = np.load(results / f"{layout}-0.npz")
    check(result, reference)
    assert {name: tuple(result[f"{name} cut"]) for name in WEIGHTS} == CUT[layout]
    assert bool(result["reduces"]) == (layout != "one")
    text = str(result["explain"])
    assert ("cut over the mesh: x" in text) == (layout in ("data", "both"))


def test_two_processes_give_what_one_gives(tmp_path: Path, reference: dict[str, Any]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    together = [start(4, str(tmp_path), "both", address, "2", str(n)) for n in range(2)]
    for process in together:
        finish(process)
    for number in range(2):
        result = np.load(tmp_path / f"both-{number}.npz")
        check(result, reference)
        assert result["local"] == 4
        assert {name: tuple(result[f"{name} cut"]) for name in WEIGHTS} == CUT["both"]
    parts = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert parts == [f"both.0000{n}-of-00002.safetensors" for n in range(2)]
    check_resumed(tmp_path / "both.safetensors", reference)


@pytest.mark.parametrize("layout", CUT)
def test_any_layout_can_be_resumed_without_devices(
    layout: str, results: Path, reference: dict[str, Any]
) -> None:
    check_resumed(results / f"{layout}.safetensors", reference)


def check_resumed(path: Path, reference: dict[str, Any]) -> None:
    """Go on from a checkpoint by NumPy, on no devices at all."""
    from mesh_program import network, variables

    step, _, batches = network("numpy")
    start = int(checkpoint.load(path, variables(step))["step"])
    losses = [step(*batch) for batch in batches[start:]]
    np.testing.assert_allclose(losses, reference["losses"][start:], rtol=2e-5)


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
