"""The tree of an expression: shared nodes, types, costs, the user's lines."""

import io

import pytest

import symtensor as st


def printed(value, **options):
    out = io.StringIO()
    st.debugprint(value, file=out, **options)
    return out.getvalue()


def test_golden_tree():
    x = st.placeholder(("n", 3), name="x")
    y = st.exp(x)
    assert printed(st.sum(y * y + x), locations=False) == GOLDEN


GOLDEN = """\
sum [#0] f32[]                               3*n FLOP   12*n + 4 B
`- add [#1] f32[n, 3]                        3*n FLOP       36*n B
   |- multiply [#2] f32[n, 3]                3*n FLOP       36*n B
   |  |- exp [#3] f32[n, 3]                  3*n FLOP       24*n B
   |  |  `- placeholder 'x' [#4] f32[n, 3]
   |  `- exp [#3, above]
   `- placeholder 'x' [#4] f32[n, 3]
total                                       12*n FLOP  108*n + 4 B
"""


def test_sizes_turn_formulas_into_numbers():
    x = st.placeholder(("n", 3), name="x")
    text = printed(st.sum(x * 2), sizes={"n": 1000})
    assert "3,000 FLOP" in text and "12,004 B" in text and "*n" not in text
    with pytest.raises(st.AttributeValueError, match="there is no size 'm'; sizes: n"):
        printed(x * 2, sizes={"m": 1})


def test_derivatives_are_marked_and_lines_shown():
    x = st.placeholder((3,), "float64", name="x")
    y = st.sum(st.tanh(x))
    text = printed(st.gradients(y, [x]))
    rows = [row for row in text.splitlines() if "multiply" in row]
    assert rows and all("test_inspect_tree.py" in r and "(gradient)" in r for r in rows)
    assert "(gradient)" not in printed(y)
    assert "test_inspect_tree" not in printed(y, locations=False)


def test_automatic_sizes_are_numbered_within_the_graph():
    st.placeholder((None,))
    x = st.placeholder((None, None))
    assert "f32[d0, d1]" in printed(x * 2)


def test_the_cost_column_can_be_left_out():
    x = st.placeholder((3,))
    assert "FLOP" not in printed(x * 2, cost=False) and "total" not in printed(x * 2, cost=False)


def test_a_function_shows_outputs_and_updates():
    x = st.placeholder((3,), name="x")
    v = st.variable([0.0, 0.0, 0.0], dtype="float32", name="v")
    f = st.function([x], [x + v, x * v], updates=[(v, v + 1)])
    text = printed(f)
    assert "output 0\n" in text and "output 1\n" in text and "update of v\n" in text
