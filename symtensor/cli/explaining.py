"""The command ``explain``: what an error code means, and the page of all of them, docs/errors.md."""

from __future__ import annotations

from typing import Any

from symtensor import error_codes
from symtensor.cli.programs import InputFault
from symtensor.cli.text import example, table
from symtensor.vocabulary import suggestion

EXAMPLE = """\
error[ST0102]: matmul: inner sizes differ: 784 and 785
 --> model.py:5:5
  |
3 | x = st.placeholder((None, 784), name="x")
  |     ------------------------------------- operand 0: f32[d0, 784] placeholder 'x'
4 | w = st.variable(np.zeros((785, 10), np.float32), name="w")
  |     ------------------------------------------------------ operand 1: f32[785, 10] variable 'w'
5 | y = x @ w
  |     ^^^^^"""


def add(commands: Any) -> None:
    """Add the parser."""
    parser = commands.add_parser(
        "explain",
        help="say what an error code means",
        description="Explain an error code, with a wrong and a right program; without one, list all.",
        epilog=example("explain ST0102", "explain"),
    )
    parser.add_argument("code", nargs="?", help="as in error[ST0102]")
    parser.add_argument("--markdown", action="store_true", help="print docs/errors.md")
    parser.set_defaults(run=explain)


def explain(options: Any) -> int:
    """Print one explanation, or the list of all."""
    if options.markdown:
        print(document(), end="")
    elif options.code:
        print(find(options.code))
    else:
        print(table([(entry.code, entry.title) for entry in error_codes.EXPLANATIONS.values()]))
    return 0


def find(code: str) -> error_codes.Explanation:
    """Return the entry of a code, in any case and without "ST" too."""
    wanted = code.upper() if code.upper().startswith("ST") else f"ST{code.zfill(4)}"
    if wanted not in error_codes.EXPLANATIONS:
        raise InputFault(
            f"there is no error code {code!r}{suggestion(wanted, error_codes.EXPLANATIONS)}; "
            "python -m symtensor explain lists all codes"
        )
    return error_codes.EXPLANATIONS[wanted]


def document() -> str:
    """Return docs/errors.md."""
    head = (
        "# Error codes\n\n"
        "Written by `python -m symtensor explain --markdown`; the tests run every example. "
        "`python -m symtensor explain CODE` prints one entry.\n\n"
        "Every error prints a code, the fact, the line of yours at fault, the operands with the lines "
        "that built them, and help:\n\n"
        f"```text\n{EXAMPLE}\n```\n\n"
        "All classes derive from `symtensor.SymtensorError` and from the built-in exception of the same "
        "kind; `error.code`, `error.place` (file, line, columns), `error.op`, `error.operands` and "
        "`error.help` hold the parts. The programs below begin with\n\n"
        "```python\nimport numpy as np\nimport symtensor as st\n```"
    )
    return "\n\n".join([head, *(e.markdown() for e in error_codes.EXPLANATIONS.values())]) + "\n"
