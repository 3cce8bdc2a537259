"""The benchmark compares right results, and says what it timed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("scipy")
FOLDER = Path(__file__).parent.parent / "benchmarks"


def measured(*options):
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(FOLDER.parent), str(FOLDER)]))
    command = [sys.executable, str(FOLDER / "measure.py"), *options]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_results_are_checked_and_timed():
    options = ["--rounds", "1", "--peers", "numpy", "--only", "2x + 1,matmul 64x,hierarchical"]
    records = measured("speed", *options)
    assert not [r for r in records if "skipped" in r]
    assert {r["contestant"] for r in records if "contestant" in r} == {"symtensor", "numpy"}
    timed = {r["work"]: r["medians"] for r in records if "medians" in r}
    assert [sorted(m) for m in timed.values()] == [["numpy", "symtensor"]] * 2 + [["symtensor"]]
    assert all(seconds > 0 for m in timed.values() for seconds in m.values())


def test_compile_times_and_memory():
    options = ["--peers", "symtensor", "--only", "MLP 64"]
    assert measured("compile", *options)[0]["seconds"] > 0
    assert measured("memory", *options)[0]["peak"] > 1 << 20
