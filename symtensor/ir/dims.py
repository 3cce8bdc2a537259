"""Symbolic dimensions.

    Dim     = int | DimExpr
    DimExpr = sum of integer * monomial          (interned; equal expressions are one object)
    monomial = product of atoms
    atom    = Symbol | FloorDiv(Dim, Dim) | Max(Dim, Dim)

A `Symbol` stands for a size that is known only when a compiled function is called; it is never
negative. Polynomials have one normal form, so equality of two expressions is identity, and
``a - b == 0`` proves that two dims agree for every size. What can't be proved equal is not
assumed different: see `provably_different`. Arithmetic on dims that come out constant gives plain
ints. Everything else (ceil division, remainder, minimum) is written with these atoms.
"""

from __future__ import annotations

import contextlib
import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, NoReturn, Union

from symtensor.errors import AttributeValueError, ShapeError, SymbolicValueError

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


_interned: weakref.WeakValueDictionary[tuple[tuple[Monomial, int], ...], DimExpr] = (
    weakref.WeakValueDictionary()
)
_atoms: weakref.WeakValueDictionary[tuple[object, Dim, Dim], Atom] = weakref.WeakValueDictionary()
_named: dict[str, DimExpr] = {}


def _monomial_key(monomial: Monomial) -> tuple[int, ...]:
    return (-len(monomial), *(atom.serial for atom in monomial))


def _make(coefficients: Mapping[Monomial, int]) -> Dim:
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
    return _make(out)


def _multiply(a: Dim, b: Dim) -> Dim:
    out: dict[Monomial, int] = {}
    for ma, ca in terms_of(a):
        for mb, cb in terms_of(b):
            m = tuple(sorted(ma + mb, key=lambda atom: atom.serial))
            out[m] = out.get(m, 0) + ca * cb
    return _make(out)


def _from_atom(atom: Atom) -> DimExpr:
    dim = _make({(atom,): 1})
    assert isinstance(dim, DimExpr)
    return dim


def symbol(name: str | None = None) -> DimExpr:
    """Return a fresh dimension, different from every other one."""
    return _from_atom(Symbol(name))


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


def _atom(kind: Callable[[Dim, Dim], Atom], a: Dim, b: Dim) -> Dim:
    key = (kind, a, b)
    found = _atoms.get(key)
    if found is None:
        found = _atoms.setdefault(key, kind(a, b))
    return _from_atom(found)


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
        whole = _make({m: c // b for m, c in a.terms if c % b == 0})
        rest = _make({m: c for m, c in a.terms if c % b})
        return whole + _atom(FloorDiv, rest, b) if isinstance(rest, DimExpr) else whole + rest // b
    return _atom(FloorDiv, a, b)


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
    return _make(out)


def maximum(a: Dim, b: Dim) -> Dim:
    """Return ``max(a, b)``, simplified where one is provably the larger."""
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    if provably_nonnegative(a - b):
        return a
    if provably_nonnegative(b - a):
        return b
    return _atom(Max, a, b)


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


def _atom_lower_bound(atom: Atom) -> int | None:
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
        rest = dim - coefficient * _from_atom(atom)
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


def symbols_in(dim: Dim) -> set[Symbol]:
    """Return the symbols that `dim` depends on."""
    found: set[Symbol] = set()
    pending = [dim]
    while pending:
        for monomial, _ in terms_of(pending.pop()):
            for atom in monomial:
                if isinstance(atom, Symbol):
                    found.add(atom)
                elif isinstance(atom, FloorDiv):
                    pending += [atom.numerator, atom.denominator]
                elif isinstance(atom, Max):
                    pending += [atom.left, atom.right]
    return found


def is_global(symbol: Symbol) -> bool:
    """Return True for the symbol of a dimension made by `dim(name)`."""
    return symbol.name in _named and as_symbol(_named[symbol.name]) is symbol


def ordered_symbols(dim: Dim) -> list[Symbol]:
    """Return the symbols of a dim in the order in which its text names them."""
    found: list[Symbol] = []
    format_dim(dim, lambda s: found.append(s) or s.name)  # type: ignore[func-returns-value]
    return found


def symbol_dim(symbol: Symbol) -> Dim:
    """Return the dim that is just `symbol`."""
    return _from_atom(symbol)


def as_symbol(dim: Dim) -> Symbol | None:
    """Return the symbol when `dim` is one bare symbol, else None."""
    if isinstance(dim, DimExpr) and len(dim.terms) == 1:
        monomial, coefficient = dim.terms[0]
        if coefficient == 1 and len(monomial) == 1 and isinstance(monomial[0], Symbol):
            return monomial[0]
    return None


def substitute(dim: Dim, env: Mapping[Symbol, Dim]) -> Dim:
    """Return `dim` with symbols replaced; symbols missing from `env` stay."""
    if isinstance(dim, int):
        return dim
    total: Dim = 0
    for monomial, coefficient in dim.terms:
        term: Dim = coefficient
        for atom in monomial:
            term = term * _substitute_atom(atom, env)
        total = total + term
    return total


def _substitute_atom(atom: Atom, env: Mapping[Symbol, Dim]) -> Dim:
    if isinstance(atom, Symbol):
        replacement = env.get(atom)
        return _from_atom(atom) if replacement is None else replacement
    if isinstance(atom, FloorDiv):
        return floordiv(substitute(atom.numerator, env), substitute(atom.denominator, env))
    assert isinstance(atom, Max)
    return maximum(substitute(atom.left, env), substitute(atom.right, env))


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


def format_dim(dim: Dim, name: Callable[[Symbol], str]) -> str:
    """Return the text of a dim, e.g. ``2*n*m + floordiv(n, 2) - 1``."""
    if isinstance(dim, int):
        return str(dim)
    parts: list[str] = []
    for monomial, coefficient in dim.terms:
        factors = [_format_atom(atom, name) for atom in monomial]
        if abs(coefficient) != 1 or not factors:
            factors.insert(0, str(abs(coefficient)))
        sign = ("-" if coefficient < 0 else "") if not parts else (" - ", " + ")[coefficient > 0]
        parts.append(sign + "*".join(factors))
    return "".join(parts)


def _format_atom(atom: Atom, name: Callable[[Symbol], str]) -> str:
    if isinstance(atom, Symbol):
        return name(atom)
    if isinstance(atom, FloorDiv):
        inner = (atom.numerator, atom.denominator)
        return f"floordiv({', '.join(format_dim(d, name) for d in inner)})"
    assert isinstance(atom, Max)
    return f"max({format_dim(atom.left, name)}, {format_dim(atom.right, name)})"
