"""Samples of control flow, effects and random bits. Truth is plain Python over NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from symtensor.ops import (
    control,
    effects,
    indexing,
    logic,
    random,
    reduction,
    scan,
    scan_primitive,
    trigonometry,
)  # fmt: skip
from symtensor.ops.contraction import dot
from symtensor.testing.samples import Array, Sample

_rng = np.random.default_rng(11)
STEPS = _rng.standard_normal((5, 3))
STATE = _rng.standard_normal(3)
WEIGHTS = 0.4 * _rng.standard_normal((3, 3))
BOUND: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-11}


def _conds() -> Iterator[Sample]:
    def build(test: Any, x: Any) -> Any:
        return control.cond(test > 0, lambda: reduction.sum(x * x), lambda: reduction.sum(x) * test)

    def truth(test: Array, x: Array) -> Any:
        return np.sum(x * x) if test > 0 else np.sum(x) * test

    for value in (1.5, -0.5):
        yield Sample("cond", build, (np.array(value), STATE), truth, note=str(value), **BOUND)

    def lazy(test: Any, x: Any, i: Any) -> Any:
        return control.cond(test, indexing.take(x, i, 0), reduction.sum(x))

    off, on = np.array(False), np.array(True)
    far = np.array(99)
    yield Sample("cond", lazy, (off, STATE, far), lambda t, x, i: np.sum(x), note="lazy", **BOUND)
    yield Sample("cond", lazy, (on, STATE, far), raises=IndexError, note="taken")
    yield Sample("cond", lambda c, x: control.cond(c, x, x), (STATE, STATE), raises=ValueError,
                 note="vector predicate")  # fmt: skip
    yield Sample("cond", lambda c, x: control.cond(c, x, x[:1]), (on, STATE), raises=ValueError,
                 note="branches differ")  # fmt: skip


def _whiles() -> Iterator[Sample]:
    def truth(s: Array) -> list[Array]:
        n = 0
        while s < 100:
            s, n = s * 3, n + 1
        return [np.asarray(s), np.asarray(n)]

    def build(s: Any) -> Any:
        return control.while_loop(lambda v, n: v < 100, lambda v, n: (v * 3, n + 1),
                                  (s, np.int64(0)))  # fmt: skip

    yield Sample("while", build, (np.array(2.0),), truth, wrt=())
    yield Sample("while", build, (np.array(200.0),), truth, wrt=(), note="no step")
    yield Sample("scan", lambda s: control.while_loop(lambda v: v < 100, lambda v: v * v, s, 9),
                 (np.array(2.0),), lambda s: s**8, note="bounded while", rtol=1e-12)  # fmt: skip


def _rnn(xs: Any, h: Any, w: Any) -> Any:
    return scan.scan(lambda x, s: trigonometry.tanh(dot(s, w) + x), xs, h)[0]


def _rnn_truth(xs: Array, h: Array, w: Array) -> Array:
    out = []
    for x in xs:
        h = np.tanh(h @ w + x)
        out.append(h)
    return np.array(out).reshape(len(xs), *h.shape)


def _scans() -> Iterator[Sample]:
    more = (_rng.standard_normal((2, 3)), STATE, WEIGHTS), (np.zeros((0, 3)), STATE, WEIGHTS)
    yield Sample(
        "scan", _rnn, (STEPS, STATE, WEIGHTS), _rnn_truth, note="rnn", resize=more, **BOUND
    )
    vector = np.array([1.0, 2.0, 3.0, 4.0])
    rows: dict[str, tuple[Any, Any]] = {
        "map": (lambda x: scan.map_(lambda v: v * v, x), lambda x: x * x),
        "foldl": (lambda x: scan.foldl(lambda s, v: s * 2 + v, x, 0.0), lambda x: _fold(x)),
        "foldr": (lambda x: scan.foldr(lambda s, v: s * 2 + v, x, 0.0), lambda x: _fold(x[::-1])),
        "backwards": (lambda x: scan.scan(lambda v, s: s + v, x, 0.0, go_backwards=True)[0],
                      lambda x: np.cumsum(x[::-1])),
        "taps": (lambda x: scan.scan(lambda a, b: a - b, dict(input=x, taps=[-1, 0]))[0],
                 lambda x: x[:-1] - x[1:]),
        "past taps": (lambda x: scan.scan(lambda a, b: a * 10 + b, None,
                                          dict(initial=x[:2], taps=[-1, -2]), n_steps=3)[0],
                      lambda x: _recurrence(x[:2], 3)),
        "prefix": (lambda x: scan.scan(lambda v, s: s + v, x, 0.0, n_steps=2)[0],
                   lambda x: np.cumsum(x[:2])),
        "until": (lambda x: scan.scan(lambda s: (s * 2, scan.until(s * 2 > 5)), None, x[0],
                                      n_steps=10)[0], lambda x: x[0] * np.array([2.0, 4.0, 8.0])),
        "until sequence": (lambda x: scan.scan(lambda v, s: (s + v, scan.until(s + v > 5)), x,
                                               0.0)[0], lambda x: np.cumsum(x)[:3]),
        "nested": (lambda x: scan.map_(lambda a: scan.foldl(lambda s, b: s + a * b, x, 0.0), x),
                   lambda x: x * x.sum()),
    }  # fmt: skip
    for note, (build, truth) in rows.items():
        yield Sample("scan", build, (vector,), truth, symbolic=(), note=note, **BOUND)
    for steps in (3, 0):
        yield Sample("scan", lambda n, x: scan.scan(lambda s: s * x, None, x, n_steps=n)[0],
                     (np.array(steps), np.array(1.5)),
                     lambda n, x: x ** np.arange(2.0, n + 2.0), rtol=1e-12,
                     note=f"tensor steps {steps}")  # fmt: skip
    for steps in (-1, -3):
        yield Sample("count_up", lambda n: scan_primitive.count_up(n), (np.array(steps),),
                     raises=ValueError, note=f"{steps} steps")  # fmt: skip
    yield Sample("count_up", lambda n: scan_primitive.count_up(n) + 1, (np.array(4),),
                 lambda n: np.arange(n) + 1, wrt=())  # fmt: skip
    yield Sample(
        "count_up", lambda n: scan_primitive.count_up(n), (np.array(4.0),), raises=TypeError
    )
    yield Sample("scan", lambda x: scan.scan(lambda v: v, x, n_steps=9)[0], (vector,),
                 raises=ValueError, symbolic=(), note="too many steps")  # fmt: skip
    yield Sample("scan", lambda x: scan.scan(lambda v, s: x, x, x[0])[0], (vector,),
                 raises=ValueError, symbolic=(), note="state changes shape")  # fmt: skip


def _fold(x: Array) -> Array:
    s = np.float64(0)
    for v in x:
        s = s * 2 + v
    return np.asarray(s)


def _recurrence(start: Array, steps: int) -> Array:
    values = list(start)
    for _ in range(steps):
        values.append(values[-1] * 10 + values[-2])
    return np.array(values[2:])


def _effects() -> Iterator[Sample]:
    x = np.array([1.0, 2.0])
    yield Sample("print", lambda v: effects.print_(v, "") * 2, (np.zeros(0),), lambda v: v,
                 wrt=(), note="nothing")  # fmt: skip
    yield Sample("assert", lambda v: effects.assert_(v, v > 0), (x,), lambda v: v)
    yield Sample("assert", lambda v: effects.assert_(v, logic.isnan(v), "why"), (x,),
                 raises=AssertionError, note="fails")  # fmt: skip


def philox_block(counter: Sequence[int], key: Sequence[int]) -> tuple[int, ...]:
    """Philox 4x64-10 as the paper of Salmon et al. (2011) states it, in Python's integers."""
    (a, b, c, d), (left, right) = counter, key
    for _ in range(10):
        first, second = a * 0xD2E7470EE14C6C93, c * 0xCA5A826395121157
        a, c = (second >> 64) ^ b ^ left, (first >> 64) ^ d ^ right
        b, d = second % 2**64, first % 2**64
        left, right = (left + 0x9E3779B97F4A7C15) % 2**64, (right + 0xBB67AE8584CAA73B) % 2**64
    return a, b, c, d


def _philox(key: int, draw: int, call: int, count: int) -> Array:
    blocks = [philox_block((i, draw, call, 0), (key, 0)) for i in range(-(-count // 4))]
    return np.array(blocks, np.uint64).ravel()[:count]


def _random() -> Iterator[Sample]:
    for state in ([5, 0, 0, 0], [5, 0, 1, 0], [5, 1, 0, 0], [5, 3, 2, 0], [2**64 - 1, 1, 2**40, 0]):
        key, draw, call, _ = state
        given = np.array(state, np.uint64)
        yield Sample("random_bits", lambda s: random.random_bits(s, (3, 5)), (given,),
                     lambda s, k=key, d=draw, c=call: _philox(k, d, c, 15).reshape(3, 5),
                     symbolic=(), note=str(state))  # fmt: skip
        yield Sample("random_bits", lambda s: random.unit_floats(s, (7,), "float64"), (given,),
                     lambda s, k=key, d=draw, c=call: (_philox(k, d, c, 7) >> np.uint64(11)) * 2**-53,
                     symbolic=(), note=f"floats {state}")  # fmt: skip
    yield Sample("random_bits", lambda s: random.random_bits(s, (0,)),
                 (np.array([1, 0, 0, 0], np.uint64),), lambda s: np.zeros(0, np.uint64),
                 symbolic=(), note="nothing")  # fmt: skip
    yield Sample("random_bits", lambda s: random.random_bits(s, (2,)), (np.zeros(4),),
                 raises=TypeError, note="no state")  # fmt: skip


SAMPLES = [*_conds(), *_whiles(), *_scans(), *_effects(), *_random()]
