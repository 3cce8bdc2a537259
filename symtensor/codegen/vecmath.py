"""Mathematical functions as straight-line vector code."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from symtensor.codegen.lanes import Lanes

FUNCTIONS: dict[str, Callable[..., Lanes]] = {}
"""Name in the scalar vocabulary -> ``(scalars, *lanes) -> lanes``."""
