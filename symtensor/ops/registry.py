"""The op table: name -> record. Parsers, tests and documentation look ops up here."""

from __future__ import annotations

import difflib
import time
from dataclasses import fields
from typing import Any

from symtensor.errors import AttributeValueError
from symtensor.ir.node import RESULT, Op

OPS: dict[str, Op] = {RESULT.name: RESULT}
_own: frozenset[Op] = frozenset()
_sealed_at = 0.0


def seal() -> None:
    """Note that all ops of symtensor itself are there: those that come later are somebody else's."""
    global _own, _sealed_at
    _own, _sealed_at = frozenset(OPS.values()), time.time()


def sealed_at() -> float:
    """Return when the ops were there, as a time of the system's clock."""
    return _sealed_at


def is_own(op: Op) -> bool:
    """Return True for an op of symtensor itself, whose rules only a new version changes."""
    return op in _own


def register(op: Op) -> Op:
    """Add an op to the table; a name is taken once."""
    if op.name in OPS:
        raise AttributeValueError(f"an op named {op.name!r} is already registered")
    OPS[op.name] = op
    return op


def define(name: str, **rules: Any) -> Op:
    """Make and register an op record from its rules (the fields of `Op`)."""
    unknown = set(rules) - {f.name for f in fields(Op)}
    if unknown:
        raise AttributeValueError(f"an op has no rule named {', '.join(sorted(unknown))}")
    return register(Op(name, **rules))


def get_op(name: str) -> Op:
    """Return the op called `name`; the error for an unknown one suggests near names."""
    if name in OPS:
        return OPS[name]
    near = difflib.get_close_matches(name, OPS, n=3)
    raise AttributeValueError(
        f"there is no op named {name!r}",
        help=f"did you mean {', '.join(near)}?" if near else None,
    )
