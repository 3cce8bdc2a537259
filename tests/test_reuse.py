"""Values that loops over a row leave for later ones: loop trees in, loop trees out."""

import pytest

from symtensor.codegen.emit import cost
from symtensor.codegen.kernel_parser import parse_kernel
from symtensor.codegen.kernel_printer import format_kernel
from symtensor.codegen.reuse import keep_rows
from symtensor.codegen.target import named

FOLDS = """kernel(b0: f32*, b1: f32*) sizes 300
  for i0 < 300:
    t0 = sum over r0: f32
      vector r0 < 300:
        t1 = load b1[r0 + 300*i0]: f32
        t2 = exp(t1): f32
        t0 (+)= t2
    t3 = sum over r1: f32
      vector r1 < 300:
        t4 = load b1[r1 + 300*i0]: f32
        t5 = exp(t4): f32
        t6 = multiply(t5, t4): f32
        t3 (+)= t6
    t7 = multiply(t0, t3): f32
    vector i1 < 300:
      t8 = load b1[i1 + 300*i0]: f32
      t9 = exp(t8): f32
      t10 = multiply(t9, t7): f32
      b0[i1 + 300*i0] <- t10"""

READ_BACK = """kernel(b0: f32*, b1: f32*) sizes 300
  for i0 < 300:
    t0 = sum over r0: f32
      vector r0 < 300:
        t1 = load b1[r0 + 300*i0]: f32
        t2 = exp(t1): f32
        b0[r0 + 300*i0] <- t2
        t0 (+)= t2
    t3 = sum over r1: f32
      vector r1 < 300:
        t4 = reload b0[r1 + 300*i0]: f32
        t5 = load b1[r1 + 300*i0]: f32
        t6 = multiply(t4, t5): f32
        t3 (+)= t6
    t7 = multiply(t0, t3): f32
    vector i1 < 300:
      t8 = reload b0[i1 + 300*i0]: f32
      t9 = multiply(t8, t7): f32
      b0[i1 + 300*i0] <- t9"""

STORED_ALONE = """kernel(b0: f32*, b1: f32*, b2: f32*) sizes 300
  for i0 < 300:
    t0 = sum over r0: f32
      vector r0 < 300:
        t1 = load b2[r0 + 300*i0]: f32
        t2 = add(t1, t1): f32
        t0 (+)= t2
    b1[i0] <- t0
    vector i1 < 300:
      t3 = load b2[i1 + 300*i0]: f32
      t4 = add(t3, t3): f32
      b0[i1 + 300*i0] <- t4"""

STORED_BY_THE_FOLD = """kernel(b0: f32*, b1: f32*, b2: f32*) sizes 300
  for i0 < 300:
    t0 = sum over r0: f32
      vector r0 < 300:
        t1 = load b2[r0 + 300*i0]: f32
        t2 = add(t1, t1): f32
        b0[r0 + 300*i0] <- t2
        t0 (+)= t2
    b1[i0] <- t0"""


def kept(text):
    kernel = parse_kernel(text)
    keep_rows(kernel, lambda value: cost(value, named("avx512")))
    return format_kernel(kernel)


@pytest.mark.parametrize(
    "before, after", [(FOLDS, READ_BACK), (STORED_ALONE, STORED_BY_THE_FOLD)], ids=["read", "store"]
)
def test_later_loops_take_what_the_first_computed(before, after):
    assert kept(before) == after
    assert kept(after) == after


UNCHANGED = {
    "cheap": FOLDS.replace("exp(", "negative("),
    "a division": FOLDS.replace("exp(t1)", "divide(t1, t1)")
    .replace("exp(t4)", "negative(t4)")
    .replace("exp(t8)", "divide(t8, t8)"),
    "another length": FOLDS.replace("r0 < 300", "r0 < 200").replace("r1 < 300", "r1 < 100"),
    "another place": FOLDS.replace("load b1[r0 ", "load b1[1 + r0 ").replace(
        "load b1[r1 ", "load b1[2 + r1 "
    ),
    "a row that is read": FOLDS.replace("t0 (+)= t2", "t11 = load b0[r0]: f32\n        t0 (+)= t11"),
    "another step": FOLDS.replace("b0[i1 + 300*i0]", "b0[300*i1 + i0]"),
}  # fmt: skip


@pytest.mark.parametrize("why", UNCHANGED)
def test_what_stays_as_it_is(why):
    text = format_kernel(parse_kernel(UNCHANGED[why]))
    assert kept(text) == text


def test_each_row_keeps_one_value_and_the_dearest_first():
    text = FOLDS.replace("t7)", "t11)").replace(
        "      t10 =", "      t11 = tanh(t8): f32\n      t10 ="
    )
    text = text.replace("t5 = exp(t4): f32", "t12 = tanh(t4): f32\n        t5 = exp(t12): f32")
    found = kept(text)
    assert found.count("reload") == 1 and found.count("tanh") == 1 and found.count("exp") == 3
