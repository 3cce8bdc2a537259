"""Fit the polynomials of symtensor/codegen/coefficients.py and print that module.

Each row approximates a correction term by a near-minimax (Chebyshev) polynomial in high precision:
what remains after the leading terms that the vector code adds exactly. Needs mpmath; run

    python tools/fit_coefficients.py > symtensor/codegen/coefficients.py
"""

import mpmath as mp

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


QUARTER = (mp.pi / 4 * mp.mpf("1.001")) ** 2
ROWS = [
    ("EXP", series(exp_term, "0.5"), (-LN2_HALF, LN2_HALF), 6, 11),
    ("LOG", series(atanh_term, mp.mpf(2) / 3), (0, mp.mpf("0.02945")), 4, 8),
    ("TANH", series(tanh_term, mp.mpf(-1) / 3), (0, mp.mpf("0.36")), 6, 13),
    ("SIN", series(sin_term, mp.mpf(-1) / 6), (0, QUARTER), 4, 7),
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
            fitted, error = mp.chebyfit(f, list(interval), terms, error=True)
            values = ", ".join(repr(float(c)) for c in reversed(fitted))
            print(f"{name}{suffix} = ({values})  # error {mp.nstr(error, 3)}")
    for name, value in SPLITS:
        print(f"{name}_32 = {split(value, 3, 11)}")
        print(f"{name}_64 = {split(value, 3, 33)}")
    for name, value in (("LOG2_E", 1 / mp.log(2)), ("LOG10_E", mp.log10(mp.e))):
        print(f"{name} = {(float(value), float(value - mp.mpf(float(value))))}  # high, low")


if __name__ == "__main__":
    main()
