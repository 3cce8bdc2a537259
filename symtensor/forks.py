"""Forks: a child process has only the thread that forked.

A lock that another thread held at that moment would never be given back in the child. So forks wait
for locks that are held for a short time, and what is held longer is made anew in the child. Nothing
happens on platforms without forks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any


def wait_for(lock: AbstractContextManager[Any, Any]) -> None:
    """Let forks take a lock, and give it back in both processes; it must be reentrant.

    Locks that are taken one inside the other are given from the innermost to the outermost.
    """
    if sys.platform != "win32" and hasattr(os, "register_at_fork"):

        def give_back() -> None:
            lock.__exit__(None, None, None)

        os.register_at_fork(
            before=lock.__enter__, after_in_parent=give_back, after_in_child=give_back
        )


def in_child(function: Callable[[], None]) -> None:
    """Call a function in every child process, before anything else there."""
    if sys.platform != "win32" and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
