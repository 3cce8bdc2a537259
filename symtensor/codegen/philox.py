"""Random words as native code: Philox 4x64-10, word for word what `symtensor.ops.random` defines.

    i32 @name(ptr state, ptr words, i64 blocks, i64 count, i64 first, i64 last, i64 number)

writes the words of blocks ``first <= b < last`` of four words each; block b has the counter
(b, draw, call, high) under the key (key, 0). The generator is that of Salmon et al., "Parallel random
numbers: as easy as 1, 2, 3" (2011). Blocks depend on nothing but their number, so threads share them.
"""

from __future__ import annotations

from functools import partial

from symtensor.codegen.sharing import Share
from symtensor.codegen.text import FunctionText, V
from symtensor.ir.dims import Dim

ROUNDS = 10
BLOCK = 4
"""Words of a block."""
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
"""What is added to the two halves of the key before every round but the first."""
PICOSECONDS = 12_000
"""Time of a block, about."""
TOGETHER = 64
"""Blocks that one thread takes at least."""


def emit_philox(count: Dim, name: str) -> tuple[str, tuple[Dim, ...], Share]:
    """Return the function that writes `count` words, its sizes, and how threads share it."""
    f = FunctionText(name, [
        ("ptr", "state"), ("ptr", "words"), ("i64", "blocks"), ("i64", "count"),
        ("i64", "first"), ("i64", "last"), ("i64", "number")], "i32", linkage="")  # fmt: skip
    key, *high = (f.load("i64", f.at("i64", "%state", i), 8) for i in range(4))
    keys = _keys(f, key)
    whole = f.divide("%count", BLOCK)

    def block(b: str, _: list[str]) -> None:
        words = _rounds(f, [b, *high], keys)
        to = f.at("i64", "%words", f.mul(b, BLOCK))
        f.branch(f.compare("slt", b, whole), lambda: _write(f, words, to),
                 lambda: _write_rest(f, words, to, f.sub("%count", f.mul(b, BLOCK))))  # fmt: skip

    f.loop("%first", "%last", 1, block)
    f.do("ret i32 0")
    blocks = (count + (BLOCK - 1)) // BLOCK
    return f.text(), (blocks, count), Share(blocks, PICOSECONDS, TOGETHER)


def _keys(f: FunctionText, key: str) -> list[tuple[str, str]]:
    """Return both halves of the key of each round."""
    found = []
    for i in range(ROUNDS):
        steps = [_signed(weyl * i) for weyl in WEYL]
        found.append((f.op(f"add i64 {key}, {steps[0]}"), str(steps[1])))
    return found


def _signed(word: int) -> int:
    """Return a word, of which the low 64 bits count, as LLVM text writes it."""
    word &= 2**64 - 1
    return word - 2**64 if word >= 2**63 else word


def _rounds(f: FunctionText, counter: list[str], keys: list[tuple[str, str]]) -> list[str]:
    """Return the four words of a counter."""
    a, b, c, d = counter
    for left, right in keys:
        (high0, low0), (high1, low1) = (
            _product(f, x, m) for x, m in zip((a, c), MULTIPLIERS, strict=True)
        )
        a = f.op(f"xor i64 {f.op(f'xor i64 {high1}, {b}')}, {left}")
        c = f.op(f"xor i64 {f.op(f'xor i64 {high0}, {d}')}, {right}")
        b, d = low1, low0
    return [a, b, c, d]


def _product(f: FunctionText, x: str, multiplier: int) -> tuple[str, str]:
    """Return the upper and the lower word of a product."""
    wide = f.op(f"mul i128 {f.op(f'zext i64 {x} to i128')}, {multiplier}")
    upper = f.op(f"trunc i128 {f.op(f'lshr i128 {wide}, 64')} to i64")
    return upper, f.op(f"trunc i128 {wide} to i64")


def _write(f: FunctionText, words: list[str], to: str) -> None:
    for i, word in enumerate(words):
        f.store("i64", word, f.at("i64", to, i), 8)


def _write_rest(f: FunctionText, words: list[str], to: str, left: V) -> None:
    """Write the first words of the last block."""
    for i, word in enumerate(words[:-1]):
        write = partial(f.store, "i64", word, f.at("i64", to, i), 8)
        f.branch(f.compare("sgt", left, i), write)
