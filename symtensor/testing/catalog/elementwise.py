"""Samples of arithmetic and mathematical functions. Truth is NumPy, or SciPy for what it lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from symtensor.ops import elementwise as e
from symtensor.ops import rounding, selection, special, trigonometry
from symtensor.testing.samples import Array, Sample

INF, NAN = np.inf, np.nan
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, INF, -INF, NAN, 5e-324, -1e-310, 1e300, 745.0, -745.0]
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
LONG = 67
"""Elements of the longer samples: several vectors and a remainder on every target."""


def _function(name: str) -> Callable[..., Any]:
    """Return symtensor's function of a name, whichever module has it."""
    modules = (special, trigonometry, rounding, selection, e)
    found = [getattr(m, name) for m in modules if hasattr(m, name)]
    return found[0]  # type: ignore[no-any-return]


def _array(values: Any, dtype: str = "float64") -> Array:
    with np.errstate(all="ignore"):
        return np.array(values).astype(dtype)


def _spread(low: float, high: float, count: int, dtype: str = "float64") -> Array:
    return np.linspace(low, high, count).astype(dtype)


def _quiet(truth: Callable[..., Any]) -> Callable[..., Any]:
    def quiet(*arrays: Array) -> Any:
        with np.errstate(all="ignore"):
            return truth(*arrays)

    return quiet


def _unary(
    name: str,
    domain: tuple[float, float],
    truth: Callable[..., Any] | None = None,
    ulp: float = 2.5,
    edges: list[float] | None = None,
    smooth: bool = True,
    half: bool = True,
) -> Iterator[Sample]:
    """Ordinary values for the gradient, single and half precision, edge values, odd shapes."""
    build = _function(name)
    found = _quiet(truth or getattr(np, name))
    wrt = None if smooth else ()
    inside = _spread(*domain, 7) + 0.013
    yield Sample(name, build, (inside,), found, ulp=ulp, wrt=wrt,
                 resize=((_spread(*domain, LONG),), (_array([]),)))  # fmt: skip
    yield Sample(name, build, (_spread(*domain, LONG, "float32"),), found, ulp=ulp)
    if half:
        yield Sample(name, build, (_spread(*domain, 9, "float16"),), found, ulp=1.0)
    yield Sample(name, build, (_array(inside[2]),), found, ulp=ulp, wrt=(), note="0-d")
    yield Sample(name, build, (inside.reshape(7, 1)[::-2],), found, ulp=ulp, wrt=(), note="strided")
    for dtype in ("float64", "float32", "float16") if half else ("float64", "float32"):
        points = _array(EDGES if edges is None else edges, dtype)
        error = min(ulp, 1.0) if dtype == "float16" else ulp
        yield Sample(name, build, (points,), found, ulp=error, wrt=(), note="edges")


def _integers(name: str, truth: Callable[..., Any] | None = None) -> Iterator[Sample]:
    build = _function(name)
    for dtype in INTEGERS:
        info = np.iinfo(dtype)
        x = np.array([info.min, info.min + 1, 0, 1, 7, info.max], dtype)
        yield Sample(name, build, (x,), _quiet(truth or getattr(np, name)))


def _binary(
    name: str,
    left: tuple[float, float] = (-2.0, 2.1),
    right: tuple[float, float] = (0.6, 3.0),
    truth: Callable[..., Any] | None = None,
    ulp: float = 0.0,
    wrt: tuple[int, ...] | None = None,
    build: Callable[..., Any] | None = None,
) -> Iterator[Sample]:
    """Ordinary values, broadcasting, both precisions, and all pairs of edge values."""
    build, found = build or _function(name), _quiet(truth or getattr(np, name))
    x, y = _spread(*left, 6) + 0.017, _spread(*right, 6)[::-1]
    longer = (_spread(*left, LONG), _spread(*right, LONG))
    yield Sample(name, build, (x, y), found, ulp=ulp, wrt=wrt, resize=(longer,))
    yield Sample(name, build, (x.reshape(2, 3), y[:3].reshape(1, 3)), found, ulp=ulp, wrt=wrt,
                 symbolic=(), note="broadcast")  # fmt: skip
    yield Sample(name, build, (_array(0.7), y), found, ulp=ulp, wrt=wrt, symbolic=())
    for dtype, error in (("float32", ulp), ("float16", min(ulp, 1.0))):
        yield Sample(name, build, tuple(a.astype(dtype) for a in longer), found, ulp=error)
    yield Sample(name, build, (np.zeros((0, 3)), np.zeros((0, 3))), found, ulp=ulp, note="empty")
    for dtype, error in (("float64", ulp), ("float32", ulp), ("float16", min(ulp, 1.0))):
        grid = np.array([*EDGES[:9], 2.0, -2.0, 5.0, -5.0, 3.0, 1 / 3], dtype)
        a, b = (g.ravel() for g in np.meshgrid(grid, grid))
        yield Sample(name, build, (a, b), found, ulp=error, wrt=(), note="edges")


def _integer_pairs(name: str, truth: Callable[..., Any] | None = None) -> Iterator[Sample]:
    build = _function(name)
    for dtype in INTEGERS:
        info = np.iinfo(dtype)
        grid = np.array([info.min, info.max, 0, 1, 2, 3, 7, -7 if info.min else 9, info.max // 2],
                        dtype)  # fmt: skip
        grid = np.append(grid, np.array(-1).astype(dtype))
        a, b = (g.ravel() for g in np.meshgrid(grid, grid))
        yield Sample(name, build, (a, b), _quiet(truth or getattr(np, name)))


def _scipy(name: str) -> Callable[..., Any]:
    def truth(*arrays: Array) -> Any:
        import scipy.special

        return np.asarray(getattr(scipy.special, name)(*arrays)).astype(arrays[0].dtype)

    return truth


def _arithmetic() -> Iterator[Sample]:
    for name in ("add", "subtract", "multiply"):
        yield from _binary(name)
        yield from _integer_pairs(name)
    yield from _binary("divide")
    yield Sample("divide", e.divide, (np.arange(4), np.array([0, 1, -2, 3])),
                 _quiet(np.divide), note="integers")  # fmt: skip
    for name in ("floor_divide", "remainder", "fmod"):
        yield from _binary(name, wrt=() if name == "floor_divide" else None)
        yield from _integer_pairs(name)
    for name in ("add", "multiply"):
        yield Sample(name, _function(name), (_array([0, 1, 0, 1], "bool"),
                     _array([0, 0, 1, 1], "bool")), getattr(np, name))  # fmt: skip
    yield Sample("subtract", e.subtract, (_array([1], "bool"), _array([0], "bool")),
                 raises=TypeError, note="bool")  # fmt: skip
    yield Sample("negative", e.negative, (_array([1], "bool"),), raises=TypeError, note="bool")
    yield Sample("add", e.add, (np.zeros(3), np.zeros(4)), raises=ValueError, note="shapes")


def _powers() -> Iterator[Sample]:
    yield from _binary("power", (0.3, 3.0), (-1.5, 2.5), ulp=2.0)
    cases = [(0, 0), (NAN, 0), (1, NAN), (0, -1), (-0.0, -1), (-0.0, 3), (-8, 1 / 3), (INF, 0)]
    x, y = (_array(v) for v in zip(*cases, strict=True))
    yield Sample("power", e.power, (x, y), _quiet(np.power), ulp=2.0, wrt=(), note="edges")
    for exponent in (0.5, 2.0, -1.0, 1.0, 0.0):
        yield from _fixed_powers(exponent)
    for dtype in INTEGERS:
        base = np.array([0, 1, 2, 3, 5], dtype)
        yield Sample("power", e.power, (base, np.array([0, 5, 63, 2, 3], dtype)), _quiet(np.power))
    yield Sample("power", e.power, (np.array([2]), np.array([-1])), raises=ValueError)
    zero = _array([0.0, 0.0])
    yield Sample("power", lambda x: e.power(x, 2.0), (zero,), lambda x: x**2, note="x=0")


def _fixed_powers(exponent: float) -> Iterator[Sample]:
    """NumPy has short cuts for one exponent for all, with other special values than for many."""
    for dtype, ulp in (("float64", 2.0), ("float32", 2.0), ("float16", 1.0)):
        yield Sample("power", lambda x: e.power(x, exponent), (_array(EDGES, dtype),),
                     _quiet(lambda x: np.power(x, np.full_like(x, exponent))), ulp=ulp, wrt=(),
                     note=f"edges to {exponent}")  # fmt: skip


def _ordinary() -> Iterator[Sample]:
    yield from _unary("negative", (-2, 2), ulp=0)
    yield from _integers("negative")
    yield from _unary("abs", (-2.2, 2.1), ulp=0)
    yield from _integers("abs")
    yield from _unary("sign", (-2.2, 2.1), ulp=0)
    yield from _integers("sign")
    yield from _unary("reciprocal", (0.4, 3), ulp=0)
    yield from _unary("square", (-2, 2), ulp=0)
    yield from _integers("square")
    yield from _unary("sqrt", (0.2, 4), ulp=0)
    yield from _unary("rsqrt", (0.2, 4), lambda x: 1 / np.sqrt(x), ulp=0, half=False)
    yield from _unary("cbrt", (0.2, 4), ulp=4)
    yield from _unary("exp", (-3, 3))
    yield from _unary("exp2", (-3, 3))
    yield from _unary("expm1", (-2, 2))
    yield from _unary("log", (0.2, 5))
    yield from _unary("log2", (0.2, 5))
    yield from _unary("log10", (0.2, 5))
    yield from _unary("log1p", (-0.7, 4))
    yield from _unary("sin", (-4, 4), edges=[*EDGES, 1e22, 1e5, 355.0])
    yield from _unary("cos", (-4, 4), edges=[*EDGES, 1e22, 1e5, 355.0])
    yield from _unary("tan", (-1.2, 1.2))
    yield from _unary("arcsin", (-0.8, 0.8))
    yield from _unary("arccos", (-0.8, 0.8))
    yield from _unary("arctan", (-3, 3))
    yield from _unary("sinh", (-3, 3))
    yield from _unary("cosh", (-3, 3))
    yield from _unary("tanh", (-3, 3))
    yield from _unary("arcsinh", (-3, 3))
    yield from _unary("arccosh", (1.2, 4))
    yield from _unary("arctanh", (-0.8, 0.8))
    yield from _unary("sigmoid", (-5, 5), _scipy("expit"), ulp=3)
    yield from _unary("softplus", (-5, 5), lambda x: np.logaddexp(x, np.zeros((), x.dtype)), ulp=4)
    yield from _unary("relu", (-2.1, 2), lambda x: np.maximum(x, 0) + x.dtype.type(0), ulp=0)
    yield from _integers("relu", lambda x: np.maximum(x, 0))
    for name in ("floor", "ceil", "trunc", "rint"):
        edges = [*EDGES, 0.5, 1.5, 2.5, -0.5, -1.5, 4503599627370497.5]
        yield from _unary(name, (-2.2, 2.1), ulp=0, edges=edges)
    for name in ("floor", "ceil", "trunc"):
        yield from _integers(name)


def _pairs() -> Iterator[Sample]:
    yield from _binary("arctan2", ulp=2.5)
    yield from _binary("hypot", ulp=2.5)
    yield Sample(
        "hypot", trigonometry.hypot, (_array([1e200]), _array([1e200])), np.hypot, ulp=2, wrt=()
    )
    yield from _binary("logaddexp", ulp=6)
    yield from _binary("logaddexp2", ulp=6)
    for name in ("maximum", "minimum", "fmax", "fmin"):
        yield from _binary(name, truth=_settled_zeros(name), build=_settled(name))
        yield from _integer_pairs(name)
    yield from _binary("copysign", wrt=(0,))
    yield from _binary("nextafter", wrt=(), truth=_nextafter)
    yield from _binary("heaviside", wrt=())
    truth = _scipy("xlogy")
    yield from _binary("xlogy", (0.3, 2.0), (0.6, 3.0), truth=truth, ulp=4)
    mask = _array([0.0, 2.0, 0.0, -1.0]), _array([INF, 3.0, NAN, INF])
    yield Sample("masked_multiply", e.masked_multiply, mask, _masked, wrt=())
    yield Sample("masked_multiply", e.masked_multiply, (_array([1.5, -2.0]), _array([0.5, 3.0])),
                 _masked)  # fmt: skip


def _nextafter(x: Array, y: Array) -> Array:
    """NumPy's gives the first of two zeros in half precision, the second one in others, as C does."""
    return np.where(x == y, y, np.nextafter(x, y))


def _masked(g: Array, d: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.where(g == 0, 0.0, g * d)


def _settled_zeros(name: str) -> Callable[..., Any]:
    """The sign of max(+0, -0) is nobody's promise: add 0.0 on both sides to make it positive."""
    return lambda x, y: getattr(np, name)(x, y) + np.zeros((), x.dtype)


def _settled(name: str) -> Callable[..., Any]:
    return lambda x, y: _function(name)(x, y) + 0.0


def _clips() -> Iterator[Sample]:
    x = _array([1.0, 5.0, 9.0, NAN, -INF, INF])
    yield Sample(
        "clip", lambda v: selection.clip(v, 2.0, 6.0), (x,), lambda v: np.clip(v, 2, 6), wrt=()
    )
    yield Sample("clip", lambda v: selection.clip(v, 6.0, 3.0), (x,), lambda v: np.clip(v, 6, 3), wrt=(),
                 note="low above high")  # fmt: skip
    y = _spread(-2.1, 2.0, 7)
    yield Sample("clip", lambda v: selection.clip(v, -1.0, 1.0), (y,), lambda v: np.clip(v, -1, 1))
    yield Sample("clip", lambda v, a, b: selection.clip(v, a, b), (y, y * 0 - 0.5, y * 0 + 0.7),
                 np.clip)  # fmt: skip
    bytes_ = _array([0, 9, 255], "uint8")
    yield Sample(
        "clip", lambda v: selection.clip(v, -1, 300), (bytes_,), lambda v: v, note="beyond"
    )
    yield Sample("clip", lambda v: selection.clip(v, 3, 20), (bytes_,), lambda v: np.clip(v, 3, 20))


def _rounds() -> Iterator[Sample]:
    x = _array([0.5, 1.5, 2.5, -0.5, 2.675, 1234.5678])
    for decimals in (0, 2, -2):
        yield Sample("rint", lambda v, d=decimals: rounding.round(v, d), (x,),
                     lambda v, d=decimals: np.round(v, d), wrt=(), note=f"decimals={decimals}")  # fmt: skip
    yield Sample("rint", lambda v: rounding.round(v, -1), (np.array([15, 25, -15]),),
                 lambda v: np.array([20, 20, -20]), note="integers")  # fmt: skip


def _special() -> Iterator[Sample]:
    yield from _unary("erf", (-2, 2), _scipy("erf"), ulp=2.5)
    yield from _unary("erfc", (-2, 2), _scipy("erfc"), ulp=8, edges=[*EDGES[:12], 10.0, 26.0])
    x = _array([0.3, 0.7, 1.6, 2.5, 7.0, 30.5])
    for name in ("lgamma", "digamma"):
        truth = _scipy("gammaln" if name == "lgamma" else name)
        build = getattr(special, name)
        yield Sample(name, build, (x,), truth, rtol=1e-13, resize=((x[:4],),))
        yield Sample(name, build, (x.astype("float32"),), truth, rtol=2e-6)
        yield Sample(name, build, (_array([-0.5, -2.5, 0.1]),), truth, rtol=1e-13, wrt=())
        yield Sample(name, build, (_array([INF, NAN, 0.0]),), truth, wrt=(), note="edges")
    yield Sample("polygamma", lambda v: special.polygamma(1, v), (x,),
                 _polygamma_truth(1), rtol=1e-12)  # fmt: skip


def _polygamma_truth(n: int) -> Callable[..., Any]:
    def truth(x: Array) -> Any:
        import scipy.special

        return scipy.special.polygamma(n, x)

    return truth


SAMPLES = [
    *_arithmetic(), *_powers(), *_ordinary(), *_pairs(), *_clips(), *_rounds(), *_special(),
]  # fmt: skip
