"""Files that users ask for by their path: what can't be written is an error in their own line."""

from __future__ import annotations

import os
from pathlib import Path

from symtensor.errors import OutputError


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a text file and return its path; raises `OutputError` where that is not possible."""
    target = Path(path)
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        missing = not target.parent.is_dir()
        raise OutputError(
            f"can't write {os.fspath(path)!r}: {error.strerror or error}",
            help=f"make the folder {str(target.parent)!r} first" if missing else None,
        ) from None
    return target
