"""What holds for every value of the symbols: bounds of dims, and which sizes surely agree or differ.

All answers are one-sided. What can't be proved equal is not assumed different, nor the other way round:
a guard then looks at the sizes of the call.
"""

from __future__ import annotations

import weakref

from symtensor.ir.polynomials import Atom, Dim, FloorDiv, Max, Shape, Symbol, from_atom, terms_of

_bounds: weakref.WeakKeyDictionary[Atom, int | None] = weakref.WeakKeyDictionary()
"""Lower bounds that were asked for: atoms are shared by dims, and one may hold another many times."""


def _atom_lower_bound(atom: Atom) -> int | None:
    if atom not in _bounds:
        _bounds[atom] = _find_atom_lower_bound(atom)
    return _bounds[atom]


def _find_atom_lower_bound(atom: Atom) -> int | None:
    if isinstance(atom, Max):
        bounds = [b for b in (lower_bound(atom.left), lower_bound(atom.right)) if b is not None]
        return max(bounds) if bounds else None
    if isinstance(atom, FloorDiv) and isinstance(atom.denominator, int) and atom.denominator > 0:
        bound = lower_bound(atom.numerator)
        return None if bound is None else bound // atom.denominator
    return 0 if isinstance(atom, Symbol) else None


def lower_bound(dim: Dim) -> int | None:
    """Return a number that `dim` is never below, or None when none is known."""
    total = 0
    for monomial, coefficient in terms_of(dim):
        if not monomial:
            total += coefficient
            continue
        bounds = [_atom_lower_bound(atom) for atom in monomial]
        if coefficient < 0 or any(b is None or b < 0 for b in bounds):
            return None
        term = coefficient
        for b in bounds:
            assert b is not None
            term *= b
        total += term
    return total


def provably_nonnegative(dim: Dim) -> bool:
    """Return True when `dim` is known never to be below 0.

    What is subtracted is bounded from above: ``d - max(l, r)`` by its two cases, and
    ``d - floordiv(p, q)`` with a positive int q by ``(q*d - p) / q``.
    """
    bound = lower_bound(dim)
    if bound is not None:
        return bound >= 0
    for monomial, coefficient in terms_of(dim):
        if coefficient > 0 or len(monomial) != 1:
            continue
        atom = monomial[0]
        rest = dim - coefficient * from_atom(atom)
        if isinstance(atom, Max):
            cases = (rest + coefficient * atom.left, rest + coefficient * atom.right)
            return all(map(provably_nonnegative, cases))
        if isinstance(atom, FloorDiv) and isinstance(atom.denominator, int):
            q = atom.denominator
            return q > 0 and provably_nonnegative(q * rest + coefficient * atom.numerator)
    return False


def same(a: Dim, b: Dim) -> bool:
    """Return True when `a` and `b` are provably equal for every size."""
    return a == b if isinstance(a, int) and isinstance(b, int) else a is b


def same_shape(a: Shape, b: Shape) -> bool:
    """Return True when two shapes are provably equal."""
    return len(a) == len(b) and all(map(same, a, b))


def provably_different(a: Dim, b: Dim) -> bool:
    """Return True when no sizes make `a` and `b` equal, as far as bounds can tell."""
    difference = a - b
    if isinstance(difference, int):
        return difference != 0
    up, down = lower_bound(difference), lower_bound(-difference)
    return (up is not None and up > 0) or (down is not None and down > 0)
