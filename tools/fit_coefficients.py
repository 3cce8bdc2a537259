"""Fit the polynomials of vector mathematics; write the two modules of symtensor/codegen that hold them.

coefficients.py has the polynomials and the constants split into floats, register_tables.py the sixteen
polynomials, or other numbers, that one instruction chooses from.

Each row approximates a correction term, what remains after the leading terms that the vector code adds
exactly, by the polynomial whose largest weighted error is least (Remez, "Sur le calcul effectif des
polynômes d'approximation de Tchebichef", 1934), in high precision. Needs mpmath; run

    python tools/fit_coefficients.py && make format
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np

mp.mp.dps = 60
GRID = 601
"""Points of an interval that are looked at, less one; odd, so that a zero weight inside is no point."""
EXCHANGES = 30
LN2_HALF = mp.log(2) / 2 * mp.mpf("1.001")


def series(f, at_zero):
    """Return f with its limit at 0 filled in."""
    return lambda x: mp.mpf(at_zero) if abs(x) < mp.mpf("1e-25") else f(x)


def atanh_term(z):
    s = mp.sqrt(z)
    return (2 * mp.atanh(s) - 2 * s) / (s * z)


def tanh_term(z):
    x = mp.sqrt(z)
    return (mp.tanh(x) / x - 1) / z


def sin_term(z):
    x = mp.sqrt(z)
    return (mp.sin(x) / x - 1) / z


def cos_term(z):
    return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2


def exp_term(r):
    return (mp.expm1(r) - r) / r**2


def odd_term(f):
    """Return (f(x)/x - 1) / x**2 as a function of x**2, for an odd f of slope 1."""

    def term(z):
        x = mp.sqrt(z)
        return (f(x) / x - 1) / z

    return term


def even_softplus(z):
    """Return (log(1 + exp(x)) - x/2 - log(2)) / x**2 of z = x**2."""
    return (mp.log(mp.cosh(mp.sqrt(z) / 2))) / z


def erf_term(z):
    x = mp.sqrt(z)
    return mp.erf(x) / x - 1


def erf_tail(middle, half):
    """Return -log(erfc(x)) / x of t, for x = middle + half t."""
    return lambda t: -mp.log(mp.erfc(middle + half * t)) / (middle + half * t)


def scaled_erfc(t):
    """Return (1 + 2 x) exp(x**2) erfc(x) of t = (x - 4) / (x + 4)."""
    x = 4 * (1 + t) / (1 - t)
    return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)


LGAMMA_MIDDLE = mp.mpf("1.25")


def lgamma_middle(w):
    """Return lgamma(y) / (y - 1) / (y - 2) of w = (y - 5/4) / (y + 5/4)."""
    y = LGAMMA_MIDDLE * (1 + w) / (1 - w)
    for root in (1, 2):
        if abs(y - root) < mp.mpf("1e-20"):
            return mp.digamma(root) / (2 * root - 3)
    return mp.loggamma(y) / ((y - 1) * (y - 2))


def stirling_rest(z):
    """Return what Stirling's formula for lgamma(y) leaves, times y, of z = 1/y**2."""
    if z < mp.mpf("1e-3"):
        return sum(mp.bernoulli(2 * k) / (2 * k * (2 * k - 1)) * z ** (k - 1) for k in range(1, 20))
    y = 1 / mp.sqrt(z)
    return y * (mp.loggamma(y) - (y - mp.mpf("0.5")) * mp.log(y) + y - mp.log(2 * mp.pi) / 2)


def atanh_rest(z):
    """Return what atanh_term leaves after 2/3."""
    return (atanh_term(z) - mp.mpf(2) / 3) / z


def one(x):
    return mp.mpf(1)


def relative(f, remainder):
    """Return the weight of errors of a term that is multiplied by `remainder`, as a part of f."""
    return lambda x: remainder(x) / f(x) if remainder(x) else mp.mpf(0)


def half_expm1(r):
    """Return expm1(2 r) / 2."""
    return mp.expm1(2 * r) / 2


def erf_inner(u):
    """Return erf(x)/x - 1 of u = x**2 - 3/2."""
    z = u + mp.mpf("1.5")
    return erf_term(z) if z > mp.mpf("1e-25") else 2 / mp.sqrt(mp.pi) - 1


def erf_outer(t):
    return mp.erf(t + mp.mpf("2.8125"))


@dataclass
class Row:
    """A table: function, interval, terms in single (0: computed in double) and in double precision."""

    name: str
    function: Callable[[Any], Any]
    interval: tuple[Any, Any]
    single: int
    double: int
    weight: Callable[[Any], Any] = one


ERF_NEAR = mp.mpf("0.925") ** 2
ATAN_NEAR = (mp.tan(mp.pi / 8) * mp.mpf("1.001")) ** 2
QUARTER = (mp.pi / 4 * mp.mpf("1.001")) ** 2
ATANH_NEAR = mp.mpf("0.0401")
ROWS = [
    Row("EXP", series(exp_term, "0.5"), (-LN2_HALF, LN2_HALF), 5, 10, relative(mp.exp, lambda r: r * r)),
    Row("EXP_NEAR", series(exp_term, "0.5"), (-LN2_HALF / 16, LN2_HALF / 16), 2, 0,
        relative(mp.exp, lambda r: r * r)),
    Row("EXPM1", series(exp_term, "0.5"), (-LN2_HALF, LN2_HALF), 6, 11),
    Row("LOG1P", series(lambda t: (mp.log1p(t) - t) / t**2, "-0.5"), (mp.mpf("-0.0316"), mp.mpf("0.0626")),
        4, 0, abs),
    Row("SOFTPLUS", series(lambda e: (mp.log1p(e) - e) / e**2, "-0.5"), (0, mp.exp(-1)), 7, 14,
        relative(mp.log1p, lambda e: e * e)),
    Row("SOFTPLUS_NEAR", series(even_softplus, "0.125"), (0, 1), 5, 10),
    Row("LOG", series(atanh_term, mp.mpf(2) / 3), (0, ATANH_NEAR), 3, 7, lambda z: z / 2),
    Row("TANH", series(lambda r: (half_expm1(r) - r) / r**2, 1), (mp.mpf("-0.001"), LN2_HALF), 6, 11,
        relative(half_expm1, lambda r: r * r)),
    Row("SIN", series(sin_term, mp.mpf(-1) / 6), (0, QUARTER), 4, 7),
    Row("COS", series(cos_term, mp.mpf(1) / 24), (0, QUARTER), 3, 6),
    Row("ATAN", series(odd_term(mp.atan), mp.mpf(-1) / 3), (0, ATAN_NEAR), 5, 12),
    Row("ASIN", series(odd_term(mp.asin), mp.mpf(1) / 6), (0, mp.mpf("0.251")), 6, 14),
    Row("SINH", series(odd_term(mp.sinh), mp.mpf(1) / 6), (0, mp.mpf("1.001")), 0, 8),
    Row("ASINH", series(odd_term(mp.asinh), mp.mpf(-1) / 6), (0, mp.mpf("0.251")), 0, 15),
    Row("ATANH", series(odd_term(mp.atanh), mp.mpf(1) / 3), (0, mp.mpf("0.0905")), 0, 11),
    Row("ERF_INNER", erf_inner, (mp.mpf("-1.5"), mp.mpf("1.75") ** 2 - mp.mpf("1.5")), 10, 0,
        lambda u: 1 / (1 + erf_inner(u))),
    Row("ERF_OUTER", erf_outer, (mp.mpf("1.75") - mp.mpf("2.8125"), mp.mpf("1.1125")), 11, 0,
        lambda t: 1 / erf_outer(t)),
    Row("ERF", series(erf_term, 2 / mp.sqrt(mp.pi) - 1), (0, ERF_NEAR), 0, 14),
    Row("ERF_TAIL", erf_tail(mp.mpf("3.45"), mp.mpf("2.55")), (-1, 1), 0, 27),
    Row("ERFC", scaled_erfc, (mp.mpf("-0.79"), mp.mpf("0.76")), 0, 24),
    Row("LGAMMA", lgamma_middle, (mp.mpf("-0.429"), mp.mpf("0.412")), 0, 24, lambda w: 1 / lgamma_middle(w)),
    Row("STIRLING", stirling_rest, (0, mp.mpf("0.1112")), 0, 10, mp.sqrt),
    Row("LOG_REST", series(atanh_rest, mp.mpf(2) / 5), (0, ATANH_NEAR), 0, 9),
]  # fmt: skip
SPLITS = [
    ("LN2_32", mp.log(2), 11), ("LN2_64", mp.log(2), 33), ("LOG10_2_64", mp.log10(2), 33),
    ("HALF_PI_64", mp.pi / 2, 33),
    ("HALF_PI_FUSED32", mp.pi / 2, 24), ("HALF_PI_FUSED64", mp.pi / 2, 53),
]  # fmt: skip


def split(value, parts, bits):
    """Return `value` as a sum of floats with `bits` significant bits, the last one full."""
    out = []
    for i in range(parts):
        if i == parts - 1:
            out.append(float(value))
            break
        exponent = int(mp.floor(mp.log(abs(value), 2))) + 1 - bits
        head = mp.floor(value / mp.mpf(2) ** exponent) * mp.mpf(2) ** exponent
        out.append(float(head))
        value -= head
    return tuple(out)


def minimax(f, weight, interval, terms):
    """Return coefficients, lowest power first, and the largest weighted error."""
    low, high = map(mp.mpf, interval)
    points = [(low + high - (high - low) * mp.cos(mp.pi * k / GRID)) / 2 for k in range(GRID + 1)]
    values, weights = list(map(f, points)), list(map(weight, points))
    chosen: Sequence[int] = [round(k * GRID / terms) for k in range(terms + 1)]
    for _ in range(EXCHANGES):
        fitted = level_fit([(points[k], values[k], weights[k]) for k in chosen])
        errors = [
            w * (y - mp.polyval(fitted[::-1], x))
            for x, y, w in zip(points, values, weights, strict=True)
        ]
        extrema = alternating_extrema(errors, terms + 1)
        if extrema == chosen:
            break
        chosen = extrema
    return fitted, max(map(abs, errors))


def level_fit(points):
    """Return the polynomial whose weighted errors at the points are equal but for alternating signs."""
    terms = len(points) - 1
    matrix, right = mp.matrix(terms + 1), mp.matrix(terms + 1, 1)
    for i, (x, y, w) in enumerate(points):
        for j in range(terms):
            matrix[i, j] = w * x**j
        matrix[i, terms] = (-1) ** i
        right[i] = w * y
    return list(mp.lu_solve(matrix, right))[:terms]


def alternating_extrema(errors, count):
    """Return where the errors are largest, one place per run of equal signs."""
    found: list[int] = []
    for k, error in enumerate(errors):
        if found and (errors[found[-1]] >= 0) == (error >= 0):
            if abs(error) > abs(errors[found[-1]]):
                found[-1] = k
        else:
            found.append(k)
    while len(found) > count:
        found.pop(0 if abs(errors[found[0]]) < abs(errors[found[-1]]) else -1)
    assert len(found) == count, "the errors of a best polynomial alternate"
    return found


PIECES = [
    # name, function, its slope at 0, distance of the centres, terms, what slopes are less;
    # erf of the first centres is nearly a float
    ("ERF", mp.erf, 2 / mp.sqrt(mp.pi), mp.mpf("0.25732421875"), 6, 1),
    ("TANH", mp.tanh, 1, mp.mpf("0.6015625"), 8, 0),
]
LOOKED_UP = 16
"""Numbers of a table that is looked up in registers."""


def pieces(f, slope, step, terms, less):
    """Return, power by power, polynomials in t for f(k step + t) - less t, f odd."""
    half = step / 2 * mp.mpf("1.001")
    ratio = series(lambda t: f(t) / t - less, slope - less)
    rows = [[0, *minimax(ratio, lambda t: 1 / (less + ratio(t)), (0, half), terms - 1)[0]]]
    for k in range(1, LOOKED_UP):
        start, slope, *rest = minimax(*around(f, k * step), (-half, half), terms)[0]
        rows.append([start, slope - less, *rest])
    return list(zip(*rows, strict=True))


def around(f, centre):
    """Return f(centre + t) as a function of t, and the weight of its relative error."""
    return lambda t: f(centre + t), lambda t: 1 / f(centre + t)


LN2_NEAR = float(np.float32(float(mp.log(2))))


def log_pieces():
    """Return (inverses, logarithms) for sixteenths of a mantissa m: of 1 + j/16, and half of it from 8 on.

    An inverse is a float near 1/m of which -log is nearly a float too, that of halves less log 2 as used.
    Beside 1 it is 1, which leaves all digits of the logarithm there.
    """
    inverses, logs = [mp.mpf(1)], [mp.mpf(0)]
    for j in range(1, LOOKED_UP - 1):
        scale, more = (2, mp.mpf(LN2_NEAR)) if j >= LOOKED_UP // 2 else (1, 0)
        middle = np.float32(scale / (1 + (j + 0.5) / LOOKED_UP))
        near = [mp.mpf(float(middle + k * np.spacing(middle))) for k in range(-800, 801)]
        found = min(near, key=lambda r, more=more: abs(single_error(more - mp.log(r))))
        inverses.append(found)
        logs.append(more - mp.log(found))
    return [*inverses, mp.mpf(1)], [*logs, mp.mpf(LN2_NEAR)]


def single_error(value):
    return value - mp.mpf(float(np.float32(float(value))))


def as_floats(rows):
    return tuple(tuple(float(x) for x in row) for row in rows)


def polynomials():
    """Yield the lines of coefficients.py."""
    yield '"""Polynomial coefficients, lowest power first. Made by tools/fit_coefficients.py."""'
    for row in ROWS:
        for suffix, terms in (("32", row.single), ("64", row.double)):
            if terms:
                fitted, error = minimax(row.function, row.weight, row.interval, terms)
                values = ", ".join(repr(float(c)) for c in fitted)
                yield f"{row.name}{suffix} = ({values})  # error {mp.nstr(error, 3)}"
                if row.name == "ERFC":
                    rest = float(fitted[0] - float(fitted[0]))
                    yield f"ERFC_REST{suffix} = {rest}  # of the first"
    for name, value, bits in SPLITS:
        yield f"{name} = {split(value, 3, bits)}"
    rest = float(mp.log(2) - mp.mpf(LN2_NEAR))
    yield f"LN2_FUSED32 = {(LN2_NEAR, rest)}  # nearest float, and the rest"
    yield f"LN2_FUSED64 = {(float(mp.log(2)), float(mp.log(2) - mp.mpf(float(mp.log(2)))))}"
    for name, value in (("LOG2_E", 1 / mp.log(2)), ("LOG10_E", mp.log10(mp.e))):
        yield f"{name} = {(float(value), float(value - mp.mpf(float(value))))}  # high, low"


def tables():
    """Yield the lines of register_tables.py."""
    yield '"""Tables of sixteen numbers, a row for each term. Made by tools/fit_coefficients.py."""'
    for name, f, slope, step, terms, less in PIECES:
        yield f"{name}_STEP = {float(step)}"
        yield f"{name}_PIECES32 = {as_floats(pieces(f, slope, step, terms, less))}"
    yield f"EXP_PIECES32 = {tuple(float(mp.mpf(2) ** (mp.mpf(j) / LOOKED_UP)) for j in range(LOOKED_UP))}"
    yield f"LOG_PIECES32 = {as_floats(log_pieces())}  # 1/m, -log"


def main():
    folder = Path(__file__).parents[1] / "symtensor" / "codegen"
    for name, lines in (("coefficients.py", polynomials()), ("register_tables.py", tables())):
        (folder / name).write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
