"""One way of running samples per function; each raises `AssertionError` naming the sample.

Samples that end in a value are compiled together, one function for all that are given, because
compiling is what costs time; when that fails they run one by one, so that the report names the one
at fault.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from symtensor.engines.base import Engine, get_engine
from symtensor.errors import SymtensorError
from symtensor.function import Function, function
from symtensor.ir.dims import DimExpr
from symtensor.ir.graph import Graph
from symtensor.ir.literal import Literal
from symtensor.ir.node import Node
from symtensor.ir.parser import parse_graph
from symtensor.ir.printer import print_graph
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType
from symtensor.ir.verify import verify_graph
from symtensor.ops import elementwise, logic
from symtensor.ops.inputs import placeholder
from symtensor.ops.interpret import run_graph
from symtensor.ops.registry import OPS
from symtensor.testing.compare import assert_close
from symtensor.testing.gradcheck import check_gradients
from symtensor.testing.samples import Sample

Array = np.ndarray[Any, Any]
EngineLike = str | Engine | None


def check_values(samples: Sequence[Sample], engine: EngineLike, passes: Any = None) -> None:
    """Check the values of samples of fixed sizes against their truth."""
    with_truth = [s for s in samples_for(engine, samples) if s.truth is not None]
    run = Runner(with_truth, engine, symbolic=False, passes=passes)
    _compare_all(
        engine, with_truth, run([s.inputs for s in with_truth]), [s.inputs for s in with_truth]
    )


def check_sizes(samples: Sequence[Sample], engine: EngineLike) -> None:
    """Check samples compiled once with unknown sizes and called with all sizes they list."""
    chosen = [s for s in samples_for(engine, samples) if s.truth is not None and s.symbolic != ()]
    run = Runner(chosen, engine, symbolic=True)
    rounds = max((len(s.resize) for s in chosen), default=0) + 1
    for number in range(rounds):
        arrays = [s.inputs if number > len(s.resize) or not number else tuple(s.resize[number - 1])
                  for s in chosen]  # fmt: skip
        _compare_all(engine, chosen, run(arrays), arrays)


def check_fused(samples: Sequence[Sample], engine: EngineLike) -> None:
    """Check values where every input and every result is itself computed by an elementwise op.

    Compilers that fuse meet the op in the middle of a kernel then. No passes run: they would cancel
    the double negations.
    """

    def surround(sample: Sample) -> Sample:
        def build(*xs: Tensor) -> list[Tensor]:
            built = sample.build(*map(_twice_negated, xs))
            return [_twice_negated(y) for y in ([built] if isinstance(built, Tensor) else built)]

        return replace(sample, build=build)

    check_values([surround(s) for s in samples if s.truth is not None], engine, passes=[])


def _twice_negated(x: Tensor) -> Tensor:
    negate = logic.logical_not if x.dtype.is_bool else elementwise.negative
    return negate(negate(x))


def check_errors(samples: Sequence[Sample], engine: EngineLike) -> None:
    """Check that samples that must fail do, in the exception they name and with a symtensor one."""
    for sample in samples:
        if sample.raises is None:
            continue
        with _named(sample):
            try:
                Runner([sample], engine, symbolic=False)([sample.inputs])
            except sample.raises as error:
                known = isinstance(error, (SymtensorError, TypeError))
                assert known and str(error), f"{type(error).__name__} is no symtensor error"
            else:
                raise AssertionError(f"expected {sample.raises.__name__}, nothing was raised")


def check_types(samples: Iterable[Sample]) -> None:
    """Check that every node of every sample has the dtype and shape that inference promised."""
    for sample in samples:
        if sample.truth is None:
            continue
        with _named(sample):
            graph = sample_graph(sample)
            verify_graph(graph)
            run_graph(graph, [_native(x) for x in sample.inputs], watch=_check_type)


def check_gradient(sample: Sample, rtol: float = 1e-6) -> None:
    """Check the derivatives of a sample by finite differences, where it has any."""
    with _named(sample):
        wrt = differentiable_inputs(sample)
        if wrt:
            check_gradients(sample.build, sample.inputs, wrt, order=sample.order, rtol=rtol)


def check_text(samples: Iterable[Sample]) -> None:
    """Check that the text of every sample's graph parses back to the same program."""
    for sample in samples:
        if sample.truth is None:
            continue
        with _named(sample):
            for symbolic in (False, True) if sample.symbolic != () else (False,):
                graph = sample_graph(sample, symbolic)
                literals: list[Literal] = []
                text = print_graph(graph, literals=literals)
                again = parse_graph(text, OPS, bind=graph, literals=literals)
                same = all(a is b for a, b in zip(again.roots, graph.roots, strict=True))
                assert same, f"this text reads back as another graph:\n{text}"


# --- what an engine claims -----------------------------------------------------------------------


def samples_for(engine: EngineLike, samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples as they hold for the capabilities that an engine claims.

    Without "denormals" subnormal numbers are taken as zeros, in what goes in and what comes out.
    """
    claims = get_engine(engine).capabilities()
    found = [s for s in samples if s.needs <= claims]
    if "accurate" not in claims:
        found = [replace(s, ulp=4 * s.ulp) for s in found]
    return found if "denormals" in claims else [_without_denormals(s) for s in found]


def _without_denormals(sample: Sample) -> Sample:
    if sample.truth is None:
        return sample

    def truth(*arrays: Array) -> Any:
        wanted = _truth(sample, arrays)
        many = isinstance(wanted, (list, tuple))
        return [_flushed(x) for x in wanted] if many else _flushed(wanted)

    inputs, *resize = (tuple(map(_flushed, arrays)) for arrays in (sample.inputs, *sample.resize))
    return replace(sample, inputs=inputs, resize=resize, truth=truth)


def _flushed(x: Any) -> Array:
    """Return an array with zeros of the same sign for subnormal numbers."""
    array = np.asarray(x)
    if array.dtype.kind != "f":
        return array
    small = np.abs(array) < np.finfo(array.dtype).smallest_normal
    return np.where(small, np.copysign(np.zeros((), array.dtype), array), array)


# --- running -------------------------------------------------------------------------------------


class Runner:
    """Samples compiled into one function; each on its own where that fails."""

    def __init__(
        self, samples: Sequence[Sample], engine: EngineLike, symbolic: bool, passes: Any = None
    ) -> None:
        self.samples = samples
        self.engine = engine
        self.passes = passes
        self.built = [_build(sample, symbolic) for sample in samples]
        self.together: Function | None = None
        if len(samples) > 1:
            with contextlib.suppress(Exception):  # found again, with a name, one by one
                inputs = [x for xs, _ in self.built for x in xs]
                self.together = self._compile(inputs, [ys for _, ys in self.built])

    def __call__(self, arrays: Sequence[Sequence[Array]]) -> list[list[Array]]:
        """Return the results of each sample for the given inputs of each sample."""
        if self.together is not None:
            with contextlib.suppress(Exception):
                return list(self.together(*(x for xs in arrays for x in xs)))
        return [self._run_alone(i, xs) for i, xs in enumerate(arrays)]

    def _compile(self, inputs: list[Tensor], outputs: Any) -> Function:
        return function(
            inputs, outputs, engine=self.engine, passes=self.passes, on_unused_input="ignore"
        )

    def _run_alone(self, index: int, arrays: Sequence[Array]) -> list[Array]:
        with _named(self.samples[index]):
            return list(self._compile(*self.built[index])(*arrays))


def _build(sample: Sample, symbolic: bool) -> tuple[list[Tensor], list[Tensor]]:
    with _named(sample):
        inputs = sample_inputs(sample, symbolic)
        built = sample.build(*inputs)
        outputs = [built] if isinstance(built, Tensor) else list(built)
        return inputs, outputs


def sample_inputs(sample: Sample, symbolic: bool = False) -> list[Tensor]:
    """Return placeholders for a sample; sizes of 1 stay known, since they broadcast."""
    tensors = []
    for i, x in enumerate(sample.inputs):
        shape: tuple[int | None, ...] = x.shape
        if symbolic and (sample.symbolic is None or i in sample.symbolic):
            variants = [x.shape, *(np.shape(other[i]) for other in sample.resize)]
            shape = tuple(1 if set(sizes) == {1} else None for sizes in zip(*variants, strict=True))
        tensors.append(placeholder(shape, x.dtype, name=f"x{i}"))
    return tensors


def sample_graph(sample: Sample, symbolic: bool = False) -> Graph:
    """Return the graph of a sample as its `build` makes it."""
    inputs, outputs = _build(sample, symbolic)
    return Graph(tuple(x.node for x in inputs), tuple(y.node for y in outputs))


def differentiable_inputs(sample: Sample) -> list[int]:
    """Return the inputs by which a sample is to be differentiated; none without float results."""
    if sample.truth is None:
        return []
    if sample.wrt is not None:
        return list(sample.wrt)
    if not any(y.tensor_type.dtype.is_floating for y in sample_graph(sample).outputs):
        return []
    return [
        i
        for i, x in enumerate(sample.inputs)
        if x.dtype == np.float64 and x.size and np.isfinite(x).all()
    ]


# --- judging -------------------------------------------------------------------------------------


def _compare_all(
    engine: EngineLike,
    samples: Sequence[Sample],
    results: Sequence[Sequence[Array]],
    inputs: Sequence[Sequence[Array]],
) -> None:
    claims = get_engine(engine).capabilities()
    for sample, values, arrays in zip(samples, results, inputs, strict=True):
        with _named(sample):
            truth = _truth(sample, arrays)
            wanted = list(truth) if isinstance(truth, (list, tuple)) else [truth]
            assert len(wanted) == len(values), f"{len(wanted)} results, found {len(values)}"
            for value, want in zip(values, wanted, strict=True):
                value = value if "denormals" in claims else _flushed(value)
                assert_close(value, want, ulp=sample.ulp, rtol=sample.rtol, atol=sample.atol)


def _truth(sample: Sample, arrays: Sequence[Array]) -> Any:
    """Return the truth; what NumPy has to say on the way (empty slice…) is not our concern."""
    assert sample.truth is not None
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return sample.truth(*arrays)


def _check_type(node: Node, operands: Sequence[Any], value: Any) -> Any:
    single = isinstance(node.type, TensorType)
    types = [node.type] if single else list(node.type)  # type: ignore[arg-type]
    for type_, array in zip(types, [value] if single else value, strict=True):
        assert isinstance(type_, TensorType)
        assert array.dtype == type_.dtype.numpy, f"{node!r} has dtype {array.dtype}"
        sizes = [d if isinstance(d, DimExpr) else int(d) for d in type_.shape]
        fits = all(
            isinstance(d, DimExpr) or d == n for d, n in zip(sizes, array.shape, strict=True)
        )
        assert fits, f"{node!r} has shape {array.shape}"
    return value


def _native(x: Array) -> Array:
    return np.asarray(x, dtype=x.dtype.newbyteorder("="))


@contextlib.contextmanager
def _named(sample: Sample) -> Iterator[None]:
    """Say in any error which sample it is about."""
    try:
        yield
    except Exception as error:
        error.add_note(f"sample {sample.id}")
        raise
