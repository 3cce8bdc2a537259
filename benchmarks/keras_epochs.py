"""Epochs of Keras models: 2.3.1 on symtensor beside Keras 3 on TensorFlow, PyTorch and JAX, in turns.

The two Keras have one name, so each contestant is a process of its own, and Keras 2.3.1 lies in a folder
of its own, ``keras-2`` in the environment (`make bench` puts it there).
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.keras_worker import MODELS
from benchmarks.measure import SETTLE_SECONDS
from benchmarks.report import Record

ROOT = Path(__file__).parent.parent
KERAS_2 = Path(sys.prefix) / "keras-2"
BACKENDS = {
    "symtensor": "symtensor.backend",
    "tensorflow": "tensorflow",
    "torch": "torch",
    "jax": "jax",
}
TOLERANCE = 1e-3
"""Largest difference of the first epoch's loss from the median of all, relative."""


class Runner:
    """A process that trains epochs of one Keras on one backend."""

    def __init__(self, name: str, variables: Mapping[str, str]) -> None:
        self.name = name
        self.log = tempfile.TemporaryFile("w+")
        given = dict(variables, KERAS_BACKEND=BACKENDS[name])
        if name == "symtensor" and KERAS_2.is_dir():
            given["PYTHONPATH"] = os.pathsep.join([str(KERAS_2), given["PYTHONPATH"]])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.keras_worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=given,
            cwd=ROOT,
        )  # fmt: skip
        self.version = str(self.answer()["version"])

    def answer(self) -> Record:
        """Return what the process says next; raises RuntimeError with its last words if it ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.log.seek(0)
            raise RuntimeError((self.log.read().strip().splitlines() or ["it ended"])[-1][:160])
        found: Record = json.loads(line)
        return found

    def epoch(self, model: str) -> Record:
        """Train an epoch; return its seconds and its loss."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{model}\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.log.close()


def keras_epochs(
    variables: Mapping[str, str], only: str, rounds: int, peers: str = ""
) -> list[Record]:
    """Return the median seconds of an epoch of every model whose name holds one of some words.

    `peers` are names with commas between them; all of `BACKENDS` by default.
    """
    models = [name for name in MODELS if any(word in name for word in only.split("|"))]
    if not models:
        return []
    records: list[Record] = []
    runners: dict[str, Runner] = {}
    try:
        for name in BACKENDS:
            if peers and name not in ("symtensor", *peers.split(",")):
                continue
            try:
                runners[name] = Runner(name, variables)
            except RuntimeError as problem:  # not installed, or not for this Python
                records.append({"work": "Keras", "skipped": name, "why": str(problem)})
            else:
                records.append({"contestant": name, "version": runners[name].version})
        for model in models:
            records += compare(model, runners, rounds)
    finally:
        for runner in runners.values():
            runner.close()
    return records


def compare(model: str, runners: Mapping[str, Runner], rounds: int) -> list[Record]:
    """Return the record of a model, and of each contestant whose loss differs from the others'."""
    losses: dict[str, float] = {}
    records: list[Record] = []
    for name, runner in runners.items():
        try:
            losses[name] = runner.epoch(model)["loss"]
        except RuntimeError as problem:
            records.append({"work": model, "skipped": name, "why": str(problem)})
    usual = statistics.median(losses.values()) if losses else 0.0
    times: dict[str, list[float]] = {}
    for name, loss in losses.items():
        if abs(loss - usual) > TOLERANCE * usual:
            why = f"wrong: the loss is {loss:.5g}, of others {usual:.5g}"
            records.append({"work": model, "skipped": name, "why": why})
        else:
            times[name] = []
    for _ in range(rounds):
        for name, found in times.items():
            time.sleep(SETTLE_SECONDS)
            found.append(runners[name].epoch(model)["seconds"])
    medians: dict[str, Any] = {name: statistics.median(found) for name, found in times.items()}
    return [*records, {"work": model, "medians": medians}]
