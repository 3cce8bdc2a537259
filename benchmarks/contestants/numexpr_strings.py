"""numexpr: expressions as strings."""

import importlib
from collections.abc import Sequence
from typing import Any

from benchmarks.contestants.contestant import Contestant, Program
from benchmarks.workloads.workload import Workload

EXPRESSIONS = {
    "2x + 1, 10 numbers": "2 * a + 1",
    "tanh(2a+b) exp(-a) + sin b, 4M": "tanh(2 * a + b) * exp(-a) + sin(b)",
    "2a + b, 4M": "2 * a + b",
    "sum((a-b)^2), 4M": "sum((a - b) * (a - b))",
}


class NumExpr(Contestant):
    name = "numexpr"
    modules = ("numexpr",)

    def __init__(self, threads: int) -> None:
        self.numexpr = importlib.import_module("numexpr")
        self.numexpr.set_num_threads(threads)

    def can_run(self, work: Workload) -> bool:
        return work.name in EXPRESSIONS

    def function(self, work: Workload, arrays: Sequence[Any]) -> Program:
        given = dict(zip("ab", arrays, strict=False))
        expression = EXPRESSIONS[work.name]
        return Program(lambda: self.numexpr.evaluate(expression, local_dict=given))
