"""The command ``explain``: what an error code means."""

from __future__ import annotations

from typing import Any

from symtensor.cli.text import example, table


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
    from symtensor import error_codes

    if options.markdown:
        print(error_codes.document(), end="")
    elif options.code:
        print(error_codes.explain(options.code))
    else:
        print(table([(entry.code, entry.title) for entry in error_codes.EXPLANATIONS.values()]))
    return 0
