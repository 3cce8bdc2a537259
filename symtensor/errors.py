"""Exceptions.

Every error a user can see derives from `SymtensorError` *and* from the built-in exception that
NumPy raises for the same mistake, so existing ``except ValueError`` clauses keep working. A rule
raises with the bare fact ("inner sizes differ: 784 and 785") and, where the class alone does not say
what kind of mistake it is, a stable code; `symtensor.error_codes` explains them all. Whoever knows
the node adds the rest once, through `add_context`: the op, its operands and the user's line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from symtensor.source import Label, Location, snippet, user_location


class Operand(NamedTuple):
    """What a message says of an operand: its type and name, and where it was built."""

    text: str
    place: Location | None = None


class SymtensorError(Exception):
    """Base of all symtensor errors; prints code, fact, the user's lines, operands and help."""

    code = "ST0001"
    """Which kind of mistake this is: `python -m symtensor explain CODE`."""

    def __init__(self, message: str, *, help: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        if code is not None:
            self.code = code
        self.op: str | None = None
        self.operands: tuple[Operand, ...] = ()
        self.labels: tuple[Operand, ...] = ()
        """More to say, each about a place."""
        self.location: Location | None = None
        """Where the op at fault was built."""
        self.raised_for = user_location(2)
        """Where the user's program called what raised."""

    def add_context(
        self, op: str, operands: Sequence[Operand] = (), location: Location | None = None
    ) -> None:
        """Attach the op, its operands and the user's line; the innermost context wins."""
        if self.op is None:
            self.op = op
            self.operands = tuple(operands)
            self.location = location

    @property
    def place(self) -> Location | None:
        """The user's line at fault: where the op was built, else where the call was made."""
        return self.location or self.raised_for

    def __str__(self) -> str:
        named = self.op is None or self.message.startswith(f"{self.op}:")
        lines = [f"error[{self.code}]: {self.message if named else f'{self.op}: {self.message}'}"]
        said = [(f"operand {i}: {x.text}", x.place) for i, x in enumerate(self.operands)]
        said += self.labels
        if self.place is not None:
            labels = [Label(place, text) for text, place in said if place is not None]
            lines += snippet(self.place, labels)
        bare = [text for text, place in said if place is None or self.place is None]
        lines += [f"   = {text}" for text in bare]
        call = self.raised_for
        if call is not None and self.place is not call and str(call) != str(self.place):
            lines.append(f"   = in the call at {call.describe()}")
        if self.help:
            lines.append(f"   = help: {self.help}")
        return "\n".join(lines)


class ShapeError(SymtensorError, ValueError):
    """Shapes that do not fit together, when building or when calling."""

    code = "ST0100"


class DTypeError(SymtensorError, TypeError):
    """An operand of a dtype that the op does not accept."""

    code = "ST0200"


class AttributeValueError(SymtensorError, ValueError):
    """An op argument (axis, mode, size…) outside its allowed values."""

    code = "ST0300"


class ArgumentError(SymtensorError, TypeError):
    """A function of symtensor was called with arguments that it does not take."""

    code = "ST0304"


class OutputError(SymtensorError, OSError):
    """A file that was asked for and can't be written."""

    code = "ST0308"


class UnknownNameError(SymtensorError, AttributeError):
    """A name that symtensor, or a tensor, does not have."""

    code = "ST0307"


class IndexOutOfRange(SymtensorError, IndexError):
    """A data-dependent index outside its axis."""

    code = "ST0400"


class OutOfRangeError(SymtensorError, OverflowError):
    """A Python integer that the dtype of the tensor it meets can't hold."""

    code = "ST0208"


class LinAlgError(SymtensorError, ValueError):
    """A matrix on which a linear-algebra op has no result (singular, not positive definite)."""

    code = "ST0901"


class AssertionFailed(SymtensorError, AssertionError):
    """An `assert_` op found a false condition at run time."""

    code = "ST0902"


class RuleError(SymtensorError, ValueError):
    """The `evaluate` rule of a user's op refused its operands; the rule's own error is attached."""

    code = "ST0903"


class SymbolicValueError(SymtensorError, TypeError):
    """A symbolic tensor was used where Python needs a value (bool, float, len, iteration)."""

    code = "ST0500"


class GradientError(SymtensorError, ValueError):
    """A gradient that does not exist or was asked for in a way that has no meaning."""

    code = "ST0600"


class FunctionError(SymtensorError, TypeError):
    """A wrong call of `function` or of a compiled function."""

    code = "ST0700"


class UpdateError(SymtensorError, ValueError):
    """An update list that has no meaning (two updates of one variable, wrong type…)."""

    code = "ST0800"


class UnusedInputError(FunctionError):
    """An input that no output and no update needs."""

    code = "ST0701"


class MissingInputError(FunctionError):
    """A placeholder that the outputs need and that is not among the inputs."""

    code = "ST0702"


class VerifyError(SymtensorError):
    """A graph that breaks an IR invariant; names the pass that broke it."""

    code = "ST1100"


class ParseError(SymtensorError, ValueError):
    """Text that is not symtensor IR; names line and column."""

    code = "ST1000"


class CheckError(SymtensorError):
    """A self-check found that a function does not do what it should."""

    code = "ST1500"


class NonFiniteError(CheckError, FloatingPointError):
    """A self-check found a NaN or an infinity; names where it came from."""

    code = "ST1502"


class LoweringError(SymtensorError):
    """An engine met something that it cannot translate."""

    code = "ST1200"


class EngineError(SymtensorError, ValueError):
    """An unknown engine or one that cannot run here."""

    code = "ST1300"


class CheckpointError(SymtensorError, ValueError):
    """A file that is no whole checkpoint, or holds other variables than those to restore."""

    code = "ST1600"


class ConfigError(SymtensorError, ValueError):
    """An unknown or malformed configuration setting."""

    code = "ST1400"


class SymtensorWarning(UserWarning):
    """Base of all symtensor warnings."""
