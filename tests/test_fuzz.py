"""Random graphs: every engine and every choice of passes gives what the reference gives.

The generator builds well-typed graphs from ops of all families, over tensors that share symbolic
sizes, and keeps NaN and infinities. A failing graph prints as IR text. SYMTENSOR_FUZZ_GRAPHS sets how
many graphs are tried; the default is a short tier.
"""

import os

import numpy as np
import pytest

import symtensor as st

GRAPHS = int(os.environ.get("SYMTENSOR_FUZZ_GRAPHS", "120"))
CHOSEN = os.environ.get("SYMTENSOR_TEST_ENGINES", "").split(",")
OTHERS = [engine for engine in CHOSEN if engine not in ("", "numpy", "llvm")]
UNARY = [
    "negative", "abs", "exp", "tanh", "sin", "square", "sigmoid", "relu", "floor", "sign", "log1p",
    "sqrt", "softplus", "reciprocal", "log", "cos", "expm1", "isnan",
]  # fmt: skip
BINARY = [
    "add", "subtract", "multiply", "divide", "maximum", "minimum", "less", "equal", "power",
    "logaddexp", "arctan2", "remainder", "floor_divide",
]  # fmt: skip
REDUCTIONS = ["sum", "max", "min", "mean", "prod", "any", "all", "logsumexp", "argmax"]
EDGES = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e300, 0.0 if OTHERS else 5e-324, 0.5]


class Generator:
    """Grows a graph from placeholders that share the sizes `rows` and `columns`."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        rows = st.placeholder((None,)).shape[0]
        columns = st.placeholder((None,)).shape[0]
        dtype = str(self.rng.choice(["float64", "float32", "int64"], p=[0.6, 0.2, 0.2]))
        self.inputs = [
            st.placeholder((rows, columns), dtype, name="a"),
            st.placeholder((rows, columns), dtype, name="b"),
            st.placeholder((columns,), dtype, name="c"),
            st.placeholder((rows, 1), dtype, name="d"),
            st.placeholder((), dtype, name="e"),
        ]
        self.pool = list(self.inputs)

    def pick(self, wanted=lambda x: True):
        found = [x for x in self.pool if wanted(x)]
        return found[self.rng.integers(len(found))]

    def as_float(self, x):
        return x if x.dtype.is_floating else st.cast(x, "float64")

    def unary(self):
        x = self.pick()
        name = str(self.rng.choice(UNARY))
        if x.dtype.is_bool or name not in ("negative", "abs", "square", "sign", "relu"):
            x = self.as_float(x)
        return getattr(st, name)(x)

    def binary(self):
        x = self.as_float(self.pick())
        y = self.as_float(self.pick(lambda v: v.ndim <= 2))
        return getattr(st, str(self.rng.choice(BINARY)))(x, y)

    def select(self):
        x, y = (self.as_float(self.pick()) for _ in range(2))
        return st.where(x > y, x, self.as_float(self.pick()))

    def reduction(self):
        x = self.as_float(self.pick(lambda v: v.ndim >= 1))
        name = str(self.rng.choice(REDUCTIONS))
        axis = int(self.rng.integers(x.ndim)) if self.rng.random() < 0.8 else None
        out = getattr(st, name)(x, axis, keepdims=bool(self.rng.random() < 0.7))
        return st.cast(out, "float64") if name in ("any", "all") else out

    def view(self):
        x = self.pick(lambda v: v.ndim >= 1)
        choice = self.rng.integers(6)
        if choice == 0:
            return st.transpose(st.transpose(x)) if x.ndim == 1 else st.flip(x, -1)
        if choice == 1:
            return st.flip(x)
        if choice == 2 and x.ndim == 2:
            return st.transpose(st.exp(self.as_float(st.transpose(x))))
        if choice == 3:
            return st.reshape(st.reshape(x, (-1,)), x.shape)
        if choice == 4:
            return x[:1] + st.zeros_like(x)
        return st.concatenate([x, x])[: x.shape[0]]

    def product(self):
        x = self.as_float(self.pick(lambda v: v.ndim == 2))
        return st.dot(x, st.transpose(x)) @ x

    def gather(self):
        x = self.pick(lambda v: v.ndim >= 1)
        index = st.arange(x.shape[0])
        return st.take(x, st.flip(index), 0)

    def softmax(self):
        return st.softmax(self.as_float(self.pick(lambda v: v.ndim == 2)))

    def grow(self, steps):
        kinds = [self.unary, self.binary, self.select, self.reduction, self.view, self.product,
                 self.gather, self.softmax]  # fmt: skip
        weights = np.array([5, 6, 2, 4, 3, 1, 1, 1], float)
        for _ in range(steps):
            kind = kinds[self.rng.choice(len(kinds), p=weights / weights.sum())]
            try:
                self.pool.append(kind())
            except st.ShapeError:
                continue  # two sizes that can't agree
        count = min(len(self.pool), int(self.rng.integers(1, 4)))
        return [self.pool[-1 - i] for i in range(count)]

    def arrays(self, rows, columns):
        out = []
        for shape in ((rows, columns), (rows, columns), (columns,), (rows, 1), ()):
            values = self.rng.standard_normal(shape) * 2
            if self.rng.random() < 0.3:
                edges = self.rng.choice(EDGES, shape)
                values = np.where(self.rng.random(shape) < 0.2, edges, values)
            dtype = self.inputs[0].dtype.numpy
            with np.errstate(all="ignore"):
                out.append(np.clip(np.nan_to_num(values), -9, 9).astype(dtype)
                           if dtype.kind == "i" else values.astype(dtype))  # fmt: skip
        return out


def close(found, wanted, exact):
    """Equal up to what rounding in a sum or a function may do; NaN and infinities in place."""
    if wanted.dtype.kind != "f":
        return found.dtype == wanted.dtype and (found == wanted).all()
    tolerance = 1e-6 if wanted.dtype == np.float64 else 2e-3
    return exact(found, wanted, tolerance)


def agree(found, wanted, tolerance):
    with np.errstate(all="ignore"):
        scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=1.0)
        same = (found == wanted) | (np.isnan(found) & np.isnan(wanted))
        near = np.abs(found - wanted) <= tolerance * np.maximum(np.abs(wanted), min(scale, 1e3))
    return found.shape == wanted.shape and bool((same | near).all())


def steep(graph):
    """Ops whose value may jump when an operand moves by a rounding error."""
    jumps = {"floor", "sign", "less", "equal", "remainder", "floor_divide", "argmax", "greater"}
    return any(n.op.name in jumps for n in graph.nodes())


@pytest.mark.parametrize("seed", range(GRAPHS))
def test_engines_and_passes_agree(seed):
    generator = Generator(seed)
    outputs = generator.grow(int(generator.rng.integers(3, 25)))
    plain = {"on_unused_input": "ignore"}
    reference = st.function(generator.inputs, outputs, engine="numpy", passes=[], **plain)
    exact_passes = ["simplify_shapes", "fold_constants", "algebra"]
    others = {
        f"{engine}, exact passes": {"engine": engine, "passes": exact_passes} for engine in OTHERS
    }
    variants = others | {
        "numpy, exact passes": {"engine": "numpy", "passes": exact_passes},
        "llvm, no passes": {"engine": "llvm", "passes": []},
        "llvm, exact passes": {"engine": "llvm", "passes": exact_passes},
    }
    built = {
        name: st.function(generator.inputs, outputs, **v, **plain) for name, v in variants.items()
    }
    for rows, columns in ((3, 4), (1, 1), (17, 33), (2, 70)):
        arrays = generator.arrays(rows, columns)
        try:
            wanted = reference(*arrays)
        except ValueError:
            # a pass may drop a guard with the value it guards, so only the plain build must raise
            with pytest.raises(ValueError):
                built["llvm, no passes"](*arrays)
            continue
        for name, f in built.items():
            for number, (a, b) in enumerate(zip(f(*arrays), wanted, strict=True)):
                if steep(reference.graph) and not name.startswith("numpy"):
                    assert a.shape == b.shape and a.dtype == b.dtype
                    continue
                assert close(a, b, agree), (
                    f"{name}, output {number}, sizes {rows} {columns}\n"
                    f"{a}\n{b}\n{st.print_graph(reference)}"
                )
