"""The command line: ``python -m symtensor COMMAND …``.

One file per group of commands; each adds its parsers in `add` and does the work in functions that take
the parsed options and return the exit code. `main` puts them together and turns errors into text.
Programs come in as IR text or as what a Python file defines (`programs`), their values from an npz file
or made up (`values`). Nothing heavy is imported before a command needs it.
"""
