"""What messages show of the user's program: places, underlined lines, labels."""

import contextlib
import linecache

import numpy as np
import pytest

import symtensor as st
from symtensor.source import Label, Location, snippet, user_location


def program(name, text):
    """Run a program as if it stood in a file; return the error that it ends with."""
    linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name
    with pytest.raises(st.SymtensorError) as caught:
        exec(compile(text, name, "exec"), {"st": st, "np": np, "__name__": "program"})
    return caught.value


def test_the_lines_of_operands_stand_beside_the_line_at_fault():
    error = program(
        "model.py",
        "# a model\n"
        'x = st.placeholder((None, 784), name="x")\n'
        'w = st.variable(np.zeros((785, 10), "f"), name="w")\n'
        "\n"
        "\n"
        "y = st.exp(x) @ w  # the product\n",
    )
    text = str(error).replace(f"{error.operands[0].text}", "f32[rows, 784] exp")
    assert text == (
        "error[ST0102]: matmul: inner sizes differ: 784 and 785\n"
        " --> model.py:6:5\n"
        "  |\n"
        '3 | w = st.variable(np.zeros((785, 10), "f"), name="w")\n'
        "  |     ----------------------------------------------- operand 1: f32[785, 10] variable 'w'\n"
        "...\n"
        "6 | y = st.exp(x) @ w  # the product\n"
        "  |     ^^^^^^^^^^^^^\n"
        "  |     --------- operand 0: f32[rows, 784] exp"
    )


def test_an_expression_over_several_lines_is_underlined_where_it_begins():
    error = program("long.py", "y = st.zeros((2, 3)) + st.zeros(\n    (4, 5)\n)\n")
    lines = str(error).splitlines()
    assert lines[3:5] == [
        "1 | y = st.zeros((2, 3)) + st.zeros(",
        "  |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
    ]


def test_columns_count_characters_and_tabs_are_one():
    error = program("greek.py", 'if True:\n\tα, βγ = "é", st.sum(st.zeros((2,)), axis=7)\n')
    lines = str(error).splitlines()
    assert lines[3] == '2 |  α, βγ = "é", st.sum(st.zeros((2,)), axis=7)'
    assert lines[4].index("^") == lines[3].index("st.sum")
    assert lines[4].count("^") == len("st.sum(st.zeros((2,)), axis=7)")


def test_operands_of_other_files_follow():
    text = "import symtensor as st\nw = st.zeros((41, 51))\n"
    linecache.cache["weights.py"] = len(text), None, text.splitlines(keepends=True), "weights.py"
    names = {"__name__": "weights"}
    exec(compile(text, "weights.py", "exec"), names)
    here = "y = st.zeros((2, 3)) @ w\n"
    linecache.cache["use.py"] = len(here), None, [here], "use.py"
    with pytest.raises(st.ShapeError) as caught:
        exec(compile(here, "use.py", "exec"), {"st": st, "w": names["w"], "__name__": "use"})
    lines = str(caught.value).splitlines()
    assert lines[1] == " --> use.py:1:5"
    assert lines[lines.index(" ::: weights.py") + 2 :] == [
        "2 | w = st.zeros((41, 51))",
        "  |     ------------------ operand 1: f32[41, 51] broadcast_to",
    ]


def test_a_program_without_source_is_told_by_number():
    with pytest.raises(st.ShapeError) as caught:
        exec(compile("\nst.zeros((2,)) + st.zeros((3,))", "<nowhere>", "exec"), {"st": st})
    text = str(caught.value)
    assert "--> <nowhere>:2" in text and "operand 0: f32[2] broadcast_to" in text


def test_code_that_calls_us_for_the_user_is_not_the_user():
    with pytest.raises(st.ConfigError) as caught, st.config(no_such_setting=1):
        pass
    assert caught.value.place.file == __file__
    with pytest.raises(st.ConfigError) as caught:
        contextlib.ExitStack().enter_context(st.config(no_such_setting=1))
    assert caught.value.place.file == __file__
    with pytest.raises(st.ShapeError) as caught:
        list(map(st.matmul, [st.zeros((2, 3))], [st.zeros((2, 3))]))
    assert caught.value.place.file == __file__


def test_long_lines_are_cut():
    place = Location("long_line.py", 1)
    linecache.cache["long_line.py"] = 1000, None, ["x" * 1000 + "\n"], "long_line.py"
    drawn = snippet(place, [Label(Location("long_line.py", 1), "all of it")])
    assert all(len(line) < 200 for line in drawn) and "  = all of it" in drawn


def test_the_place_is_that_of_the_innermost_user():
    place = user_location()
    assert (place.file, place.source) == (__file__, "place = user_location()")
    assert place.columns == (13, 28)
