"""The compiler's own sources as part of a key: from the same input they make the same code.

What a text is made of (a graph, a dtype whose products are wanted) is often far shorter than the text. A
key of that and of the sources finds on disk what they made before, and nothing has to be written anew to
look for it. Any change of a source that writes code, or says what ops mean, makes other keys.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from pathlib import Path

import numpy as np

from symtensor.codegen import cache
from symtensor.codegen.target import Target
from symtensor.ops.registry import sealed_at

PACKAGES = ("codegen", "ir", "ops")
"""Where everything stands that code depends on."""
FILES = ("serialize.py",)
"""What else entries depend on: how the sizes in them are written and read."""
_ROOT = Path(__file__).parent.parent


def key_of(what: str, target: Target) -> str | None:
    """Return the key of what the sources make of some input, None where that can't be told."""
    sources = _digest()
    return None if sources is None else cache.object_key(f"{sources}\n{target!r}\n{what}", target)


@functools.cache
def _digest() -> str | None:
    """Return the digest of all sources, None where they are not there, or newer than what runs."""
    digest = hashlib.sha256(f"{sys.version} {np.__version__}".encode())
    try:
        for name in _files():
            about = os.stat(_ROOT / name)
            if max(about.st_mtime, about.st_ctime) > sealed_at():
                return None
            with open(_ROOT / name, "rb", buffering=0) as file:
                text = file.read()
            digest.update(f"\n{name} {len(text)}\n".encode() + text)
    except OSError:
        return None
    return digest.hexdigest()


def _files() -> list[str]:
    """Return the names of all sources, in an order that is always the same."""
    listed = ((package, name) for package in PACKAGES for name in os.listdir(_ROOT / package))
    return [
        *FILES,
        *sorted(f"{package}/{name}" for package, name in listed if name.endswith(".py")),
    ]
