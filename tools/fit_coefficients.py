"""Fit the polynomials of symtensor/codegen/coefficients.py and print that module.

Each row approximates a correction term by a near-minimax (Chebyshev) polynomial in high precision:
what remains after the leading terms that the vector code adds exactly. Needs mpmath; run

    python tools/fit_coefficients.py > symtensor/codegen/coefficients.py
"""

import mpmath as mp
import numpy as np

mp.mp.dps = 60
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


def atanh_rest(z):
    """Return what atanh_term leaves after 2/3."""
    return (atanh_term(z) - mp.mpf(2) / 3) / z


ERF_NEAR = mp.mpf("0.925") ** 2
ATAN_NEAR = (mp.tan(mp.pi / 8) * mp.mpf("1.001")) ** 2
QUARTER = (mp.pi / 4 * mp.mpf("1.001")) ** 2
ROWS = [
    ("EXP", series(exp_term, "0.5"), (-LN2_HALF, LN2_HALF), 6, 11),
    ("LOG", series(atanh_term, mp.mpf(2) / 3), (0, mp.mpf("0.02945")), 4, 8),
    ("TANH", series(tanh_term, mp.mpf(-1) / 3), (0, mp.mpf("0.36")), 6, 13),
    ("SIN", series(sin_term, mp.mpf(-1) / 6), (0, QUARTER), 4, 7),
    ("ATAN", series(odd_term(mp.atan), mp.mpf(-1) / 3), (0, ATAN_NEAR), 5, 12),
    ("ASIN", series(odd_term(mp.asin), mp.mpf(1) / 6), (0, mp.mpf("0.251")), 6, 14),
    ("SINH", series(odd_term(mp.sinh), mp.mpf(1) / 6), (0, mp.mpf("1.001")), 0, 8),
    ("ASINH", series(odd_term(mp.asinh), mp.mpf(-1) / 6), (0, mp.mpf("0.251")), 0, 15),
    ("ATANH", series(odd_term(mp.atanh), mp.mpf(1) / 3), (0, mp.mpf("0.0905")), 0, 11),
    ("ERF", series(erf_term, 2 / mp.sqrt(mp.pi) - 1), (0, ERF_NEAR), 7, 14),
    (
        "ERF_TAIL",
        {
            "32": erf_tail(mp.mpf("2.45"), mp.mpf("1.55")),
            "64": erf_tail(mp.mpf("3.45"), mp.mpf("2.55")),
        },
        (-1, 1),
        9,
        27,
    ),
    ("ERFC", scaled_erfc, (mp.mpf("-0.79"), mp.mpf("0.76")), 0, 24),
    ("LOG_REST", series(atanh_rest, mp.mpf(2) / 5), (0, mp.mpf("0.02945")), 0, 8),
    ("COS", series(cos_term, mp.mpf(1) / 24), (0, QUARTER), 4, 7),
]
SPLITS = [("LN2", mp.log(2)), ("LOG10_2", mp.log10(2)), ("HALF_PI", mp.pi / 2)]


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


def main():
    print('"""Polynomial coefficients, lowest power first. Made by tools/fit_coefficients.py."""')
    for name, f, interval, single, double in ROWS:
        for suffix, terms in (("32", single), ("64", double)):
            if not terms:
                continue  # single precision is computed in double lanes
            function = f[suffix] if isinstance(f, dict) else f
            fitted, error = mp.chebyfit(function, list(interval), terms, error=True)
            values = ", ".join(repr(float(c)) for c in reversed(fitted))
            print(f"{name}{suffix} = ({values})  # error {mp.nstr(error, 3)}")
    for name, value in SPLITS:
        print(f"{name}_32 = {split(value, 3, 11)}")
        print(f"{name}_64 = {split(value, 3, 33)}")
    near = mp.mpf(float(np.float32(float(mp.log(2)))))
    print(f"LN2_FUSED32 = {(float(near), float(mp.log(2) - near))}  # nearest float, and the rest")
    print(f"LN2_FUSED64 = {(float(mp.log(2)), float(mp.log(2) - mp.mpf(float(mp.log(2)))))}")
    for name, value in (("LOG2_E", 1 / mp.log(2)), ("LOG10_E", mp.log10(mp.e))):
        print(f"{name} = {(float(value), float(value - mp.mpf(float(value))))}  # high, low")


if __name__ == "__main__":
    main()
