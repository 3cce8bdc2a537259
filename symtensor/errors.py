"""Exceptions.

Every error a user can see derives from `SymtensorError` *and* from the built-in exception that
NumPy raises for the same mistake, so existing ``except ValueError`` clauses keep working. A rule
raises with the bare fact ("inner sizes differ: 784 and 785"); whoever knows the node adds the rest
once, through `add_context`: the op, its operand types and the user's line.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from symtensor.ir.location import Location


class SymtensorError(Exception):
    """Base of all symtensor errors; prints fact, operands, the user's line and a help line."""

    def __init__(self, message: str, *, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        self.op: str | None = None
        self.operands: tuple[str, ...] = ()
        self.location: Location | None = None
        self._raised_for = _user_line()

    def add_context(
        self, op: str, operands: Sequence[str] = (), location: Location | None = None
    ) -> None:
        """Attach the op, its operand types and the user's line; the innermost context wins."""
        if self.op is None:
            self.op = op
            self.operands = tuple(operands)
            self.location = location

    def __str__(self) -> str:
        lines = [f"{self.op}: {self.message}" if self.op else self.message]
        if self.location is not None:
            lines.append(f"  --> {self.location.describe()}")
        elif self._raised_for is not None:
            file, line = self._raised_for
            lines.append(f"  --> {file}:{line}   {linecache.getline(file, line).strip()}".rstrip())
        lines += [f"  operand {i}: {text}" for i, text in enumerate(self.operands)]
        if self.help:
            lines.append(f"  help: {self.help}")
        return "\n".join(lines)


def _user_line() -> tuple[str, int] | None:
    """Return file and line of the innermost frame outside symtensor, if there is one."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] != "symtensor":
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return None


class ShapeError(SymtensorError, ValueError):
    """Shapes that do not fit together, when building or when calling."""


class DTypeError(SymtensorError, TypeError):
    """An operand of a dtype that the op does not accept."""


class AttributeValueError(SymtensorError, ValueError):
    """An op argument (axis, mode, size…) outside its allowed values."""


class IndexOutOfRange(SymtensorError, IndexError):
    """A data-dependent index outside its axis."""


class OutOfRangeError(SymtensorError, OverflowError):
    """A Python integer that the dtype of the tensor it meets can't hold."""


class LinAlgError(SymtensorError, ValueError):
    """A matrix on which a linear-algebra op has no result (singular, not positive definite)."""


class AssertionFailed(SymtensorError, AssertionError):
    """An `assert_` op found a false condition at run time."""


class SymbolicValueError(SymtensorError, TypeError):
    """A symbolic tensor was used where Python needs a value (bool, float, len, iteration)."""


class GradientError(SymtensorError, ValueError):
    """A gradient that does not exist or was asked for in a way that has no meaning."""


class FunctionError(SymtensorError, TypeError):
    """A wrong call of `function` or of a compiled function."""


class UpdateError(SymtensorError, ValueError):
    """An update list that has no meaning (two updates of one variable, wrong type…)."""


class UnusedInputError(FunctionError):
    """An input that no output and no update needs."""


class MissingInputError(FunctionError):
    """A placeholder that the outputs need and that is not among the inputs."""


class VerifyError(SymtensorError):
    """A graph that breaks an IR invariant; names the pass that broke it."""


class ParseError(SymtensorError, ValueError):
    """Text that is not symtensor IR; names line and column."""


class LoweringError(SymtensorError):
    """An engine met something that it cannot translate."""


class EngineError(SymtensorError, ValueError):
    """An unknown engine or one that cannot run here."""


class ConfigError(SymtensorError, ValueError):
    """An unknown or malformed configuration setting."""


class SymtensorWarning(UserWarning):
    """Base of all symtensor warnings."""
