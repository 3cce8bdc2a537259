"""The benchmark times right results alone, and says what it timed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy")
from benchmarks.checking import Reference, WrongResult
from benchmarks.contestants import CONTESTANTS, Program
from benchmarks.contestants.contestant import RATE, adam
from benchmarks.limits import bandwidths, multiply_add_rate
from benchmarks.workloads import Workload, all_workloads

ROOT = Path(__file__).parent.parent
QUICK = ["--threads", "1", "--rounds", "1", "--peers", "numpy"]


def outputs_of(*command):
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    run = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
        cwd=ROOT,
    )
    return run.stdout


def test_report_of_a_tiny_run():
    text = outputs_of("benchmarks", *QUICK, "--quick", "--only", "2x + 1|matmul 64x64|hierarch")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows] == [
        "| work",
        "| 2x + 1, 10 numbers",
        "| matmul 64x64 64x64",
        "| hierarchical log-density and gradient, float64, n = 2000",
    ]
    assert rows[0][3] == "numpy"
    assert all(float(row[3]) > 0 for row in rows[1:3])
    assert rows[3][3] == "" and "Left out" not in text


def test_first_results_and_memory():
    options = ["first", "--peers", "symtensor", "--only", "MLP 64"]
    small, step = map(json.loads, outputs_of("benchmarks.measure", *options).splitlines())
    assert small["work"] == "2x + 1, 10 numbers" and small["seconds"] > 0
    assert step["seconds"] > 0 and step["peak"] > step["grown"] >= 0


def test_names_are_unique():
    for names in ([w.name for w in all_workloads()], [c.name for c in CONTESTANTS]):
        assert len(set(names)) == len(names)


def test_limits_are_measured():
    assert multiply_add_rate(1, rounds=1000) > 0
    assert all(found > 0 for found in bandwidths(2, 1000).values())


# --- what is right -------------------------------------------------------------------------------


def test_results_are_compared():
    x = np.arange(5, dtype=np.float32)
    reference = Reference(Workload("square", lambda xp, x: x * x, lambda: [x]), [x])
    reference.check(Program(lambda: x * x))
    for wrong in (x * x * 1.001, x, np.zeros(4, np.float32), np.full(5, np.nan)):
        with pytest.raises(WrongResult):
            reference.check(Program(lambda wrong=wrong: wrong))


def loss(xp, a, b, x):
    return xp.sum(xp.tanh(xp.exp(a * x) + b * b) * a)


def loss_and_gradients(a, b, x):
    """Return the loss and its derivatives, worked out on paper."""
    e = np.exp(a * x)
    t = np.tanh(e + b * b)
    slope = (1 - t * t) * a
    return loss(np, a, b, x), slope * e * x + t, slope * 2 * b


def with_parameters(kind):
    a, b, x = np.random.default_rng(0).standard_normal((3, 20)).astype(np.float32) * 0.5
    return Workload(kind, loss, lambda: [a, b, x], 2, kind), [a, b, x]


@pytest.mark.parametrize("factor, right", [(1.0, True), (1.05, False), (-1.0, False)])
@pytest.mark.parametrize("kind", ["gradient", "sgd", "adam"])
def test_gradients_are_compared(kind, factor, right):
    work, arrays = with_parameters(kind)
    value, ga, gb = loss_and_gradients(*arrays)
    gradients = [ga, factor * gb]

    def state():
        pairs = list(zip(arrays[:2], gradients, strict=True))
        if kind == "sgd":
            return [p - np.float32(RATE) * g for p, g in pairs]
        made = [adam(np.sqrt, p.astype(float), g, 0.0, 0.0, 1) for p, g in pairs]
        return [p for p, _, _ in made] + [m for _, m, _ in made]

    result = (value, *gradients) if kind == "gradient" else value
    program = Program(lambda: result, state)
    if right:
        Reference(work, arrays).check(program)
    else:
        with pytest.raises(WrongResult, match="gradient 1"):
            Reference(work, arrays).check(program)


def test_a_step_of_another_size_is_not_adams():
    work, arrays = with_parameters("adam")
    value, *gradients = loss_and_gradients(*arrays)
    params = [p - 1e-6 * np.sign(g) for p, g in zip(arrays[:2], gradients, strict=True)]
    program = Program(lambda: value, lambda: [*params, *(0.1 * g for g in gradients)])
    with pytest.raises(WrongResult, match="Adam"):
        Reference(work, arrays).check(program)
