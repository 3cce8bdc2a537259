"""What each error code means: the table behind `python -m symtensor explain` and docs/errors.md.

Codes never change their meaning and are never used again for another one. The first two digits say
the theme: 01 shapes, 02 dtypes, 03 attributes and names, 04 indices, 05 values that do not exist yet,
06 gradients (`expressions`), 07 functions and their calls, 08 updates, 09 data that ops refuse, 10 and
11 IR, 12 and 13 engines, 14 configuration, 15 self-check, 16 checkpoints (`programs`). `wrong` is a
program that gives the error and `right` the same program mended; the tests run both. Only the command
line imports it.
"""

from __future__ import annotations

from symtensor.error_codes.explanation import Explanation
from symtensor.error_codes.expressions import EXPRESSIONS
from symtensor.error_codes.programs import PROGRAMS

EXPLANATIONS = {row.code: row for row in (*EXPRESSIONS, *PROGRAMS)}

__all__ = ["EXPLANATIONS", "Explanation"]
