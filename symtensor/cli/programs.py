"""What FILE means: IR text, or something that a Python file defines.

``graph.ir`` holds the text of `symtensor.print_graph`; ``-`` is the standard input. ``model.py:step`` runs
the file (not as ``__main__``) and takes its `step`: a compiled function, a graph, a tensor or a list of
tensors. ``model.py`` alone will do where the file defines one function.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from symtensor.definition import Definition
from symtensor.errors import ParseError, SymtensorError
from symtensor.function import Function, Input, make_function
from symtensor.inspect.text import parse_graph, print_graph
from symtensor.ir.graph import Graph, toposort
from symtensor.ir.literal import Literal
from symtensor.ir.tensor import Tensor
from symtensor.vocabulary import suggestion


class InputFault(Exception):
    """A file or an option that can't be used; its text is all that the user sees."""


@dataclass(frozen=True, slots=True)
class Program:
    """A graph with what its file says about compiling it."""

    name: str
    graph: Graph
    function: Function | None = None
    """The function, where the file defines one."""

    def compile(self, **changes: Any) -> Function:
        """Return the program compiled, with other `engine`, `passes` or `check` than it says."""
        own = None if self.function is None else self.function._definition
        definition = Definition(
            inputs=[Input(Tensor(node)) for node in self.graph.inputs],
            states=[None] * len(self.graph.inputs),
            graph=self.graph,
            structure=list(range(len(self.graph.outputs))),
            name=self.name,
            engine=None if own is None else own.engine,
            passes=None if own is None else own.passes,
            allow_downcast=True,
        )
        for name, value in changes.items():
            if value is not None:
                setattr(definition, name, value)
        return make_function(definition)


def add_file(parser: Any) -> None:
    """Add the argument that names a program."""
    parser.add_argument("file", metavar="FILE", help="IR text or model.py:name")


def add_passes(parser: Any) -> None:
    """Add the option that chooses passes; `chosen_passes` reads it."""
    parser.add_argument("--passes", help="names to run, names with - to leave out, or none")


def chosen_passes(text: str | None) -> Any:
    """Return what ``--passes`` means to `symtensor.passes.pipeline.select_passes`."""
    return [] if text == "none" else text


def load(file: str) -> Program:
    """Return the program that a FILE argument means; raises `InputFault` for what means none."""
    path, colon, name = file.rpartition(":")
    if colon and path.endswith(".py"):
        return _from_python(Path(path), name)
    if file.endswith(".py"):
        return _from_python(Path(file), "")
    return Program(Path(file).name, _from_text(file))


def read_text(file: str) -> str:
    """Return the text of a file, or of the standard input for ``-``."""
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputFault(f"{file} is no text: expected IR text or model.py:name") from None
    except OSError as error:
        raise InputFault(f"{file} can't be read: {error.strerror}") from None


def write_text(file: str | None, text: str) -> None:
    """Write text to a file, or to the standard output for None."""
    if file is None:
        print(text.rstrip("\n"))
    else:
        write_bytes(file, (text.rstrip("\n") + "\n").encode())


def write_bytes(file: str, data: bytes) -> None:
    """Write a file."""
    try:
        Path(file).write_bytes(data)
    except OSError as error:
        raise InputFault(f"{file} can't be written: {error.strerror}") from None


def graph_text(graph: Graph) -> str:
    """Return the text of a graph; raises `InputFault` where it could not be read back."""
    literals: list[Literal] = []
    text = print_graph(graph, literals=literals)
    if literals:
        raise InputFault(
            f"the graph holds {len(literals)} constants too large for text: make them placeholders"
        )
    return text


def _from_text(file: str) -> Graph:
    text = read_text(file)
    try:
        return parse_graph(text, file=None if file == "-" else file)
    except ParseError as error:
        place = error.message.removeprefix("line ").split(",", 1)[0]
        lines = text.splitlines()
        shown = lines[int(place) - 1].strip() if place.isdigit() and lines else ""
        hint = f"\n  help: {error.help}" if error.help else ""
        raise InputFault(
            f"error[{error.code}]: {file}: {error.message}\n  | {shown[:100]}{hint}"
        ) from None


def _from_python(path: Path, name: str) -> Program:
    values = _run(path)
    if not name:
        functions = [key for key, value in values.items() if isinstance(value, Function)]
        if len(functions) != 1:
            known = f"it defines {', '.join(functions)}" if functions else "it defines no function"
            raise InputFault(f"{path}: say which: {path}:name; {known}")
        name = functions[0]
    if name not in values:
        public = [key for key in values if not key.startswith("_")]
        raise InputFault(f"{path} defines no {name!r}{suggestion(name, public)}")
    return _program(f"{path.stem}:{name}", values[name])


def _run(path: Path) -> dict[str, Any]:
    """Return the globals of a Python file after it has run."""
    import runpy

    if not path.is_file():
        raise InputFault(f"{path} can't be read: no such file")
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        return runpy.run_path(str(path), run_name=path.stem)
    except SymtensorError:
        raise
    except Exception as error:
        import traceback

        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).name == path.name]
        line = f":{own[-1].lineno}" if own else ""
        text = f"{type(error).__name__}: {error}"
        raise InputFault(f"{path}{line} fails when it runs: {text}") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))


def _program(name: str, value: Any) -> Program:
    if isinstance(value, Function):
        return Program(name, value.graph, value)
    if isinstance(value, Graph):
        return Program(name, value)
    outputs = list(value) if isinstance(value, (list, tuple)) else [value]
    if not outputs or not all(isinstance(x, Tensor) for x in outputs):
        raise InputFault(f"{name} is no function, graph or tensor: found {value!r:.80}")
    roots = [x.node for x in outputs]
    inputs = [node for node in toposort(roots) if node.op.name == "placeholder"]
    return Program(name, Graph(tuple(inputs), tuple(roots)))
