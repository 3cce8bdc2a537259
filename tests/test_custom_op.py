"""Ops of one's own: what a user sees when their rule refuses what it is given."""

import sys

import numpy as np
import pytest

import symtensor as st

NEGATIVE = np.array([1.0, -2.0])


class Diverged(ValueError):
    """An error of a user's own."""


def refusing(error):
    """Return x, an op of x + 1 whose rule raises `error` for negative numbers, and its line."""

    def rule(x):
        if (x < 0).any():
            raise error
        return np.sqrt(x)

    op = st.custom_op("refuses_in_a_test", evaluate=rule, replace=True)
    x = st.placeholder((None,), "float64", name="x")
    line = sys._getframe().f_lineno + 1
    y = op(x + 1)
    return x, y, line


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
@pytest.mark.parametrize("error", [ValueError("too small"), Diverged("too small")], ids=repr)
def test_what_a_rule_refuses_is_its_own_error(engine, error):
    x, y, line = refusing(error)
    f = st.function([x], y * 2, engine=engine)
    np.testing.assert_allclose(f([3.0]), [4.0])
    with pytest.raises(ValueError, match="too small") as caught:
        f(NEGATIVE - 1)
    found = caught.value
    assert type(found) is st.RuleError and not isinstance(found, st.ShapeError)
    assert found.code == "ST0903" and found.__cause__ is error
    assert found.message == f"the evaluate rule raised {type(error).__name__}: too small"
    assert (found.place.file, found.place.line) == (__file__, line)
    assert found.operands[0].text.endswith("here of shape [2]")


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (KeyError("weights"), KeyError),
        (IndexError("index 3"), st.IndexOutOfRange),
        (np.linalg.LinAlgError("Singular matrix"), st.LinAlgError),
        (st.ShapeError("expected pairs"), st.ShapeError),
    ],
    ids=repr,
)
def test_other_errors_of_a_rule_are_what_they_are(engine, raised, kind):
    x, y, line = refusing(raised)
    with pytest.raises(kind) as caught:
        st.function([x], y, engine=engine)(NEGATIVE - 1)
    assert type(caught.value) is kind
    said = str(caught.value) + "".join(getattr(caught.value, "__notes__", ()))
    assert f"{__file__}:{line}" in said and "refuses_in_a_test" in said


def test_a_rule_that_runs_in_a_loop_says_so_too():
    op = st.custom_op(
        "refuses_in_a_loop", evaluate=lambda s: np.asarray(s.reshape(1)[1:].item()), replace=True
    )
    start = st.placeholder((), "float64")
    out = st.while_loop(lambda s: s < 9, lambda s: op(s) + 1, start)
    for engine in ("numpy", "llvm"):
        with pytest.raises(st.RuleError, match="the evaluate rule raised ValueError"):
            st.function([start], out, engine=engine)(1.0)
