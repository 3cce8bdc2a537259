"""Windows as compilers like them: products instead of overlapping sums, sums instead of thin products.

The gradient of a convolution by its input is an overlap_add of a product, as large as all windows.
It is a convolution itself: of the cotangent, surrounded by zeros, with the kernel turned around; one
for each remainder of a position by the stride. What is left of overlap_add becomes reshapes (windows
side by side, as in pooling) or a sum of placed slices. A contraction whose right operand adds no label
(depthwise convolution, a dot per row) is a sum of products, which fuses with its neighbours; where it
keeps the places of windows (the gradient by a depthwise kernel) one sum for each, which share a loop. A few
filters for each channel are as many sums.

    Before: %2 = contract %g, %k {spec = "nAf,Bcf->nAcB"}   %3 = overlap_add %2
    After:  %3 = contract windows(place(%g)), flip(%k) {spec = "nAfB,Bcf->nAc"}
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from symtensor.ir import dims as D
from symtensor.ir import location
from symtensor.ir.dims import Dim
from symtensor.ir.graph import Graph
from symtensor.ir.node import Node, make_node
from symtensor.ir.tensor import Tensor
from symtensor.ops import elementwise, joining, movement, reduction, slicing
from symtensor.ops.contraction import split_spec
from symtensor.ops.windows import windows
from symtensor.passes.rewrite import note

FILTERS = 4
"""Filters for each channel that may each be a sum of products."""
PLACES = 64
"""Places in a window that may each have a sum of their own."""


def fold_windows(graph: Graph, fired: Counter[str]) -> Graph:
    """Rewrite overlap_add and thin contractions."""
    cropped = _cropped(graph)

    def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
        is_crop = cropped.get(node.inputs[0]) is node if node.inputs else False
        new = node.with_inputs(inputs)
        if not is_crop and node.op.name not in ("overlap_add", "contract"):
            return new
        with location.at(node.loc):
            if is_crop and (product := _product_of(inputs[0])) is not None:
                made = dataclasses.replace(product, crop=new).convolved().node
                note(fired, "convolve instead of overlapping", node, made)
                return made
            if is_crop:
                return new.with_inputs([_overlap(inputs[0], fired)])
            if node.op.name == "overlap_add":
                return new if node in cropped else _overlap(new, fired)
            if node.op.name == "contract":
                return _summed(new, fired)
        return new

    return graph.map(rebuild)


def _cropped(graph: Graph) -> dict[Node, Node]:
    """Return the overlap_adds of which one slice alone is read, with the slice."""
    found = {}
    users = graph.users()
    for node in graph.nodes():
        if node.op.name == "overlap_add" and node not in graph.roots and len(users[node]) == 1:
            (user,) = users[node]
            if user.op.name == "slice" and _crops(user, node):
                found[node] = user
    return found


def _crops(slice_: Node, overlap: Node) -> bool:
    """Return True for a slice that takes off no more at each end than windows reach over."""
    attrs, axes = overlap.attrs, overlap.attrs["axes"]
    if {*attrs["strides"], *slice_.attrs["steps"]} != {1}:
        return False
    sizes = overlap.inputs[0].tensor_type.shape[overlap.tensor_type.ndim :]
    for axis, size in enumerate(overlap.tensor_type.shape):
        start, length = slice_.attrs["starts"][axis], slice_.attrs["lengths"][axis]
        reach = 0
        if axis in axes:
            number = axes.index(axis)
            reach = (_known(sizes[number]) - 1) * attrs["dilations"][number]
        rest = size - start - length
        if not all(isinstance(end, int) and 0 <= end <= reach for end in (start, rest)):
            return False
    return True


def _overlap(node: Node, fired: Counter[str]) -> Node:
    product = _product_of(node)
    if product is not None:
        rule, found = "convolve instead of overlapping", product.convolved()
    elif _tiles(node):
        rule, found = "tile", _tiled(node)
    else:
        rule, found = "add places", _sum_of_places(node)
    note(fired, rule, node, found.node)
    return found.node


# --- overlapping products ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Product:
    """An overlap_add of a contraction of a cotangent (positions) with a kernel (windows)."""

    node: Node
    cotangent: Tensor
    kernel: Tensor
    labels: tuple[str, str, str]
    """Of cotangent, kernel and result."""
    at: str
    """Labels of positions, one per windowed axis."""
    inside: str
    """Labels of the windows' elements."""
    crop: Node | None = None
    """The slice of the result that is wanted; strides are 1 then."""

    def convolved(self) -> Tensor:
        """Return the result: a convolution for each remainder of a position by the strides, interleaved."""
        attrs, shape = self.node.attrs, self.node.tensor_type.shape
        if set(attrs["strides"]) == {1}:
            return self._phase((0,) * len(self.at))
        whole = list(shape)
        for axis, stride in self._strided():
            whole[axis] = D.ceildiv(shape[axis], stride) * stride
        found = movement.reshape(self._interleaved(()), whole)
        return slicing.slice_at(found, (0,) * found.ndim, (1,) * found.ndim, shape)

    def _strided(self) -> list[tuple[int, int]]:
        """Return the axes of the result with strides above 1, in order, with these."""
        pairs = zip(self.node.attrs["axes"], self.node.attrs["strides"], strict=True)
        return [(axis, stride) for axis, stride in sorted(pairs) if stride > 1]

    def _interleaved(self, phases: tuple[int, ...]) -> Tensor:
        """Return the results for some remainders along the first windowed axes and all along the others.

        Each strided axis has another after it, for the remainders. One copy joins all of them.
        """
        number, strided = len(phases), [axis for axis, _ in self._strided()]
        if number == len(self.at):
            found = self._phase(phases)
            sides = [(size, 1) if i in strided else (size,) for i, size in enumerate(found.shape)]
            return movement.reshape(found, tuple(itertools.chain(*sides)))
        axis, stride = (self.node.attrs[name][number] for name in ("axes", "strides"))
        parts = [self._interleaved((*phases, phase)) for phase in range(stride)]
        if stride == 1:
            return parts[0]
        return joining.concatenate(parts, axis + 1 + strided.index(axis))

    def _phase(self, phases: tuple[int, ...]) -> Tensor:
        """Return the convolution for positions ``stride * q + phase``."""
        attrs, kernel, cotangent = self.node.attrs, self.kernel, self.cotangent
        left, right, out = self.labels
        axes, sizes, gaps = [], [], []
        before, whole = [0] * cotangent.ndim, list(cotangent.shape)
        starts, lengths = [0] * cotangent.ndim, list(cotangent.shape)
        for number, phase in enumerate(phases):
            stride, gap = attrs["strides"][number], attrs["dilations"][number]
            place = right.index(self.inside[number])
            most, size = (-(-(_known(kernel.shape[place]) - p) // stride) for p in (0, phase))
            kernel = _turned(kernel, place, phase, stride, size)
            axis = left.index(self.at[number])
            before[axis], count = (most - 1) * gap, D.ceildiv(attrs["shape"][number], stride)
            if self.crop is not None:
                place = attrs["axes"][number]
                before[axis] -= self.crop.attrs["starts"][place]
                count = self.crop.attrs["lengths"][place]
            whole[axis] = count + (most - 1) * gap
            starts[axis], lengths[axis] = (most - size) * gap, count + (size - 1) * gap
            axes.append(axis)
            sizes.append(size)
            gaps.append(gap)
        padded = _surrounded(cotangent, before, whole)  # for all remainders
        read = slicing.slice_at(padded, tuple(starts), (1,) * padded.ndim, tuple(lengths))
        seen = windows(read, sizes, axes, 1, gaps)
        out = out[: len(out) - len(self.inside)]
        right, kernel = _stored_for(right, kernel, out)
        spec = f"{left}{self.inside},{right}->{out}"
        contract = self.node.inputs[0].op
        made = make_node(contract, (seen.node, kernel.node), {"spec": spec})
        return Tensor(_sum_of_products(made) if _is_thin(made) else made)


def _stored_for(labels: str, kernel: Tensor, out: str) -> tuple[str, Tensor]:
    """Return a kernel copied so that what the result keeps is contiguous: many products read it."""
    order = sorted(range(len(labels)), key=lambda i: (labels[i] in out, i))
    moved = movement.transpose(kernel, order)
    copied = slicing.place(moved, moved.shape, (0,) * moved.ndim, (1,) * moved.ndim)
    return "".join(labels[i] for i in order), copied


def _known(size: Dim) -> int:
    assert isinstance(size, int), "window sizes are known"
    return size


def _turned(kernel: Tensor, axis: int, phase: int, stride: int, size: int) -> Tensor:
    """Return every stride-th element of an axis from `phase` on, last one first."""
    starts, steps, lengths = [0] * kernel.ndim, [1] * kernel.ndim, list(kernel.shape)
    starts[axis], steps[axis], lengths[axis] = phase + (size - 1) * stride, -stride, size
    return slicing.slice_at(kernel, tuple(starts), tuple(steps), tuple(lengths))


def _surrounded(x: Tensor, before: Sequence[int], shape: Sequence[Dim]) -> Tensor:
    """Return `x` within zeros of `shape`."""
    if D.same_shape(tuple(shape), x.shape):
        return x
    return slicing.place(x, tuple(shape), tuple(before), (1,) * x.ndim)


def _product_of(node: Node) -> _Product | None:
    """Return an overlap_add as a product, where each windowed label is in one operand only."""
    product = node.inputs[0]
    if product.op.name != "contract":
        return None
    left, right, out = split_spec(product.attrs["spec"])
    count = len(node.attrs["axes"])
    inside = out[len(out) - count :]
    at = "".join(out[axis] for axis in node.attrs["axes"])
    first, second = (Tensor(x) for x in product.inputs)
    if set(inside) & set(left):
        left, right, first, second = right, left, second, first
    apart = not set(inside) & set(left) and not set(at) & set(right)
    pairs = zip(node.attrs["strides"], node.attrs["dilations"], strict=True)
    sizes = node.inputs[0].tensor_type.shape[-count:]
    fits = all(
        (stride == 1 or gap == 1) and size >= stride
        for size, (stride, gap) in zip(sizes, pairs, strict=True)
        if isinstance(size, int)
    )
    if not apart or not fits:
        return None
    return _Product(node, first, second, (left, right, out), at, inside)


# --- what is left of overlap_add -----------------------------------------------------------------


def _tiles(node: Node) -> bool:
    """Return True for windows that stand side by side."""
    sizes = node.inputs[0].tensor_type.shape[-len(node.attrs["axes"]) :]
    return tuple(sizes) == node.attrs["strides"] and set(node.attrs["dilations"]) == {1}


def _tiled(node: Node) -> Tensor:
    attrs, x = node.attrs, Tensor(node.inputs[0])
    ndim = node.tensor_type.ndim
    order: list[int] = []
    shape: list[Dim] = []
    for axis in range(ndim):
        order.append(axis)
        size = x.shape[axis]
        if axis in attrs["axes"]:
            window = ndim + attrs["axes"].index(axis)
            order.append(window)
            size = size * x.shape[window]
        shape.append(size)
    found = movement.reshape(movement.transpose(x, order), shape)
    whole = list(found.shape)
    for axis, size in zip(attrs["axes"], attrs["shape"], strict=True):
        whole[axis] = size
    return _surrounded(found, (0,) * ndim, whole)


def _sum_of_places(node: Node) -> Tensor:
    attrs, x, out = node.attrs, Tensor(node.inputs[0]), node.tensor_type
    terms = []
    for places in itertools.product(*(range(_known(n)) for n in x.shape[out.ndim :])):
        starts, steps = [0] * out.ndim, [1] * out.ndim
        for number, axis in enumerate(attrs["axes"]):
            starts[axis] = places[number] * attrs["dilations"][number]
            steps[axis] = attrs["strides"][number]
        term = slicing.slice_at(
            x,
            (*(0,) * out.ndim, *places),
            (1,) * x.ndim,
            (*x.shape[: out.ndim], *(1,) * len(places)),
        )
        term = movement.reshape(term, x.shape[: out.ndim])
        terms.append(slicing.place(term, out.shape, tuple(starts), tuple(steps)))
    return joining.total(terms)


# --- thin contractions ---------------------------------------------------------------------------


def _summed(node: Node, fired: Counter[str]) -> Node:
    """Return a contraction as sums of products where it is thin, or a few thin ones side by side."""
    if _is_thin(node):
        made = _sums_by_place(node)
        rule = "sum products by place" if made else "sum products"
        made = made or _sum_of_products(node)
    elif label := _filter_label(node):
        rule, made = "sum products by filter", _sums_by_filter(node, label)
    else:
        return node
    note(fired, rule, node, made)
    return made


def _is_thin(node: Node) -> bool:
    """Return True for a contraction whose right operand brings no label but ones of size 1."""
    left, right, _ = split_spec(node.attrs["spec"])
    extra = [i for i, label in enumerate(right) if label not in left]
    one = all(D.same(node.inputs[1].tensor_type.shape[i], 1) for i in extra)
    return one and _may_be_summed(node)


def _may_be_summed(node: Node) -> bool:
    """Return True for contractions along labels that all have; narrow floats add up in float32 there."""
    left, right, out = split_spec(node.attrs["spec"])
    shared = set(left) & set(right) & set(out)
    return bool(shared) and node.tensor_type.dtype.name in ("float32", "float64")


def _sum_of_products(node: Node) -> Node:
    left, right, out = split_spec(node.attrs["spec"])
    x, y = (Tensor(i) for i in node.inputs)
    extra = [label for label in right if label not in left]
    labels = left + "".join(extra)
    wide = movement.reshape(x, (*x.shape, *(1,) * len(extra)))
    order = [right.index(label) for label in labels if label in right]
    narrow = movement.transpose(y, order)
    shape = [narrow.shape[[z for z in labels if z in right].index(label)] if label in right else 1
             for label in labels]  # fmt: skip
    product = elementwise.multiply(wide, movement.reshape(narrow, shape))
    summed = tuple(i for i, label in enumerate(labels) if label not in out)
    total = reduction.sum(product, summed) if summed else product
    kept = [label for label in labels if label in out]
    return movement.transpose(total, [kept.index(label) for label in out]).node


def _sums_by_place(node: Node) -> Node | None:
    """Return a thin contraction that sums over positions, and not over windows, as a sum for each place
    in a window; None for others. Each reads a slice of what is under the windows."""
    left, right, out = split_spec(node.attrs["spec"])
    seen = node.inputs[0]
    if seen.op.name != "windows":
        return None
    attrs, x, positions = seen.attrs, Tensor(seen.inputs[0]), seen.tensor_type.shape
    under, inside, sizes = left[: x.ndim], left[x.ndim :], attrs["sizes"]
    at = {under[axis] for axis in attrs["axes"]}
    sums = at <= set(right) - set(out) and set(inside) <= set(out) - set(right)
    if not sums or math.prod(sizes) > PLACES:
        return None
    rest = "".join(label for label in out if label not in inside)
    parts = []
    for place in itertools.product(*map(range, sizes)):
        starts, steps = [0] * x.ndim, [1] * x.ndim
        for number, axis in enumerate(attrs["axes"]):
            starts[axis] = place[number] * attrs["dilations"][number]
            steps[axis] = attrs["strides"][number]
        read = slicing.slice_at(x, tuple(starts), tuple(steps), positions[: x.ndim])
        spec = {"spec": f"{under},{right}->{rest}"}
        parts.append(
            Tensor(_sum_of_products(make_node(node.op, (read.node, node.inputs[1]), spec)))
        )
    stacked = joining.stack(parts, 0)
    whole = movement.reshape(stacked, (*sizes, *stacked.shape[1:]))
    labels = inside + rest
    return movement.transpose(whole, [labels.index(label) for label in out]).node


def _filter_label(node: Node) -> str | None:
    """Return the label of a few filters for each channel, in depthwise contractions of windows."""
    left, right, out = split_spec(node.attrs["spec"])
    seen, extra = node.inputs[0], [label for label in right if label not in left]
    if seen.op.name != "windows" or len(extra) != 1 or not _may_be_summed(node):
        return None
    count = node.inputs[1].tensor_type.shape[right.index(extra[0])]
    shape = seen.tensor_type.shape
    ones = {label for label, size in zip(left, shape, strict=True) if D.same(size, 1)}
    places = ones | set(left[seen.inputs[0].tensor_type.ndim :])
    depthwise = any(set(left) - set(other) <= places for other in (out, right))
    return extra[0] if depthwise and isinstance(count, int) and 0 < count <= FILTERS else None


def _sums_by_filter(node: Node, label: str) -> Node:
    """Return a contraction as thin ones, one for each element along a label of its right operand."""
    _, right, out = split_spec(node.attrs["spec"])
    axis, parts = right.index(label), []
    for number in range(_known(node.inputs[1].tensor_type.shape[axis])):
        one = slicing.slice_axis(Tensor(node.inputs[1]), axis, number, number + 1)
        thin = node.with_inputs([node.inputs[0], one.node])
        parts.append(Tensor(_sums_by_place(thin) or _sum_of_products(thin)))
    return joining.concatenate(parts, out.index(label)).node
