"""Symbolic dimensions, as everybody imports them: arithmetic, names, values.

What a dim is says `symtensor.ir.polynomials`; what can be proved of it `symtensor.ir.size_proofs`. Both
are here too. Whatever a polynomial with floor division and maximum can't be (ceil division, remainder,
minimum) is written with these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from symtensor.errors import AttributeValueError, ShapeError
from symtensor.ir.polynomials import (
    Atom,
    Dim,
    DimExpr,
    FloorDiv,
    Max,
    Monomial,
    Naming,
    Shape,
    Symbol,
    as_symbol,
    atom_of,
    floordiv,
    format_dim,
    from_atom,
    named,
    ordered_symbols,
    symbol,
    symbol_dim,
    symbols_in,
    terms_of,
)
from symtensor.ir.size_proofs import (
    lower_bound,
    provably_different,
    provably_nonnegative,
    same,
    same_shape,
)

# --- arithmetic ------------------------------------------------------------------------------------


def maximum(a: Dim, b: Dim) -> Dim:
    """Return ``max(a, b)``, simplified where one is provably the larger."""
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    if provably_nonnegative(a - b):
        return a
    if provably_nonnegative(b - a):
        return b
    return atom_of(Max, a, b)


def minimum(a: Dim, b: Dim) -> Dim:
    """Return ``min(a, b)``."""
    return a + b - maximum(a, b)


def ceildiv(a: Dim, b: Dim) -> Dim:
    """Return ``ceil(a / b)`` for a positive `b`."""
    return floordiv(a + b - 1, b)


def product(dims: Iterable[Dim]) -> Dim:
    """Return the product of dims; 1 for none."""
    out: Dim = 1
    for d in dims:
        out = out * d
    return out


def total(dims: Iterable[Dim]) -> Dim:
    """Return the sum of dims; 0 for none."""
    out: Dim = 0
    for d in dims:
        out = out + d
    return out


# --- names -----------------------------------------------------------------------------------------

_named: dict[str, DimExpr] = {}


def dim(name: str) -> DimExpr:
    """Return the dimension called `name`: the same object for the same name, everywhere.

    Two placeholders of shape ``("batch", 3)`` and ``("batch",)`` share their first size.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise AttributeValueError(
            f"a dimension name must be an identifier, found {name!r}", code="ST0306"
        )
    if name not in _named:
        _named[name] = symbol(name)
    return _named[name]


def is_global(symbol: Symbol) -> bool:
    """Return True for the symbol of a dimension made by `dim(name)`."""
    return symbol.name in _named and as_symbol(_named[symbol.name]) is symbol


# --- values ----------------------------------------------------------------------------------------


def substitute(dim: Dim, env: Mapping[Symbol, Dim]) -> Dim:
    """Return `dim` with symbols replaced; symbols missing from `env` stay."""
    return dim if isinstance(dim, int) else _substitute(dim, env, {})


def _substitute(dim: Dim, env: Mapping[Symbol, Dim], done: dict[Atom, Dim]) -> Dim:
    """`done` has what atoms became: one may hold another many times."""
    if isinstance(dim, int):
        return dim
    total: Dim = 0
    for monomial, coefficient in dim.terms:
        term: Dim = coefficient
        for atom in monomial:
            term = term * _substitute_atom(atom, env, done)
        total = total + term
    return total


def _substitute_atom(atom: Atom, env: Mapping[Symbol, Dim], done: dict[Atom, Dim]) -> Dim:
    if isinstance(atom, Symbol):
        replacement = env.get(atom)
        return from_atom(atom) if replacement is None else replacement
    if atom not in done:
        if isinstance(atom, FloorDiv):
            rule, parts = floordiv, (atom.numerator, atom.denominator)
        else:
            assert isinstance(atom, Max)
            rule, parts = maximum, (atom.left, atom.right)
        left, right = (_substitute(part, env, done) for part in parts)
        done[atom] = rule(left, right)
    return done[atom]


def evaluate(dim: Dim, env: Mapping[Symbol, int]) -> int:
    """Return the value of `dim`; raises `ShapeError` when a symbol has no value."""
    value = substitute(dim, env)
    if isinstance(value, int):
        return value
    missing = ", ".join(sorted(s.name for s in symbols_in(value)))
    raise ShapeError(
        f"the size {dim} depends on {missing}, which no input of the function determines",
        help="pass a placeholder that has this dimension, or fix the size",
        code="ST0111",
    )


__all__ = [
    "Atom", "Dim", "DimExpr", "FloorDiv", "Max", "Monomial", "Naming", "Shape", "Symbol", "as_symbol",
    "ceildiv", "dim", "evaluate", "floordiv", "format_dim", "is_global", "lower_bound", "maximum",
    "minimum", "named", "ordered_symbols", "product", "provably_different", "provably_nonnegative", "same",
    "same_shape", "substitute", "symbol", "symbol_dim", "symbols_in", "terms_of", "total",
]  # fmt: skip
