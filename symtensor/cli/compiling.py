"""Commands about what programs become: ``compile`` and ``explore``."""

from __future__ import annotations

import sys
from typing import Any

from symtensor.cli.programs import (
    InputFault,
    Program,
    add_file,
    add_passes,
    chosen_passes,
    load,
    write_bytes,
    write_text,
)
from symtensor.cli.text import example
from symtensor.cli.values import add_value_options, values_of
from symtensor.errors import LoweringError, OutputError
from symtensor.inspect.text import print_graph, print_schedule

LEVELS = ("graph", "schedule", "loops", "llvm", "asm", "obj")
FOR_TARGETS = ("llvm", "asm", "obj")
"""Levels that are made for other machines too."""


def add(commands: Any) -> None:
    """Add the parsers."""
    parser = commands.add_parser(
        "compile",
        help="print what a program becomes, from graph to machine code",
        description="Compile a program with the llvm engine and print one of its levels.",
        epilog=example(
            "compile graph.ir --emit=schedule",
            "compile model.py:step --emit=loops",
            "compile model.py:step --emit=asm --target=neon -o step.s",
            "compile graph.ir --emit=obj -o graph.o",
        ),
    )
    add_file(parser)
    parser.add_argument(
        "--emit", choices=LEVELS, default="schedule", help="the level; default: schedule"
    )
    parser.add_argument(
        "--target", help="avx512, avx2, sse2, neon, apple or windows instead of this machine"
    )
    add_passes(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write it")
    parser.set_defaults(run=compile_program)

    parser = commands.add_parser(
        "explore",
        help="write a page that shows every step from formula to machine code",
        description="Write a self-contained HTML page: graph, passes, kernels, loops, code.",
        epilog=example(
            "explore model.py:step -o step.html",
            "explore model.py:step --sizes 1000 --profile -o step.html",
        ),
    )
    add_file(parser)
    add_value_options(parser)
    parser.add_argument("--profile", action="store_true", help="run it, and show where time goes")
    parser.add_argument("-o", "--output", metavar="HTML", default="explore.html")
    parser.set_defaults(run=explore)


def compile_program(options: Any) -> int:
    """Print or write one level."""
    program = load(options.file)
    if options.emit in FOR_TARGETS:
        return _emit_code(program, options)
    if options.target is not None:
        raise InputFault(f"--target is for --emit={', '.join(FOR_TARGETS)}, not {options.emit}")
    function = program.compile(engine="llvm", passes=chosen_passes(options.passes))
    if options.emit == "graph":
        text = print_graph(function)
    elif options.emit == "schedule":
        text = print_schedule(function)
    else:
        text = "\n\n".join(dict.fromkeys(k.text for k in function.kernels if k.text))
    write_text(options.output, text)
    return 0


def _emit_code(program: Program, options: Any) -> int:
    from symtensor.codegen.jit import compile_object, emit_assembly
    from symtensor.codegen.program import build_program
    from symtensor.codegen.target import host, named
    from symtensor.passes.pipeline import optimize

    try:
        target = host() if options.target is None else named(options.target)
    except LoweringError as error:
        raise InputFault(f"--target: {error.message}") from None
    passes = chosen_passes(options.passes)
    if passes is None and program.function is not None:
        passes = program.function._definition.passes
    text = build_program(optimize(program.graph, passes), target).llvm_ir
    if options.emit == "llvm":
        write_text(options.output, text)
    elif options.emit == "asm":
        write_text(options.output, emit_assembly(text, target))
    elif options.output is not None:
        write_bytes(options.output, compile_object(text, target))
    elif sys.stdout.isatty():
        raise InputFault("an object file is no text: write it with -o FILE")
    else:
        sys.stdout.buffer.write(compile_object(text, target))
    return 0


def explore(options: Any) -> int:
    """Write the explorer's page."""
    program = load(options.file)
    function = program.compile(engine="llvm", check=frozenset())
    arguments = values_of(options).arguments(program.graph)
    profile = function.profile(*arguments) if options.profile else None
    try:
        function.explore(options.output, *arguments, profile=profile)
    except OutputError as error:
        raise InputFault(error.message) from None
    print(f"wrote {options.output}")
    return 0
