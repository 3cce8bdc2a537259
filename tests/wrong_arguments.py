"""What users pass by mistake, and how a function must answer: with a result, or with an error of ours
that shows the user's line; never with what Python or NumPy stumbled over inside."""

import itertools
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import symtensor as st

PACKAGE = str(Path(st.__file__).parent)

X = st.placeholder((4, 4), name="x")
LENGTH = st.placeholder((None,), name="v").shape[0]

BAD: dict[str, Any] = {
    "a digit": "2", "a word": "word", "no text": "", "None": None, "an object": object(),
    "1.5": 1.5, "nan": np.nan, "inf": np.inf, "-7": -7, "0": 0, "True": True, "complex": 1j,
    "[]": [], "[1, 2]": [1, 2], "(1.5,)": (1.5,), "(None,)": (None,), "a ragged list": [[1, 2], [3]],
    "a list of texts": ["a"], "a list with a tensor": ["x", X], "a pair of pairs": ((1, 2), (3, 4)),
    "{}": {}, "a dict": {"a": 1}, "a function": lambda *given: None, "a dim": LENGTH,
    "text in an array": np.array("a"), "[1.5] in an array": np.array([1.5]),
    "an array": np.array([1, 2, 3]), "an empty array": np.zeros((0,)),
    "a matrix": X, "a vector": st.placeholder((None,)), "a scalar": st.placeholder(()),
    "integers": st.placeholder((4, 4), "int64"),
}  # fmt: skip


def answer(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return the result or the error; raise an error that is not as it must be."""
    try:
        result = function(*args, **kwargs)
        if hasattr(result, "__enter__"):
            with result:
                pass
        return result
    except st.SymtensorError as error:
        assert str(error) and error.place is not None, error
        assert error.place.file == __file__, error
        return error
    except TypeError as error:
        # Python itself says that the signature is another one
        frames = traceback.extract_tb(error.__traceback__)
        if any(frame.filename.startswith(PACKAGE) for frame in frames):
            raise
        return error


def mistakes(
    args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Iterator[tuple[str, list[Any], Any]]:
    """Yield calls with one argument replaced by each bad value, and what is wrong."""
    for what, bad in BAD.items():
        for i in range(len(args)):
            yield f"argument {i} is {what}", [*args[:i], bad, *args[i + 1 :]], kwargs
        for key in kwargs:
            yield f"{key} is {what}", list(args), {**kwargs, key: bad}


def check(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Call a function with every mistake; fail with a list of all wrong answers."""
    wrong = []
    for what, given, named in mistakes(args, kwargs):
        try:
            answer(function, given, named)
        except Exception as error:
            wrong.append(f"{what}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)


def good_call(function: Callable[..., Any], values: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the first arguments out of `values`, a list per position, that the function takes."""
    for args in itertools.islice(itertools.product(*values), 100):
        if not isinstance(answer(function, args, {}), Exception):
            return list(args)
    raise AssertionError("no good call: add values to the table")
