"""The command ``reduce``: the smallest graph for which a command fails."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from symtensor.cli.programs import InputFault, add_file, graph_text, load, write_text
from symtensor.cli.text import example
from symtensor.ir.graph import Graph


def add(commands: Any) -> None:
    """Add the parser."""
    parser = commands.add_parser(
        "reduce",
        help="find the smallest graph for which a command fails",
        description="Make a graph smaller for as long as a command fails on it with the exit code that "
        "it has on the whole graph. The command gets the file of a candidate in place of {}, or at its "
        "end. Large constants become inputs.",
        epilog=example(
            "reduce failing.ir --check='python -m symtensor run {} --check' -o small.ir",
        ),
    )
    add_file(parser)
    parser.add_argument("--check", required=True, metavar="CMD", help="a command that fails")
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write the result")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds a run may take")
    parser.set_defaults(run=reduce)


class _Check:
    """Runs the command on candidates."""

    def __init__(self, command: str, folder: Path, timeout: float) -> None:
        self.words = shlex.split(command, posix=sys.platform != "win32")
        if not self.words:
            raise InputFault("--check: expected a command")
        if self.words[0] == "python":
            self.words[0] = sys.executable
        self.file = folder / "candidate.ir"
        self.timeout = timeout
        self.runs = 0

    def exit_code(self, graph: Graph) -> int | None:
        """Return what the command says of a graph; None when it does not end in time."""
        self.file.write_text(graph_text(graph) + "\n", encoding="utf-8")
        found = [word.replace("{}", str(self.file)) for word in self.words]
        if found == self.words:
            found.append(str(self.file))
        self.runs += 1
        try:
            return subprocess.run(found, capture_output=True, timeout=self.timeout).returncode
        except subprocess.TimeoutExpired:
            return None
        except OSError as error:
            raise InputFault(f"--check: {found[0]} can't be run: {error.strerror}") from None


def reduce(options: Any) -> int:
    """Reduce a graph."""
    from symtensor.testing.reduction import measure, reduce_graph, without_large_constants

    graph = without_large_constants(load(options.file).graph)
    with tempfile.TemporaryDirectory(prefix="symtensor-reduce-") as folder:
        check = _Check(options.check, Path(folder), options.timeout)
        wanted = check.exit_code(graph)
        if wanted == 0:
            print(
                f"the command succeeds on {options.file}: there is nothing to reduce",
                file=sys.stderr,
            )
            return 1
        small = reduce_graph(graph, lambda g: check.exit_code(g) == wanted, _report)
    print(
        f"{measure(graph)[0]} -> {measure(small)[0]} computed nodes, {check.runs} runs, "
        f"exit code {wanted}", file=sys.stderr,
    )  # fmt: skip
    write_text(options.output, graph_text(small))
    return 0


def _report(graph: Graph) -> None:
    from symtensor.testing.reduction import measure

    print(f"{measure(graph)[0]} computed nodes", file=sys.stderr)
