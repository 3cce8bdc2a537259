"""Contractions and what they are to XLA: dot products, convolutions; and pooling.

A contraction of windows with a kernel, over the places in the window, is a convolution; over the
windows' positions it is the gradient of one by its kernel, which is a convolution as well, with
strides and dilations exchanged. XLA gets the operand itself then, never its windows laid out.
A reduction over the places of windows is `lax.reduce_window`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import lax

from symtensor.engines.jax.trace import Trace, native
from symtensor.ir.node import Node
from symtensor.ops.contraction import CONTRACT, split_spec
from symtensor.ops.reduction import MAX, MIN, SUM
from symtensor.ops.windows import WINDOWS

Ints = tuple[int, ...]


def _accumulator(dtype: Any) -> Any:
    """The 16-bit floats add up in float32."""
    narrow = dtype.itemsize == 2 and jnp.issubdtype(dtype, jnp.floating)
    return jnp.float32 if narrow else dtype


@native(CONTRACT)
def _contract(trace: Trace, left: Any, right: Any, *, spec: str) -> Any:
    a, b, out = split_spec(spec)
    first, second = trace.node.inputs
    for node, labels, other, other_labels in ((first, a, right, b), (second, b, left, a)):
        found = _as_convolution(node, labels, other_labels, out)
        if found is not None and jnp.issubdtype(left.dtype, jnp.floating):
            return found.lower(trace.values[node.inputs[0]], other)
    return _dot(left, right, a, b, out)


def _dot(left: Any, right: Any, a: str, b: str, out: str) -> Any:
    if left.dtype == jnp.bool_:
        return _dot(left.astype(jnp.int32), right.astype(jnp.int32), a, b, out) != 0
    batch = [x for x in out if x in a and x in b]
    inner = [x for x in a if x in b and x not in out]
    numbers = (
        ([a.index(x) for x in inner], [b.index(x) for x in inner]),
        ([a.index(x) for x in batch], [b.index(x) for x in batch]),
    )
    product = lax.dot_general(
        left, right, numbers, precision=lax.Precision.HIGHEST,
        preferred_element_type=_accumulator(left.dtype),
    )  # fmt: skip
    labels = [*batch, *(x for x in a if x in out and x not in b)]
    labels += [x for x in b if x in out and x not in a]
    return jnp.transpose(product, [labels.index(x) for x in out]).astype(left.dtype)


# --- convolutions --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Convolution:
    """What each label of a contraction of windows is to the convolution."""

    operand: str
    """Labels of the tensor under the windows."""
    kernel: str
    result: str
    batch: str
    groups: str
    channels: str
    filters: str
    axes: Ints
    """Axes of the operand that the windows walk."""
    kept: str
    """Labels of the positions in the result, and `summed` of those in the kernel."""
    summed: str
    sizes: Ints
    """How many of the kept positions are wanted, or () for all."""
    strides: Ints
    dilations: Ints

    def lower(self, x: Any, kernel: Any) -> Any:
        """Return the contraction of the windows of `x` with `kernel`."""
        spatial = "".join(self.operand[axis] for axis in self.axes)
        size = dict(zip(self.operand, x.shape, strict=True))
        size |= dict(zip(self.kernel, kernel.shape, strict=True))
        lhs = _grouped(x, self.operand, [self.batch, *spatial, self.groups + self.channels])
        rhs = _grouped(
            kernel, self.kernel, [*self.summed, self.channels, self.groups + self.filters]
        )
        n = len(spatial)
        dims = (0, n + 1, *range(1, n + 1)), (n + 1, n, *range(n)), (0, n + 1, *range(1, n + 1))
        out = lax.conv_general_dilated(
            lhs, rhs, self.strides, "VALID", rhs_dilation=self.dilations,
            dimension_numbers=lax.ConvDimensionNumbers(*dims),
            feature_group_count=math.prod(size[g] for g in self.groups),
            precision=lax.Precision.HIGHEST, preferred_element_type=_accumulator(x.dtype),
        )  # fmt: skip
        for axis, wanted in enumerate(self.sizes, 1):
            out = lax.slice_in_dim(out, 0, wanted, axis=axis)
        counts = out.shape[1 : n + 1]
        ends = [size[x] for x in self.batch], [size[x] for x in self.groups + self.filters]
        labels = self.batch + self.kept + self.groups + self.filters
        out = out.reshape((*ends[0], *counts, *ends[1]))
        return jnp.transpose(out, [labels.index(x) for x in self.result]).astype(x.dtype)


def _grouped(x: Any, labels: str, groups: Sequence[str]) -> Any:
    """Return `x` with one axis for each group of labels."""
    order = [labels.index(label) for group in groups for label in group]
    sizes = [math.prod(x.shape[labels.index(label)] for label in group) for group in groups]
    return jnp.transpose(x, order).reshape(sizes)


def _as_convolution(node: Node, a: str, b: str, out: str) -> _Convolution | None:
    """Return the contraction of windows `node`, labelled `a`, with `b` as a convolution, or None."""
    if node.op is not WINDOWS:
        return None
    rank = node.inputs[0].tensor_type.ndim
    axes, sizes = node.attrs["axes"], node.attrs["sizes"]
    strides, dilations = node.attrs["strides"], node.attrs["dilations"]
    at, inside = "".join(a[axis] for axis in axes), a[rank:]
    rest = [x for x in a[:rank] if x not in at]
    roles = {
        "batch": "".join(x for x in rest if x in out and x not in b),
        "groups": "".join(x for x in rest if x in out and x in b),
        "channels": "".join(x for x in rest if x not in out),
        "filters": "".join(x for x in b if x not in a),
    }
    common = {"operand": a[:rank], "kernel": b, "result": out, "axes": axes, **roles}
    if _are_kept(at, b, out) and _are_summed(inside, b, out):
        return _Convolution(
            kept=at, summed=inside, sizes=(), strides=strides, dilations=dilations, **common
        )
    if _are_kept(inside, b, out) and _are_summed(at, b, out):
        return _Convolution(
            kept=inside, summed=at, sizes=sizes, strides=dilations, dilations=strides, **common
        )
    return None


def _are_kept(labels: str, b: str, out: str) -> bool:
    return all(x in out and x not in b for x in labels)


def _are_summed(labels: str, b: str, out: str) -> bool:
    return all(x in b and x not in out for x in labels)


# --- pooling -------------------------------------------------------------------------------------


def _pool(trace: Trace, x: Any, axes: Ints, combine: Any, initial: Any) -> Any | None:
    """Return a reduction over all places of windows, and no other axes; None for other nodes."""
    (source,) = trace.node.inputs
    if source.op is not WINDOWS or x.dtype == jnp.bool_:
        return None
    under = trace.values[source.inputs[0]]
    if set(axes) != set(range(under.ndim, x.ndim)):
        return None
    sizes, strides, dilations = [1] * under.ndim, [1] * under.ndim, [1] * under.ndim
    attrs = source.attrs
    for axis, size, stride, dilation in zip(
        attrs["axes"], attrs["sizes"], attrs["strides"], attrs["dilations"], strict=True
    ):
        sizes[axis], strides[axis], dilations[axis] = size, stride, dilation
    wide = under.astype(_accumulator(under.dtype))
    out = lax.reduce_window(
        wide, jnp.asarray(initial, wide.dtype), combine, sizes, strides, "VALID",
        window_dilation=dilations,
    )  # fmt: skip
    return out.astype(under.dtype)


def _least(dtype: Any) -> Any:
    return -jnp.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).min


def _greatest(dtype: Any) -> Any:
    return jnp.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).max


@native(MAX)
def _max(trace: Trace, x: Any, *, axes: Ints) -> Any:
    pooled = _pool(trace, x, axes, lax.max, _least(x.dtype) if x.dtype != jnp.bool_ else None)
    return MAX.evaluate(jnp, x, axes=axes) if pooled is None else pooled


@native(MIN)
def _min(trace: Trace, x: Any, *, axes: Ints) -> Any:
    pooled = _pool(trace, x, axes, lax.min, _greatest(x.dtype) if x.dtype != jnp.bool_ else None)
    return MIN.evaluate(jnp, x, axes=axes) if pooled is None else pooled


@native(SUM)
def _sum(trace: Trace, x: Any, *, axes: Ints) -> Any:
    pooled = _pool(trace, x, axes, lax.add, 0)
    return SUM.evaluate(jnp, x, axes=axes) if pooled is None else pooled
