"""Calls within calls: bodies hold bodies, and what goes through them calls itself once for each.

In: functions that reach themselves again through a body. Guaranteed: they work however deep bodies stand
in each other. Python ends a thread whose calls are about a thousand deep, so from time to time they go on
in a new thread, whose stack is empty, while the one that asked waits. Settings, places and name scopes
(context variables) hold there too.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

LEVELS = 32
"""Calls within each other in one thread: a level is up to a dozen frames of Python's thousand."""


class _Depth(threading.local):
    calls = 0


_depth = _Depth()


def nestable(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function call itself through bodies, however many stand in each other."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if _depth.calls == LEVELS:
            return _in_new_thread(partial(call, *args, **kwargs))
        _depth.calls += 1
        try:
            return function(*args, **kwargs)
        finally:
            _depth.calls -= 1

    return call


def _in_new_thread(call: Callable[[], R]) -> R:
    """Return what a call returns, or raise what it raises, in a thread of its own."""
    from concurrent.futures import Future  # here: hardly any program needs it

    future: Future[R] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=contextvars.copy_context().run, args=(run,)).start()
    interrupted: KeyboardInterrupt | None = None
    while not future.done():  # the thread works on arrays of ours: nobody leaves before it ends
        try:
            future.exception()
        except KeyboardInterrupt as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted
    return future.result()
