"""Commands that run programs: ``run`` and ``bench``."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from symtensor.cli.programs import InputFault, Program, add_file, add_passes, chosen_passes, load
from symtensor.cli.text import example, seconds, table
from symtensor.cli.values import add_value_options, values_of
from symtensor.ir.printer import label_graph
from symtensor.ops.variables import variable_of


def add(commands: Any) -> None:
    """Add the parsers."""
    parser = commands.add_parser(
        "run",
        help="run a program once and print its results",
        description="Run a program once. Values that are not given are made up from a seed.",
        epilog=example(
            "run graph.ir --sizes 4",
            "run model.py:step --inputs inputs.npz --check",
            "run model.py:step --inputs inputs.npz --engine=numpy -o results.npz",
        ),
    )
    add_file(parser)
    add_value_options(parser)
    parser.add_argument("--engine", help="name of the engine; default: the program's")
    add_passes(parser)
    parser.add_argument(
        "--check", nargs="?", const="1", metavar="CHECKS",
        help="compare with the reference, look for NaN and memory faults; or names of the checks",
    )  # fmt: skip
    parser.add_argument("-o", "--output", metavar="NPZ", help="where to write the results")
    parser.set_defaults(run=run)

    parser = commands.add_parser(
        "bench",
        help="time a program",
        description="Time compiling and calling a program.",
        epilog=example(
            "bench graph.ir --sizes 1000 --repeat 20", "bench model.py:step --engines=llvm,numpy"
        ),
    )
    add_file(parser)
    add_value_options(parser)
    parser.add_argument("--engines", default="llvm,numpy", help="names; default: llvm,numpy")
    parser.add_argument("--repeat", type=int, default=50, help="calls that are timed")
    parser.set_defaults(run=bench)


def run(options: Any) -> int:
    """Run a program once."""
    from symtensor.config import checks, get

    program = load(options.file)
    wanted = get("check") if options.check is None else checks(options.check)
    function = program.compile(
        engine=options.engine, passes=chosen_passes(options.passes), check=wanted
    )
    arguments = values_of(options).arguments(program.graph)
    results = function(*arguments)
    named = {f"output_{i}": value for i, value in enumerate(results)}
    labels = label_graph(program.graph)
    for variable, _ in program.graph.updates:
        named[labels.node(variable)[1:]] = variable_of(variable).get_value()
    for name, value in named.items():
        print(f"{name} = {value.dtype} {list(value.shape)}")
        print(np.array2string(value, threshold=50, edgeitems=3, prefix="  ", max_line_width=100))
    if options.output is not None:
        try:
            np.savez(options.output, **named)
        except OSError as error:
            raise InputFault(f"{options.output} can't be written: {error.strerror}") from None
    return 0


def bench(options: Any) -> int:
    """Time a program on some engines."""
    program = load(options.file)
    if options.repeat < 1:
        raise InputFault(f"--repeat: expected at least 1, found {options.repeat}")
    engines = [name for name in options.engines.split(",") if name]
    head = ("engine", "compile", "first call", "median call", "fastest", "calls")
    print(table([head, *(_time(program, engine, options) for engine in engines)]))
    return 0


def _time(program: Program, engine: str, options: Any) -> tuple[str, ...]:
    start = time.perf_counter()
    function = program.compile(engine=engine, check=frozenset())
    compiled = time.perf_counter()
    arguments = values_of(options).arguments(program.graph)
    begin = time.perf_counter()
    function(*arguments)
    first = time.perf_counter() - begin
    times = []
    for _ in range(options.repeat):
        begin = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - begin)
    shown = [compiled - start, first, statistics.median(times), min(times)]
    return (engine, *map(seconds, shown), str(len(times)))
