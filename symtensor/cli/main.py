"""Parsing the command line, and what becomes of errors.

Exit codes: 0 all is well; 1 the program failed, or what was looked for is there (a difference, a broken
installation); 2 the command or a file can't be used; 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from symtensor.cli import compiling, explaining, machine, passes, reducing, running
from symtensor.cli.programs import InputFault
from symtensor.errors import SymtensorError
from symtensor.vocabulary import suggestion

GROUPS = (machine, passes, compiling, running, reducing, explaining)
EXIT_CODES = """\
exit codes:
  0    all is well
  1    the program failed, or what was looked for is there: a difference, a broken installation
  2    the command line or a file can't be used
"""


class Parser(argparse.ArgumentParser):
    """A parser whose errors say what was meant."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**options)

    def error(self, message: str) -> NoReturn:
        found = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if found:
            known = re.findall(r"[\w-]+", found[2])
            message += suggestion(found[1], known)
        super().error(message)


def make_parser() -> Parser:
    """Return the parser of all commands."""
    parser = Parser(
        prog="python -m symtensor",
        description="Look at what symtensor makes of programs, run, compare, time and reduce them.",
        epilog=f"FILE is IR text (symtensor.print_graph) or model.py:name.\n\n{EXIT_CODES}",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for group in GROUPS:
        group.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    options = make_parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except InputFault as fault:
        print(f"symtensor: {fault}", file=sys.stderr)
        return 2
    except SymtensorError as error:
        print(error, file=sys.stderr)
        for note in getattr(error, "__notes__", ()):
            print(f"   = {note}", file=sys.stderr)
        return 2 if error.code.startswith(("ST10", "ST13", "ST14", "ST16")) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
