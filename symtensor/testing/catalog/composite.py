"""Samples of functions composed of ops: softmax, activations, losses, normalization.

Truth is SciPy where it has the function, else the textbook formula in NumPy, in double precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from symtensor.ops import composite as f
from symtensor.testing.samples import Array, Sample

INF, NAN = np.inf, np.nan
BOUND: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-12}
SINGLE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-6}
LOGITS = np.array([[0.5, -1.25, 2.0, 0.1], [3.5, 0.75, -0.25, -2.0], [-1.0, 0.3, 0.2, 1.5]])
LARGER = (np.linspace(-3.0, 4.0, 14).reshape(2, 7) ** 2,)
PROBABILITIES = np.array([[0.2, 0.7, 0.1], [0.25, 0.25, 0.5]])
ONE_HOT = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
SOFT = np.array([[0.1, 0.6, 0.3], [0.9, 0.05, 0.05]])


def _softmax(x: Array, axis: Any = -1) -> Array:
    from scipy.special import softmax

    return np.asarray(softmax(x, axis=axis), dtype=x.dtype)


def _log_softmax(x: Array, axis: Any = -1) -> Array:
    from scipy.special import log_softmax

    return np.asarray(log_softmax(x, axis=axis), dtype=x.dtype)


def _edge(name: str, note: str, x: Any, truth: Any, *args: Any, **options: Any) -> Sample:
    ours = getattr(f, name)
    return Sample(
        name,
        lambda t: ours(t, *args),
        (np.asarray(x),),
        lambda _: np.asarray(truth),
        wrt=(),
        note=note,
        **options,
    )


def _softmaxes() -> Iterator[Sample]:
    for name, truth in (("softmax", _softmax), ("log_softmax", _log_softmax)):
        ours: Callable[..., Any] = getattr(f, name)
        for axis in (-1, 0, 1, None, (0, 1)):
            yield Sample(
                name,
                lambda x, g=ours, a=axis: g(x, a),
                (LOGITS,),
                lambda x, g=truth, a=axis: g(x, a),
                resize=(LARGER,),
                note=f"axis={axis}",
                **BOUND,
            )
        yield Sample(name, ours, (LOGITS.astype("float32"),), truth, **SINGLE)
        yield Sample(name, ours, (LOGITS + 1000,), truth, note="shifted", **BOUND)
        yield Sample(name, ours, (np.zeros((0, 3)),), truth, note="no lanes")
        yield Sample(name, ours, (np.zeros((3, 0)),), raises=ValueError, note="no classes")
        yield _edge(name, "int", np.array([1, 1]), [0.5, 0.5] if name == "softmax"
                    else np.log([0.5, 0.5]), ulp=1.0)  # fmt: skip
    yield _edge("softmax", "only -inf", [-INF, -INF], [NAN, NAN])
    yield _edge("softmax", "one +inf", [INF, 0.0], [NAN, NAN])
    yield _edge("softmax", "one -inf", [0.0, -INF, 0.0], [0.5, 0.0, 0.5])
    yield _edge("softmax", "beyond exp", [1000.0, -1000.0], [1.0, 0.0])
    yield _edge("log_softmax", "softmax underflows", [1000.0, -1000.0], [0.0, -2000.0])
    yield _edge("log_softmax", "one -inf", [0.0, -INF], [0.0, -INF])


def _erf_gelu(x: Array) -> Array:
    from scipy.special import ndtr

    return np.asarray(x * ndtr(x))


def _tanh_gelu(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))


def _silu(x: Array) -> Array:
    from scipy.special import expit

    return np.asarray(x * expit(x))


SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

ACTIVATIONS: tuple[tuple[str, tuple[Any, ...], Callable[[Array], Array]], ...] = (
    ("leaky_relu", (), lambda x: np.where(x > 0, x, 0.01 * x)),
    ("leaky_relu", (0.3,), lambda x: np.where(x > 0, x, 0.3 * x)),
    ("elu", (), lambda x: np.where(x > 0, x, np.expm1(x))),
    ("elu", (0.5,), lambda x: np.where(x > 0, x, 0.5 * np.expm1(x))),
    ("selu", (), lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(x))),
    ("gelu", (), _erf_gelu),
    ("gelu", (True,), _tanh_gelu),
    ("silu", (), _silu),
    ("hard_sigmoid", (), lambda x: np.clip(0.2 * x + 0.5, 0, 1)),
    ("softsign", (), lambda x: x / (1 + np.abs(x))),
)


def _activations() -> Iterator[Sample]:
    for name, args, truth in ACTIVATIONS:
        ours = getattr(f, name)
        for x, bound in ((LOGITS, BOUND), (LOGITS.astype("float32"), SINGLE)):
            yield Sample(
                name,
                lambda t, g=ours, a=args: g(t, *a),
                (x,),
                lambda x, g=truth: g(x).astype(x.dtype),
                resize=((LARGER[0].astype(x.dtype),),),
                note=f"{args}",
                **bound,
            )
        yield Sample(name, lambda t, g=ours, a=args: g(t, *a), (np.zeros((0,)),), lambda x: x,
                     note=f"{args}")  # fmt: skip
        yield _edge(name, f"nan, {args}", [NAN], [NAN], *args)
    yield _edge("elu", "large", [1e4, -1e4], [1e4, -1.0])
    yield _edge("leaky_relu", "int", np.array([-2, 2]), [-0.02, 2.0])


def _binary_logits(y: Array, x: Array) -> Array:
    return np.asarray(np.logaddexp(0, x) * (1 - y) + np.logaddexp(0, -x) * y)


def _binary(y: Array, p: Array) -> Array:
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return np.asarray(-(y * np.log(p) + (1 - y) * np.log(1 - p)))


def _losses() -> Iterator[Sample]:
    targets = np.array([[0.0, 1.0, 0.3, 1.0], [1.0, 0.0, 0.9, 0.5], [0.0, 0.0, 1.0, 0.25]])
    yield Sample(
        "binary_crossentropy",
        lambda y, x: f.binary_crossentropy(y, x, from_logits=True),
        (targets, LOGITS),
        _binary_logits,
        note="logits",
        **BOUND,
    )
    yield Sample(
        "binary_crossentropy",
        lambda x: f.binary_crossentropy(np.array([0, 1, 1, 0]), x, from_logits=True),
        (np.array([-1000.0, 1000.0, -30.0, 30.0]),),
        lambda x: np.array([0.0, 0.0, 30.0, 30.0]) + np.array([0, 0, 1, 1]) * np.exp(-30.0),
        note="large logits",
        **BOUND,
    )
    yield Sample(
        "binary_crossentropy", f.binary_crossentropy, (SOFT, PROBABILITIES), _binary, **BOUND
    )
    yield Sample(
        "binary_crossentropy",
        f.binary_crossentropy,
        (np.array([0, 1, 1, 0], "int32"), np.array([0, 1, 0, 1], "float32")),
        lambda y, p: _binary(y, p).astype("float32"),
        note="certain",
        **SINGLE,
    )
    yield from _categorical()
    yield from _sparse()
    yield from _regression()


def _categorical() -> Iterator[Sample]:
    name = "categorical_crossentropy"
    for axis in (-1, 0):
        yield Sample(
            name,
            lambda y, x, a=axis: f.categorical_crossentropy(y, x, from_logits=True, axis=a),
            (SOFT, LOGITS[:2, :3]),
            lambda y, x, a=axis: -np.sum(y * _log_softmax(x, a), axis=a),
            note=f"logits axis={axis}",
            **BOUND,
        )
        yield Sample(
            name,
            lambda y, x, a=axis: f.categorical_crossentropy(y, x, axis=a),
            (SOFT, PROBABILITIES * 3),
            lambda y, p, a=axis: -np.sum(y * np.log(p / p.sum(axis=a, keepdims=True)), axis=a),
            note=f"axis={axis}",
            **BOUND,
        )
    yield Sample(
        name,
        lambda y, x: f.categorical_crossentropy(y, x, from_logits=True),
        (ONE_HOT, np.array([[-INF, 0.0, 0.0], [1.0, 1.0, -INF]])),
        lambda y, x: np.log([2.0, 2.0]),
        wrt=(),
        note="masked class",
        ulp=2.0,
    )
    yield Sample(
        name,
        f.categorical_crossentropy,
        (ONE_HOT, np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])),
        lambda y, p: -np.log([1 - 1e-7, 1e-7]),
        wrt=(),
        note="certain",
        **BOUND,
    )


def _sparse() -> Iterator[Sample]:
    labels = np.array([1, 0, 3], "int32")
    name = "sparse_categorical_crossentropy"
    yield Sample(
        name,
        lambda y, x: f.sparse_categorical_crossentropy(y, x, from_logits=True),
        (labels, LOGITS),
        lambda y, x: -_log_softmax(x)[np.arange(len(y)), y],
        resize=((np.array([2], "int32"), LOGITS[:1, :3]),),
        note="logits",
        **BOUND,
    )
    yield Sample(
        name,
        lambda y, x: f.sparse_categorical_crossentropy(y, x, from_logits=True, axis=0),
        (np.array([2, 0, 1, 1]), LOGITS),
        lambda y, x: -_log_softmax(x, 0)[y, np.arange(4)],
        note="logits axis=0",
        **BOUND,
    )
    yield Sample(
        name,
        f.sparse_categorical_crossentropy,
        (np.array([1, 2], "uint8"), PROBABILITIES),
        lambda y, p: -np.log(p[np.arange(2), y]),
        **BOUND,
    )
    out_of_range = np.array([0, 4, 1])
    yield Sample(
        name,
        lambda y, x: f.sparse_categorical_crossentropy(y, x, from_logits=True),
        (out_of_range, LOGITS),
        raises=IndexError,
        note="label out of range",
    )
    yield Sample(
        name,
        f.sparse_categorical_crossentropy,
        (labels[:, None], LOGITS),
        raises=ValueError,
        note="labels of the rank of the output",
    )


def _huber(y: Array, x: Array) -> Array:
    from scipy.special import huber

    return np.asarray(huber(1.5, x - y))


def _regression() -> Iterator[Sample]:
    target = LOGITS[::-1] + 0.4
    for axis in (-1, 0, None):
        yield Sample(
            "mean_squared_error",
            lambda y, x, a=axis: f.mean_squared_error(y, x, a),
            (target, LOGITS),
            lambda y, x, a=axis: np.mean((x - y) ** 2, axis=a),
            note=f"axis={axis}",
            **BOUND,
        )
        yield Sample(
            "mean_absolute_error",
            lambda y, x, a=axis: f.mean_absolute_error(y, x, a),
            (target, LOGITS),
            lambda y, x, a=axis: np.mean(np.abs(x - y), axis=a),
            note=f"axis={axis}",
            **BOUND,
        )
    yield Sample(
        "mean_squared_error",
        f.mean_squared_error,
        (np.array([1, 2]), np.array([0.5, 4.0], "float32")),
        lambda y, x: np.float32(2.125),
        note="int targets",
    )
    yield Sample("huber", lambda y, x: f.huber(y, x, 1.5), (target, LOGITS), _huber, **BOUND)
    yield _edge("huber", "at and around delta", [-2.0, -1.0, 0.0, 1.0, 3.0],
                [1.5, 0.5, 0.0, 0.5, 2.5], 0.0)  # fmt: skip
    yield Sample(
        "accuracy",
        f.accuracy,
        (np.array([2, 0, 1]), LOGITS),
        lambda y, x: np.mean(np.argmax(x, -1) == y),
    )
    yield Sample("accuracy", f.accuracy, (np.array([[2], [0], [1]]), LOGITS), raises=ValueError)


def _normalized(x: Array, axis: Any, epsilon: float) -> Array:
    center = x - x.mean(axis=axis, keepdims=True)
    return np.asarray(center / np.sqrt(x.var(axis=axis, keepdims=True) + epsilon))


def _normalizations() -> Iterator[Sample]:
    for axis in (-1, 0, (0, 1)):
        yield Sample(
            "l2_normalize",
            lambda x, a=axis: f.l2_normalize(x, a),
            (LOGITS,),
            lambda x, a=axis: x / np.sqrt(np.sum(x * x, axis=a, keepdims=True)),
            note=f"axis={axis}",
            **BOUND,
        )
        yield Sample(
            "layer_norm",
            lambda x, a=axis: f.layer_norm(x, axis=a),
            (LOGITS,),
            lambda x, a=axis: _normalized(x, a, 1e-5),
            resize=(LARGER,),
            note=f"axis={axis}",
            **BOUND,
        )
    yield _edge("l2_normalize", "zero", np.zeros((2, 3)), np.zeros((2, 3)))
    yield Sample(
        "layer_norm",
        f.layer_norm,
        (LOGITS, np.array([1.0, 2.0, 0.5, -1.0]), np.array([0.1, 0.0, -0.2, 0.3])),
        lambda x, a, b: _normalized(x, -1, 1e-5) * a + b,
        note="scaled and shifted",
        **BOUND,
    )
    yield Sample("layer_norm", f.layer_norm, (LOGITS.astype("float32"),),
                 lambda x: _normalized(x, -1, 1e-5), **SINGLE)  # fmt: skip
    yield Sample(
        "moments",
        lambda x: f.moments(x, 0),
        (LOGITS,),
        lambda x: (x.mean(axis=0), x.var(axis=0)),
        **BOUND,
    )
    yield from _batch_norms()


def _batch_norms() -> Iterator[Sample]:
    for axis, size in ((-1, 4), (0, 3)):
        shape = (1, size) if axis == -1 else (size, 1)
        vectors = tuple(np.linspace(a, b, size) for a, b in ((0, 1), (0.5, 2), (1, -1), (0, 3)))
        yield Sample(
            "batch_norm",
            lambda x, m, v, a, b, axis=axis: f.batch_norm(x, m, v, a, b, axis=axis),
            (LOGITS, *vectors),
            lambda x, m, v, a, b, shape=shape: (
                (x - m.reshape(shape)) / np.sqrt(v.reshape(shape) + 1e-3) * a.reshape(shape)
                + b.reshape(shape)
            ),
            note=f"axis={axis}",
            **BOUND,
        )
    yield Sample(
        "batch_norm",
        lambda x: f.batch_norm(x, *f.moments(x, 0)),
        (LOGITS,),
        lambda x: _normalized(x, 0, 1e-3),
        note="own moments",
        **BOUND,
    )


SAMPLES: list[Sample] = [
    *_softmaxes(),
    *_activations(),
    *_losses(),
    *_normalizations(),
]
