"""Commands about graphs: ``opt`` and ``diff``."""

from __future__ import annotations

from typing import Any

from symtensor.cli.programs import add_file, add_passes, chosen_passes, graph_text, load, write_text
from symtensor.cli.text import example
from symtensor.inspect.difference import graph_difference
from symtensor.inspect.text import print_graph
from symtensor.ir.graph import Graph
from symtensor.passes.pipeline import Stage, run_pipeline


def add(commands: Any) -> None:
    """Add the parsers."""
    parser = commands.add_parser(
        "opt",
        help="run passes over a graph and print the result",
        description="Run passes over a graph and print the result as IR text.",
        epilog=example(
            "opt graph.ir",
            "opt model.py:step --passes=fold_constants,algebra --print-after-all --verify-each",
            "opt graph.ir --passes=-stabilize -o optimized.ir",
        ),
    )
    add_file(parser)
    add_passes(parser)
    parser.add_argument(
        "--print-after-all",
        action="store_true",
        help="print the graph after each pass that changed it",
    )
    parser.add_argument("--verify-each", action="store_true", help="verify it after each pass")
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write the result")
    parser.set_defaults(run=opt)

    parser = commands.add_parser(
        "diff",
        help="show how two graphs differ",
        description="Compare two graphs by structure: names and order do not matter, only what is "
        "computed. Exit code 1 when they differ.",
        epilog=example("diff graph.ir optimized.ir", "diff model.py:step model.py:loss"),
    )
    parser.add_argument("first", metavar="A", help="IR text or model.py:name")
    parser.add_argument("second", metavar="B", help="IR text or model.py:name")
    parser.set_defaults(run=diff)


def opt(options: Any) -> int:
    """Run passes."""
    graph = load(options.file).graph
    stages = run_pipeline(graph, chosen_passes(options.passes), verify=options.verify_each)
    if options.print_after_all:
        for stage in stages:
            print(_heading(stage))
            if stage.changed:
                print(print_graph(stage.graph))
    result: Graph = stages[-1].graph if stages else graph
    if options.output is not None:
        write_text(options.output, graph_text(result))
    elif not options.print_after_all:
        write_text(None, print_graph(result))
    return 0


def _heading(stage: Stage) -> str:
    if not stage.changed:
        return f"# {stage.name}: no change"
    fired = ", ".join(f"{rule} x{count}" for rule, count in stage.fired.items())
    return f"# {stage.name}: {stage.before} -> {stage.after} nodes{f' ({fired})' if fired else ''}"


def diff(options: Any) -> int:
    """Compare two graphs."""
    found = graph_difference(load(options.first).graph, load(options.second).graph)
    print(
        "\n".join([f"--- {options.first}", f"+++ {options.second}", *found]) if found else "equal"
    )
    return 1 if found else 0
