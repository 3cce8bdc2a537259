"""The native entry: what a call runs when its arguments are what they were the time before.

    PyObject *entry(PyObject *self, PyObject *const *args, Py_ssize_t count)

One function serves all compiled programs. `self` is an array of words, the *frame* (see
`symtensor.codegen.frame`), which says what to check, where to find variables, how to make results.
Anything unexpected (another dtype, shape or stride, a list, a busy frame, an error) goes to the
frame's Python callable, which does the whole call again and raises what there is to raise. Nothing
is stored before the driver has returned 0.

The C names are those of CPython's and NumPy's interfaces for extensions.
"""

from __future__ import annotations

from collections.abc import Callable

from symtensor.codegen.frame_layout import (
    BASE,
    DATA,
    DIMS,
    DTYPE,
    FLAGS,
    FRESH,
    INPUT_WORDS,
    KIND,
    OUTPUT_WORDS,
    RANK,
    READABLE,
    RESULTS,
    TYPE,
    UINT8,
    WEAK,
    InputWord,
    OutputWord,
    Word,
)
from symtensor.codegen.text import FunctionText, V
from symtensor.ir.alignment import ALIGNMENT

NAME = "symtensor_entry"

FUNCTIONS = {
    "PyArray_New": "ptr @PyArray_New(ptr, i32, ptr, i32, ptr, ptr, i32, i32, ptr)",
    "PyArray_SetBaseObject": "i32 @PyArray_SetBaseObject(ptr, ptr)",
    "PyObject_Vectorcall": "ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)",
    "PyEval_SaveThread": "ptr @PyEval_SaveThread()",
    "PyEval_RestoreThread": "void @PyEval_RestoreThread(ptr)",
    "PyList_New": "ptr @PyList_New(i64)",
    "PyList_SetItem": "i32 @PyList_SetItem(ptr, i64, ptr)",
    "Py_IncRef": "void @Py_IncRef(ptr)",
    "Py_DecRef": "void @Py_DecRef(ptr)",
}
DATA_SYMBOLS = ("PyArray_Type", "_Py_NoneStruct")


def entry_module() -> str:
    """Return the text of the module that defines the entry."""
    declared = [f"declare {text}" for text in FUNCTIONS.values()]
    declared += [f"@{name} = external global i8" for name in DATA_SYMBOLS]
    return "\n".join(declared) + "\n\n" + _reusable() + "\n\n" + _Entry().text()


def _field(f: FunctionText, kind: str, pointer: str, offset: int) -> str:
    return f.load(kind, f.at("i8", pointer, offset), 4 if kind == "i32" else 8)


def _is_dtype(f: FunctionText, found: str, dtype: str) -> str:
    """Return whether a dtype is that object, or means the same: unpickled arrays have their own."""

    def kind(pointer: str) -> str:
        return _field(f, "i64", f.op(f"inttoptr i64 {pointer} to ptr"), KIND)

    (same,) = f.branch(
        f.compare("eq", found, dtype),
        lambda: ["true"],
        lambda: [f.compare("eq", kind(found), kind(dtype))],
        ["i1"],
    )
    return same


def _check_array(
    f: FunctionText, array: str, dtype: str, rank: str, dims: str, flags: int, fail: str
) -> None:
    """Go to `fail` unless an object is an array of that dtype, shape and flags."""

    def require(condition: str) -> None:
        name = f"C{f.fresh()[1:]}"
        f.do(f"br i1 {condition}, label %{name}, label %{fail}")
        f.label(name)

    kind = _field(f, "ptr", array, TYPE)
    require(f.op(f"icmp eq ptr {kind}, @PyArray_Type"))
    require(_is_dtype(f, _field(f, "i64", array, DTYPE), dtype))
    found = f.op(f"zext i32 {_field(f, 'i32', array, RANK)} to i64")
    require(f.compare("eq", found, rank))
    masked = f.op(f"and i32 {_field(f, 'i32', array, FLAGS)}, {flags}")
    require(f.op(f"icmp eq i32 {masked}, {flags}"))
    sizes = _field(f, "ptr", array, DIMS)

    def one(i: str, _: list[str]) -> None:
        here, there = (f.load("i64", f.at("i64", x, i), 8) for x in (sizes, dims))
        require(f.compare("eq", here, there))

    f.loop(0, rank, 1, one)


def _reusable() -> str:
    """Return the test whether an array of an earlier call is free and still as it was made."""
    f = FunctionText("reusable", [("ptr", "array"), ("ptr", "record")], "i1")
    f.return_if(f.op("icmp eq ptr %array, null"), "i1 false")
    _return_if_shared(f, "%array")
    dtype, rank = (_record(f, "i64", "%record", x) for x in (OutputWord.DTYPE, OutputWord.RANK))
    dims = _record(f, "ptr", "%record", OutputWord.DIMS)
    # the very object: with another one a caller may have hung metadata on the array
    f.return_if(f.compare("ne", _field(f, "i64", "%array", DTYPE), dtype), "i1 false")
    _check_array(f, "%array", dtype, rank, dims, FRESH, "no")
    owner = _field(f, "ptr", "%array", BASE)
    f.branch(f.op(f"icmp ne ptr {owner}, null"), lambda: _return_if_shared(f, owner))
    f.do("ret i1 true")
    f.label("no")
    f.do("ret i1 false")
    return f.text()


def _return_if_shared(f: FunctionText, array: str) -> None:
    """Return false where anybody but the frame, or the one array on it, refers to an array."""
    references = f.load("i32", array, 8)
    f.return_if(f.op(f"icmp ne i32 {references}, 1"), "i1 false")
    f.return_if(f.op(f"icmp ne ptr {_field(f, 'ptr', array, WEAK)}, null"), "i1 false")


def _record(f: FunctionText, kind: str, record: str, word: V) -> str:
    return f.load(kind, f.at("i64", record, int(word)), 8)


def _write(f: FunctionText, kind: str, record: str, word: V, value: V) -> None:
    f.store(kind, value, f.at("i64", record, int(word)), 8)


class _Entry:
    def __init__(self) -> None:
        self.f = FunctionText(
            NAME, [("ptr", "self"), ("ptr", "args"), ("i64", "count")], "ptr", linkage=""
        )

    def text(self) -> str:
        f = self.f
        f.do(f"%data = getelementptr i8, ptr %self, i64 {DATA}")
        f.do("%frame = load ptr, ptr %data, align 8")
        f.do("br label %start")
        f.label("start")
        self.require(f.compare("eq", self.word(Word.BUSY), 0), "slow")
        self.require(f.compare("eq", self.word(Word.READY), 1), "slow")
        self.require(f.compare("eq", self.word(Word.ARITY), "%count"), "slow")
        self.each_input(self.take_input)
        _write(f, "i64", "%frame", Word.BUSY, 1)
        self.each_output(self.clear)
        self.each_output(self.make_array)
        self.run()
        self.each_output(self.commit)
        result = self.result()
        self.each_output(self.drop_old)
        _write(f, "i64", "%frame", Word.BUSY, 0)
        f.do(f"ret ptr {result}")
        self.failures()
        return f.text()

    def require(self, condition: str, otherwise: str) -> None:
        name = f"C{self.f.fresh()[1:]}"
        self.f.do(f"br i1 {condition}, label %{name}, label %{otherwise}")
        self.f.label(name)

    def word(self, word: Word, kind: str = "i64") -> str:
        return _record(self.f, kind, "%frame", word)

    def _each(self, count: Word, first: Word, words: int, body: Callable[[str, str], None]) -> None:
        f = self.f
        records = self.word(first, "ptr")
        f.loop(0, self.word(count), 1,
               lambda i, _: body(i, f.at("i64", records, f.mul(i, words))))  # fmt: skip

    def each_input(self, body: Callable[[str, str], None]) -> None:
        self._each(Word.INPUTS, Word.INPUT_RECORDS, INPUT_WORDS, body)

    def each_output(self, body: Callable[[str, str], None]) -> None:
        self._each(Word.OUTPUTS, Word.OUTPUT_RECORDS, OUTPUT_WORDS, body)

    def take_input(self, _: str, record: str) -> None:
        """Find an argument or a variable's array, check it, tell the driver where it is."""
        f = self.f
        source = _record(f, "i64", record, InputWord.SOURCE)
        (array,) = f.branch(
            f.compare("sge", source, 0),
            lambda: [f.load("ptr", f.at("ptr", "%args", source), 8)],
            lambda: [f.load("ptr", _record(f, "ptr", record, InputWord.PLACE), 8)],
            ["ptr"],
        )
        self.require(f.op(f"icmp ne ptr {array}, null"), "slow")
        dtype, rank = (_record(f, "i64", record, x) for x in (InputWord.DTYPE, InputWord.RANK))
        dims = _record(f, "ptr", record, InputWord.DIMS)
        _check_array(f, array, dtype, rank, dims, READABLE, "slow")
        _write(f, "ptr", record, InputWord.HELD, array)
        self.point_to(_record(f, "i64", record, InputWord.TABLE), array)

    def point_to(self, position: str, array: str) -> None:
        f = self.f
        place = f.at("ptr", self.word(Word.TABLE, "ptr"), position)
        f.store("ptr", _field(f, "ptr", array, DATA), place, 8)

    def clear(self, _: str, record: str) -> None:
        _write(self.f, "ptr", record, OutputWord.CHOSEN, "null")
        _write(self.f, "ptr", record, OutputWord.OLD, "null")

    def make_array(self, _: str, record: str) -> None:
        """Choose the memory of a result: an array of an earlier call that is free, or a new one."""
        f = self.f
        first, second = (
            _record(f, "ptr", record, x) for x in (OutputWord.FIRST, OutputWord.SECOND)
        )
        free = f.op(f"call i1 @reusable(ptr {first}, ptr {record})")

        def again(array: str) -> list[V]:
            f.do(f"call void @Py_IncRef(ptr {array})")
            return [array]

        def try_second() -> list[V]:
            free = f.op(f"call i1 @reusable(ptr {second}, ptr {record})")
            return list(
                f.branch(free, lambda: again(second), lambda: self.new_array(record), ["ptr"])
            )

        (array,) = f.branch(free, lambda: again(first), try_second, ["ptr"])
        _write(f, "ptr", record, OutputWord.CHOSEN, array)
        self.point_to(_record(f, "i64", record, OutputWord.TABLE), array)

    def new_array(self, record: str) -> list[V]:
        """Make an array and remember it in place of the one remembered longer."""
        f = self.f
        size = _record(f, "i64", record, OutputWord.BYTES)
        (array,) = f.branch(
            f.compare("ne", size, 0),
            lambda: [self.at_cache_line(record)],
            lambda: [self.array_on(record)],
            ["ptr"],
        )
        self.require(f.op(f"icmp ne ptr {array}, null"), "undo")
        second = _record(f, "ptr", record, OutputWord.SECOND)
        _write(f, "ptr", record, OutputWord.SECOND, _record(f, "ptr", record, OutputWord.FIRST))
        _write(f, "ptr", record, OutputWord.FIRST, array)
        f.do(f"call void @Py_IncRef(ptr {array})")
        f.do(f"call void @Py_DecRef(ptr {second})")
        return [array]

    def array_on(self, record: str, data: str = "null", flags: int = 0) -> str:
        """Return a new array of a result, null where there is none; `data` is its memory, else its own."""
        rank, number = (
            self.f.op(f"trunc i64 {_record(self.f, 'i64', record, x)} to i32")
            for x in (OutputWord.RANK, OutputWord.NUMBER)
        )
        dims = _record(self.f, "ptr", record, OutputWord.DIMS)
        return self.f.op(
            f"call ptr @PyArray_New(ptr @PyArray_Type, i32 {rank}, ptr {dims}, i32 {number}, "
            f"ptr null, ptr {data}, i32 0, i32 {flags}, ptr null)"
        )

    def at_cache_line(self, record: str) -> str:
        """Return a new array of a result on an array of bytes, null where there is none."""
        f = self.f
        size = f.at("i64", record, OutputWord.BYTES)
        owner = f.op(
            f"call ptr @PyArray_New(ptr @PyArray_Type, i32 1, ptr {size}, i32 {UINT8}, "
            "ptr null, ptr null, i32 0, i32 0, ptr null)"
        )
        self.require(f.op(f"icmp ne ptr {owner}, null"), "undo")
        last = f.op(
            f"ptrtoint ptr {f.at('i8', _field(f, 'ptr', owner, DATA), ALIGNMENT - 1)} to i64"
        )
        data = f.op(f"inttoptr i64 {f.round_down(last, ALIGNMENT)} to ptr")
        array = self.array_on(record, data, FRESH)
        f.branch(
            f.op(f"icmp ne ptr {array}, null"),
            lambda: f.do(f"call i32 @PyArray_SetBaseObject(ptr {array}, ptr {owner})"),
            lambda: f.do(f"call void @Py_DecRef(ptr {owner})"),
        )
        return array

    def run(self) -> None:
        """Call the driver, for long programs without the interpreter's lock."""
        f = self.f
        self.each_input(lambda _, record: f.do(
            f"call void @Py_IncRef(ptr {_record(f, 'ptr', record, InputWord.HELD)})"))  # fmt: skip
        release = f.compare("ne", self.word(Word.RELEASE), 0)
        (state,) = f.branch(
            release, lambda: [f.op("call ptr @PyEval_SaveThread()")], lambda: ["null"], ["ptr"]
        )
        table, sizes, driver = (self.word(x, "ptr") for x in (Word.TABLE, Word.SIZES, Word.DRIVER))
        callback = self.word(Word.CALLBACK, "ptr")
        failed = f.op(f"call i32 {driver}(ptr {table}, ptr {sizes}, ptr {callback}, i64 0)")
        f.branch(release, lambda: f.do(f"call void @PyEval_RestoreThread(ptr {state})"))
        self.each_input(lambda _, record: f.do(
            f"call void @Py_DecRef(ptr {_record(f, 'ptr', record, InputWord.HELD)})"))  # fmt: skip
        self.require(f.op(f"icmp eq i32 {failed}, 0"), "undo")

    def commit(self, _: str, record: str) -> None:
        """Give an updated variable its next array."""
        f = self.f
        place = _record(f, "ptr", record, OutputWord.PLACE)

        def swap() -> None:
            _write(f, "ptr", record, OutputWord.OLD, f.load("ptr", place, 8))
            f.store("ptr", _record(f, "ptr", record, OutputWord.CHOSEN), place, 8)

        f.branch(f.op(f"icmp ne ptr {place}, null"), swap)

    def result(self) -> str:
        f = self.f
        kind = self.word(Word.RESULT)
        records = self.word(Word.OUTPUT_RECORDS, "ptr")

        def nothing() -> list[V]:
            f.do("call void @Py_IncRef(ptr @_Py_NoneStruct)")
            return ["@_Py_NoneStruct"]

        def single() -> list[V]:
            return [_record(f, "ptr", records, OutputWord.CHOSEN)]

        def many() -> list[V]:
            count = self.word(Word.RETURNED)
            made = f.op(f"call ptr @PyList_New(i64 {count})")

            def put(i: str, _: list[str]) -> None:
                record = f.at("i64", records, f.mul(i, OUTPUT_WORDS))
                item = _record(f, "ptr", record, OutputWord.CHOSEN)
                f.op(f"call i32 @PyList_SetItem(ptr {made}, i64 {i}, ptr {item})")

            f.loop(0, count, 1, put)
            return [made]

        def one_or_none() -> list[V]:
            is_single = f.compare("eq", kind, RESULTS.index("one"))
            return list(f.branch(is_single, single, nothing, ["ptr"]))

        return f.branch(f.compare("eq", kind, RESULTS.index("list")), many, one_or_none, ["ptr"])[0]

    def drop_old(self, _: str, record: str) -> None:
        old = _record(self.f, "ptr", record, OutputWord.OLD)
        self.f.do(f"call void @Py_DecRef(ptr {old})")

    def failures(self) -> None:
        """Emit the ways out: give back what was taken, then do the call in Python."""
        f = self.f
        f.label("undo")
        self.each_output(lambda _, record: f.do(
            f"call void @Py_DecRef(ptr {_record(f, 'ptr', record, OutputWord.CHOSEN)})"))  # fmt: skip
        _write(f, "i64", "%frame", Word.BUSY, 0)
        f.do("br label %slow")
        f.label("slow")
        slow = self.word(Word.SLOW, "ptr")
        out = f.op(f"call ptr @PyObject_Vectorcall(ptr {slow}, ptr %args, i64 %count, ptr null)")
        f.do(f"ret ptr {out}")
