"""Accesses of buffers -> LLVM text: addresses, loads, stores, and the check of an index that data gives.

The offset of an access is added up from the outermost loop inwards, each term in its own loop. Lanes
that lie side by side are moved as one vector, others one by one.
"""

from __future__ import annotations

from collections.abc import Collection

from symtensor.codegen.cross_lane import part
from symtensor.codegen.kernel import Affine, Buffer, Indirect, Kernel, Value
from symtensor.codegen.lane_scalars import LaneScalars
from symtensor.codegen.lanes import Lanes, memory_type, register_type
from symtensor.codegen.loop_builder import LoopBuilder, Scope
from symtensor.codegen.streaming import METADATA
from symtensor.ir.dims import Dim
from symtensor.ir.dtypes import DType, bool_, int64

REFUSED = "refused"
"""Label at which a kernel gives up over an index that is out of range."""


class Rests:
    """What the rows of a strip write under masks and read back: memory gives that much later, the stack soon.

    A processor hands on what it has just stored, but not what it has stored under a mask.
    """

    def __init__(self, rows: int, buffers: Collection[Buffer]) -> None:
        self.rows = rows
        """Rows of a strip, at most."""
        self.buffers = buffers
        self.row = ""
        """Which row of the strip is at work."""
        self.arrays: dict[Buffer, str] = {}
        """Buffers -> where a vector is kept for each row."""


class AccessBuilder(LoopBuilder):
    """Loops that read and write the buffers of a kernel."""

    def __init__(self, s: LaneScalars, kernel: Kernel, base: int) -> None:
        super().__init__(s, kernel.sizes, base)
        self.pointers = {b: f"%b{i}" for i, b in enumerate(kernel.buffers)}
        self.past_caches = False
        """True while stores pass the caches; they are of whole, aligned vectors."""
        self.rests: Rests | None = None
        """Those of the strip that is open."""
        self.tiles: dict[tuple[Buffer, Affine], str] = {}
        """Transposed loads -> pointer to the row of their tile."""

    # --- addresses --------------------------------------------------------------------------------

    def offset(self, at: Affine) -> str:
        """Return the element offset for the current indices; a vector axis counts its first lane.

        Terms are added from the outermost loop inwards, each in its own loop, so what does not
        change inside is not computed inside.
        """
        text = self.size(at.offset)
        loops = [(axis, factor) for axis, factor in at.terms if not isinstance(axis, Indirect)]
        depth = {scope.axis: i for i, scope in enumerate(self.scopes)}
        for axis, coefficient in sorted(loops, key=lambda term: depth[term[0]]):
            text = self._add_term(self.scopes[depth[axis]], text, self.size(coefficient))
        for term in self._named_terms(at):
            if term.width == 1:
                text = self.s.add(self.i64(text), term).text
        return text

    def _named_terms(self, at: Affine) -> list[Lanes]:
        """Return the offsets that checked values contribute, in elements."""
        named = [(a.value, factor) for a, factor in at.terms if isinstance(a, Indirect)]
        return [self.s.mul(self.value(v), self.i64(self.size(factor))) for v, factor in named]

    def _add_term(self, scope: Scope, text: str, coefficient: str) -> str:
        found = scope.partial.get((text, coefficient))
        if found is not None:
            return found
        term = scope.index
        if coefficient != "1":
            term = self.s.fresh("m")
            scope.hoisted.append(f"{term} = mul nsw i64 {scope.index}, {coefficient}")
        total = term
        if text != "0":
            total = self.s.fresh("o")
            scope.hoisted.append(f"{total} = add nsw i64 {text}, {term}")
        scope.partial[text, coefficient] = total
        return total

    def step_of(self, at: Affine) -> Dim:
        """Return how many elements an access moves per lane of the current vector loop."""
        return 0 if self.vector_axis is None else at.coefficient(self.vector_axis)

    def position(self, at: Affine) -> Lanes:
        total = self.i64(self.offset(at))
        step = self.step_of(at)
        if not (step == 0 and isinstance(step, int)):
            total = self.s.add(total, self._lane_offsets(step))
        for term in self._named_terms(at):
            if term.width > 1:
                total = self.s.add(total, term)
        return total

    def _lane_offsets(self, step: Dim) -> Lanes:
        return self.s.mul(self.lane_numbers(), self.i64(self.size(step)))

    def pointer(self, buffer: Buffer, at: Affine) -> str:
        name = self.s.fresh("p")
        self.s.out.append(
            f"{name} = getelementptr inbounds {memory_type(buffer.dtype)}, "
            f"ptr {self.pointers[buffer]}, i64 {self.offset(at)}"
        )
        return name

    # --- loads ------------------------------------------------------------------------------------

    def load(self, buffer: Buffer, at: Affine) -> Lanes:
        step = self.step_of(at)
        dtype = buffer.dtype
        if (buffer, at) in self.tiles:
            return self.load_at(self.tiles[buffer, at], dtype, self.width)
        if any(self.value(x).width > 1 for x in _named(at)):
            return self._gather(self._named_pointers(buffer, at), dtype)
        if isinstance(step, int) and step in (0, 1):
            return self.load_at(self.pointer(buffer, at), dtype, self.width if step else 1)
        return self._gather(self.lane_pointers(buffer, at, step), dtype)

    def load_at(self, pointer: str, dtype: DType, width: int) -> Lanes:
        return self.s.from_memory(self.load_raw(pointer, dtype, width), dtype, width)

    def load_raw(self, pointer: str, dtype: DType, width: int) -> str:
        kind = memory_type(dtype, width)
        load = f"load {kind}, ptr {pointer}, align {dtype.itemsize}"
        if self.mask is not None and width > 1:
            given = [("ptr", pointer), ("i32", str(dtype.itemsize)), self._lanes_taken(),
                     (kind, "zeroinitializer")]  # fmt: skip
            load = self.s.intrinsic(f"llvm.masked.load.{_in_memory(kind)}.p0", kind, given)
        return self.s.emit(load, dtype, width).text

    def load_element(self, array: str, number: str, dtype: DType, width: int) -> Lanes:
        """Return an element of a contiguous array in scratch memory, and `width` - 1 after it."""
        return self.load_at(self.element(memory_type(dtype), array, number), dtype, width)

    def store_element(self, array: str, number: str, value: Lanes, width: int) -> None:
        """Write an element of a contiguous array in scratch memory, and `width` - 1 after it."""
        text = self.s.to_memory(self.s.widen(value, width))
        pointer = self.element(memory_type(value.dtype), array, number)
        self.store_at(memory_type(value.dtype, width), text, pointer, value.dtype)

    def lane_pointers(self, buffer: Buffer, at: Affine, step: Dim) -> list[str]:
        base = self.pointer(buffer, at)
        kind, stride = memory_type(buffer.dtype), self.size(step)
        pointers = [base]
        for _ in range(self.width - 1):
            name = self.s.fresh("p")
            self.s.out.append(f"{name} = getelementptr {kind}, ptr {pointers[-1]}, i64 {stride}")
            pointers.append(name)
        return pointers

    def _named_pointers(self, buffer: Buffer, at: Affine) -> list[str]:
        """Return a pointer per lane where the lanes hold checked values of their own."""
        offsets, kind = self.position(at), memory_type(buffer.dtype)
        pointers = []
        for lane in range(self.width):
            one = part(self.s, offsets, lane, 1).text
            pointers.append(self.s.fresh("p"))
            self.s.out.append(f"{pointers[-1]} = getelementptr inbounds {kind}, "
                              f"ptr {self.pointers[buffer]}, i64 {one}")  # fmt: skip
        return pointers

    def _gather(self, pointers: list[str], dtype: DType) -> Lanes:
        """Load lanes that do not lie side by side, one by one."""
        kind, vector = memory_type(dtype), memory_type(dtype, self.width)
        text = "poison"
        for lane, pointer in enumerate(pointers):
            one = self.s.emit(f"load {kind}, ptr {pointer}, align {dtype.itemsize}", dtype, 1)
            text = self.s.emit(
                f"insertelement {vector} {text}, {kind} {one.text}, i64 {lane}", dtype, self.width
            ).text
        return self.s.from_memory(text, dtype, self.width)

    def checked(self, index: Lanes, size: Dim) -> Lanes:
        """Return an index counted from the front; the kernel returns 1 when it leaves its axis."""
        s, extent = self.s, self.i64(self.size(size))
        place = s.cast(index, int64)
        if index.dtype.kind == "i":
            negative = s.lt(place, s.const(0, int64))
            place = s.add(place, s.select(negative, extent, s.const(0, int64)))
        outside = s.compare("icmp uge", place, extent)
        if outside.width > 1:
            bits = f"i{outside.width}"
            whole = s.emit(f"bitcast <{outside.width} x i1> {outside.text} to {bits}", int64, 1)
            outside = s.emit(f"icmp ne {bits} {whole.text}, 0", bool_, 1)
        name = s.fresh("inside")[1:]
        s.out += [f"br i1 {outside.text}, label %{REFUSED}, label %{name}", f"{name}:"]
        return place

    def reload(self, buffer: Buffer, at: Affine) -> Lanes:
        """Return what the row at work has written there."""
        kept = self.mask is not None and self.rests is not None and buffer in self.rests.arrays
        if not kept:  # a rest that went element by element is read from memory, too
            return self.load(buffer, at)
        with self.unmasked():
            return self.load_at(self._rest(buffer), buffer.dtype, self.width)

    def _rest(self, buffer: Buffer) -> str:
        """Return where the row at work keeps what it writes in the round that is open."""
        assert self.rests is not None
        vector = memory_type(buffer.dtype, self.width)
        if buffer not in self.rests.arrays:
            array = self.rests.arrays[buffer] = self.s.fresh("rests")
            self.scopes[0].hoisted.append(f"{array} = alloca [{self.rests.rows} x {vector}]")
        return self.element(vector, self.rests.arrays[buffer], self.rests.row)

    # --- stores -----------------------------------------------------------------------------------

    def store(self, buffer: Buffer, at: Affine, value: Lanes) -> None:
        step, dtype = self.step_of(at), buffer.dtype
        if any(self.value(x).width > 1 for x in _named(at)):
            self._scatter(self._named_pointers(buffer, at), value, dtype)
        elif isinstance(step, int) and step in (0, 1):
            whole = self.s.widen(value, self.width) if step else value
            kind, text = memory_type(dtype, whole.width), self.s.to_memory(whole)
            self.store_at(kind, text, self.pointer(buffer, at), dtype)
            if self.mask is not None and self.rests is not None and buffer in self.rests.buffers:
                with self.unmasked():
                    self.store_at(kind, text, self._rest(buffer), dtype)
        else:
            self._scatter(self.lane_pointers(buffer, at, step), value, dtype)

    def _scatter(self, pointers: list[str], value: Lanes, dtype: DType) -> None:
        """Store lanes that do not lie side by side, one by one."""
        text = self.s.to_memory(self.s.widen(value, self.width))
        vector = memory_type(dtype, self.width)
        for lane, pointer in enumerate(pointers):
            one = self.s.emit(f"extractelement {vector} {text}, i64 {lane}", dtype, 1)
            self.store_at(memory_type(dtype), one.text, pointer, dtype)

    def store_at(self, kind: str, text: str, pointer: str, dtype: DType) -> None:
        if self.past_caches:
            self.s.intrinsics.add(METADATA)
            aligned = f"align {self.width * dtype.itemsize}, !nontemporal !0"
            self.s.out.append(f"store {kind} {text}, ptr {pointer}, {aligned}")
            return
        if self.mask is not None and kind.startswith("<"):
            given = [
                (kind, text),
                ("ptr", pointer),
                ("i32", str(dtype.itemsize)),
                self._lanes_taken(),
            ]
            name = f"llvm.masked.store.{_in_memory(kind)}.p0"
            self.s.out.append(self.s.intrinsic(name, "void", given))
            return
        self.s.out.append(f"store {kind} {text}, ptr {pointer}, align {dtype.itemsize}")

    def _lanes_taken(self) -> tuple[str, str]:
        """Return the mask of the vector loop being emitted, with its type."""
        assert self.mask is not None
        return register_type(bool_, self.mask.width), self.mask.text


def _in_memory(kind: str) -> str:
    """Return how names of intrinsics spell ``<width x element>``."""
    width, _, element = kind[1:-1].partition(" x ")
    return f"v{width}{ {'half': 'f16', 'float': 'f32', 'double': 'f64'}.get(element, element) }"


def _named(at: Affine) -> list[Value]:
    return [axis.value for axis, _ in at.terms if isinstance(axis, Indirect)]
