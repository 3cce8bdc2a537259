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
_ROOT = Path(__file__).parent.parent


def key_of(what: str, target: Target) -> str | None:
    """Return the key of what the sources make of some input, None where that can't be told."""
    sources = _digest()
    return None if sources is None else cache.object_key(f"{sources}\n{target!r}\n{what}", target)


@functools.cache
def _digest() -> str | None:
    """Return the digest of all sources, None where they are not there, or newer than what runs."""
    digest = hashlib.sha256(f"{sys.version} {np.__version__}".encode())
    count = 0
    try:
        for package in PACKAGES:
            for found in sorted(os.scandir(_ROOT / package), key=lambda entry: entry.name):
                if found.name.endswith(".py"):
                    about = found.stat()
                    if max(about.st_mtime, about.st_ctime) > sealed_at():
                        return None
                    with open(found.path, "rb", buffering=0) as file:
                        text = file.read()
                    digest.update(f"\n{package}/{found.name} {len(text)}\n".encode() + text)
                    count += 1
    except OSError:
        return None
    return digest.hexdigest() if count else None
