"""Sizes as polynomials: what dims are made of, their one normal form, and their text.

    Dim     = int | DimExpr
    DimExpr = sum of integer * monomial          (interned; equal expressions are one object)
    monomial = product of atoms
    atom    = Symbol | FloorDiv(Dim, Dim) | Max(Dim, Dim)

A `Symbol` stands for a size that is known only when a compiled function is called; it is never
negative. Polynomials have one normal form, so equality of two expressions is identity, and
``a - b == 0`` proves that two dims agree for every size. Arithmetic on dims that come out constant
gives plain ints. What else can be said and done with them is in `symtensor.ir.dims`.
"""

from __future__ import annotations

import contextlib
import itertools
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, NoReturn, Union

from symtensor.errors import ShapeError, SymbolicValueError

Dim = Union[int, "DimExpr"]
Shape = tuple[Dim, ...]
Monomial = tuple["Atom", ...]

_serial = itertools.count()


class Atom:
    """What a dimension polynomial is built from; ordered by creation."""

    __slots__ = ("__weakref__", "serial")

    def __init__(self) -> None:
        self.serial = next(_serial)


class Symbol(Atom):
    """A size known at call time; identity is the object, `name` is for people."""

    __slots__ = ("name",)

    def __init__(self, name: str | None = None) -> None:
        super().__init__()
        self.name = name if name is not None else f"d{self.serial}"

    def __repr__(self) -> str:
        return self.name


class FloorDiv(Atom):
    """``numerator // denominator`` that does not simplify."""

    __slots__ = ("denominator", "numerator")

    def __init__(self, numerator: Dim, denominator: Dim) -> None:
        super().__init__()
        self.numerator = numerator
        self.denominator = denominator

    def __repr__(self) -> str:
        return f"floordiv({self.numerator}, {self.denominator})"


class Max(Atom):
    """``max(left, right)`` that does not simplify."""

    __slots__ = ("left", "right")

    def __init__(self, left: Dim, right: Dim) -> None:
        super().__init__()
        self.left = left
        self.right = right

    def __repr__(self) -> str:
        return f"max({self.left}, {self.right})"


class DimExpr:
    """A non-constant integer polynomial over atoms; immutable and interned."""

    __slots__ = ("__weakref__", "terms")
    terms: tuple[tuple[Monomial, int], ...]

    def __add__(self, other: Dim) -> Dim:
        return _combine(self, other, 1) if isinstance(other, (int, DimExpr)) else NotImplemented

    __radd__ = __add__

    def __sub__(self, other: Dim) -> Dim:
        return _combine(self, other, -1) if isinstance(other, (int, DimExpr)) else NotImplemented

    def __rsub__(self, other: Dim) -> Dim:
        return _combine(other, self, -1) if isinstance(other, int) else NotImplemented

    def __mul__(self, other: Dim) -> Dim:
        return _multiply(self, other) if isinstance(other, (int, DimExpr)) else NotImplemented

    __rmul__ = __mul__

    def __neg__(self) -> Dim:
        return _multiply(self, -1)

    def __floordiv__(self, other: Dim) -> Dim:
        return floordiv(self, other) if isinstance(other, (int, DimExpr)) else NotImplemented

    def __rfloordiv__(self, other: Dim) -> Dim:
        return floordiv(other, self) if isinstance(other, int) else NotImplemented

    def __mod__(self, other: Dim) -> Dim:
        if not isinstance(other, (int, DimExpr)):
            return NotImplemented
        return self - other * floordiv(self, other)

    def __int__(self) -> int:
        raise SymbolicValueError(
            f"the dimension {self} has no value before the function is called",
            help="compute with it symbolically, or give the placeholder a fixed size",
            code="ST0505",
        )

    __index__ = __int__

    def _no_order(self, other: object) -> NoReturn:
        raise SymbolicValueError(
            f"whether the dimension {self} exceeds {other} is not known before the function is called",
            help="compare tensors: symtensor.dim_value(d), or fix the size",
            code="ST0505",
        )

    __lt__ = __le__ = __gt__ = __ge__ = _no_order

    def __bool__(self) -> bool:
        raise SymbolicValueError(
            f"the truth of the dimension {self} is not known before the function is called",
            help="compare with `is`/`==` for the same expression, or fix the size",
            code="ST0505",
        )

    def __str__(self) -> str:
        return format_dim(self, _naming.get())

    __repr__ = __str__

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("dims are pickled with their graph, not alone")


# --- the normal form -------------------------------------------------------------------------------

_interned: weakref.WeakValueDictionary[tuple[tuple[Monomial, int], ...], DimExpr] = (
    weakref.WeakValueDictionary()
)
_atoms: weakref.WeakValueDictionary[tuple[object, Dim, Dim], Atom] = weakref.WeakValueDictionary()


def _monomial_key(monomial: Monomial) -> tuple[int, ...]:
    return (-len(monomial), *(atom.serial for atom in monomial))


def polynomial(coefficients: Mapping[Monomial, int]) -> Dim:
    """Return the normal form of a coefficient table: an int or the interned polynomial."""
    kept = {m: c for m, c in coefficients.items() if c}
    if not kept:
        return 0
    if len(kept) == 1 and () in kept:
        return kept[()]
    terms = tuple(sorted(kept.items(), key=lambda item: _monomial_key(item[0])))
    found = _interned.get(terms)
    if found is None:
        found = DimExpr()
        found.terms = terms
        found = _interned.setdefault(terms, found)
    return found


def terms_of(dim: Dim) -> tuple[tuple[Monomial, int], ...]:
    """Return the ``(monomial, coefficient)`` pairs of a dim; () is the constant monomial."""
    if isinstance(dim, int):
        return (((), dim),) if dim else ()
    return dim.terms


def _combine(a: Dim, b: Dim, sign: int) -> Dim:
    out = dict(terms_of(a))
    for monomial, coefficient in terms_of(b):
        out[monomial] = out.get(monomial, 0) + sign * coefficient
    return polynomial(out)


def _multiply(a: Dim, b: Dim) -> Dim:
    out: dict[Monomial, int] = {}
    for ma, ca in terms_of(a):
        for mb, cb in terms_of(b):
            m = tuple(sorted(ma + mb, key=lambda atom: atom.serial))
            out[m] = out.get(m, 0) + ca * cb
    return polynomial(out)


def from_atom(atom: Atom) -> DimExpr:
    """Return the dim that is just `atom`."""
    dim = polynomial({(atom,): 1})
    assert isinstance(dim, DimExpr)
    return dim


def symbol(name: str | None = None) -> DimExpr:
    """Return a fresh dimension, different from every other one."""
    return from_atom(Symbol(name))


def atom_of(kind: Callable[[Dim, Dim], Atom], a: Dim, b: Dim) -> Dim:
    """Return the dim that is just one atom of two dims: the same object for the same dims."""
    key = (kind, a, b)
    found = _atoms.get(key)
    if found is None:
        found = _atoms.setdefault(key, kind(a, b))
    return from_atom(found)


def floordiv(a: Dim, b: Dim) -> Dim:
    """Return ``a // b``; exact where every term of `a` is a multiple of `b`."""
    if isinstance(b, int):
        if b == 0:
            raise ShapeError(f"dimension {a} divided by zero")
        if isinstance(a, int):
            return a // b
        if b == 1:
            return a
    exact = _divide_exactly(a, b)
    if exact is not None:
        return exact
    if isinstance(a, DimExpr) and isinstance(b, int):
        # floor((b*q + r) / b) = q + floor(r / b): take the whole multiples out
        whole = polynomial({m: c // b for m, c in a.terms if c % b == 0})
        rest = polynomial({m: c for m, c in a.terms if c % b})
        return (
            whole + atom_of(FloorDiv, rest, b) if isinstance(rest, DimExpr) else whole + rest // b
        )
    return atom_of(FloorDiv, a, b)


def _divide_exactly(a: Dim, b: Dim) -> Dim | None:
    """Return q with ``q * b == a`` when b is a single term that divides each term of a."""
    if a is b or (isinstance(a, int) and a == b):
        return 1
    divisor = terms_of(b)
    if len(divisor) != 1:
        return None
    (mb, cb) = divisor[0]
    out: dict[Monomial, int] = {}
    for ma, ca in terms_of(a):
        rest = list(ma)
        for atom in mb:
            if atom not in rest:
                return None
            rest.remove(atom)
        if ca % cb:
            return None
        out[tuple(rest)] = ca // cb
    return polynomial(out)


# --- what is in a dim ------------------------------------------------------------------------------


def symbols_in(dim: Dim) -> set[Symbol]:
    """Return the symbols that `dim` depends on."""
    found: set[Atom] = (
        set()
    )  # dims share atoms: of sizes made of sizes each may hold the one before twice
    pending = [dim]
    while pending:
        for monomial, _ in terms_of(pending.pop()):
            for atom in set(monomial) - found:
                if isinstance(atom, FloorDiv):
                    pending += [atom.numerator, atom.denominator]
                elif isinstance(atom, Max):
                    pending += [atom.left, atom.right]
            found.update(monomial)
    return {atom for atom in found if isinstance(atom, Symbol)}


def symbol_dim(symbol: Symbol) -> Dim:
    """Return the dim that is just `symbol`."""
    return from_atom(symbol)


def as_symbol(dim: Dim) -> Symbol | None:
    """Return the symbol when `dim` is one bare symbol, else None."""
    if isinstance(dim, DimExpr) and len(dim.terms) == 1:
        monomial, coefficient = dim.terms[0]
        if coefficient == 1 and len(monomial) == 1 and isinstance(monomial[0], Symbol):
            return monomial[0]
    return None


# --- text ------------------------------------------------------------------------------------------

Naming = Callable[[Symbol], str]
_naming: ContextVar[Naming] = ContextVar("naming", default=lambda symbol: symbol.name)


@contextlib.contextmanager
def named(naming: Naming | None) -> Iterator[None]:
    """Let ``str`` of dims and types name symbols like this, for instance as a graph's text does."""
    token = _naming.set(naming or _naming.get())
    try:
        yield
    finally:
        _naming.reset(token)


def format_dim(
    dim: Dim, name: Callable[[Symbol], str], written: dict[Atom, str] | None = None
) -> str:
    """Return the text of a dim, e.g. ``2*n*m + floordiv(n, 2) - 1``.

    With `written` a quotient or maximum stands there in full once and later as ``#0``, ``#1``…: one may
    hold another twice, and that a third twice.
    """
    if isinstance(dim, int):
        return str(dim)
    parts: list[str] = []
    for monomial, coefficient in dim.terms:
        factors = [_format_atom(atom, name, written) for atom in monomial]
        if abs(coefficient) != 1 or not factors:
            factors.insert(0, str(abs(coefficient)))
        sign = ("-" if coefficient < 0 else "") if not parts else (" - ", " + ")[coefficient > 0]
        parts.append(sign + "*".join(factors))
    return "".join(parts)


def _format_atom(atom: Atom, name: Callable[[Symbol], str], written: dict[Atom, str] | None) -> str:
    if isinstance(atom, Symbol):
        return name(atom)
    if written is not None and atom in written:
        return written[atom]
    if isinstance(atom, FloorDiv):
        word, inner = "floordiv", (atom.numerator, atom.denominator)
    else:
        assert isinstance(atom, Max)
        word, inner = "max", (atom.left, atom.right)
    text = f"{word}({', '.join(format_dim(d, name, written) for d in inner)})"
    if written is not None:
        written[atom] = f"#{len(written)}"
    return text


def ordered_symbols(dim: Dim) -> list[Symbol]:
    """Return the symbols of a dim in the order in which its text names them."""
    found: list[Symbol] = []
    format_dim(dim, lambda s: found.append(s) or s.name, {})  # type: ignore[func-returns-value]
    return found
