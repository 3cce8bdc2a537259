"""The thread pool, native side: one module per process that shares loops out.

    i32 parallel(ptr function, ptr block, i64 extent, i64 cost, i64 multiple)
    void worker(i64 number)
    void wake()
    ptr scratch(ptr mine, i64 number)

`parallel` runs ``function(block, first, last, number)`` over ranges that cover 0 to `extent`, and
returns the largest of its results. `cost` is what one index takes, in picoseconds; ranges are
multiples of `multiple`, except for the last. Short work, work inside other parallel work, and work
while another thread uses the pool run in the caller alone. How a loop is cut never changes what it
computes, so results do not depend on the number of threads.

A job is published in one word: its number of ranges and the next one to take. Whoever takes a range
adds one to that word, so nobody can take a range of a job that is over. The caller works too, and
waits only for ranges that somebody took. Workers look for work for a while before they sleep.
"""

from __future__ import annotations

from symtensor.codegen.target import Target
from symtensor.codegen.text import FunctionText, V

PARALLEL = "symtensor_parallel"
WORKER = "symtensor_worker"
WAKE = "symtensor_wake"
STATE = "symtensor_pool"
SCRATCH = "symtensor_scratch"
SCRATCHES = "symtensor_scratches"
DECLARATIONS = (
    f"declare i32 @{PARALLEL}(ptr, ptr, i64, i64, i64)",
    f"declare ptr @{SCRATCH}(ptr, i64)",
)
SYMBOLS = (PARALLEL, WORKER, WAKE, STATE, SCRATCH, SCRATCHES)

WORTH = 15_000_000
"""Picoseconds of work from which other threads are woken."""
GRAIN = 5_000_000
"""Picoseconds of one range, at least."""
MOST = 256
"""Ranges of one job, at most."""
LOOKS = 20_000
"""How often a worker looks for work before it sleeps; about half a millisecond. A thread that wakes may be
put beside the one that woke it, and wait there while processors are idle."""
PATIENCE = 20_000
"""How often a caller looks whether all is done before it offers its processor to others."""

# Fields of the state, each in a cache line of its own: they are written by different threads.
LINE = 8
TICKET, FUNCTION, BLOCK, EXTENT, RANGE, DONE, CODE, GENERATION, SLEEPERS, BUSY, WORKERS, STOP = (
    range(12)
)
STATE_WORDS = 12 * LINE
MOST_THREADS = 64
_BITS = 20  # of the next range in the ticket; the number of ranges stands above them
_MASK = (1 << _BITS) - 1

SYSTEM = {
    "linux": ("i64 @syscall(i64, ...)", "i32 @sched_yield()"),
    "darwin": ("i32 @__ulock_wait(i32, ptr, i64, i32)", "i32 @__ulock_wake(i32, ptr, i64)",
               "i32 @sched_yield()"),
    "windows": ("i32 @WaitOnAddress(ptr, ptr, i64, i32)", "void @WakeByAddressAll(ptr)",
                "i32 @SwitchToThread()"),
}  # fmt: skip
"""Functions of the operating system that put threads to sleep and wake them."""


def system_of(target: Target) -> str | None:
    """Return which operating system's functions to use, None where there are no threads."""
    for word, name in (("linux", "linux"), ("apple", "darwin"), ("windows", "windows")):
        if word in target.triple and target.triple.startswith(("x86_64", "aarch64", "arm64")):
            return name
    return None


def pool_module(target: Target) -> str:
    """Return the text of the module."""
    return _Pool(target).module()


class _Pool:
    def __init__(self, target: Target) -> None:
        self.system = system_of(target)
        self.arm = target.triple.startswith(("aarch64", "arm64"))

    def module(self) -> str:
        declared = [f"declare {text}" for text in SYSTEM.get(self.system or "", ())]
        hint = "@llvm.aarch64.hint(i32)" if self.arm else "@llvm.x86.sse2.pause()"
        declared.append(f"declare void {hint}")
        state = f"@{STATE} = global [{STATE_WORDS} x i64] zeroinitializer, align 64"
        scratches = f"@{SCRATCHES} = global [{MOST_THREADS} x ptr] zeroinitializer"
        functions = [self.take(), self.parallel(), self.worker(), self.wake_all(), self.scratch()]
        return "\n\n".join(["\n".join(declared), state, scratches, *functions])

    # --- words of the state ----------------------------------------------------------------------

    def field(self, word: int) -> str:
        return f"getelementptr inbounds (i64, ptr @{STATE}, i64 {word * LINE})"

    def load(self, f: FunctionText, word: int, kind: str = "i64") -> str:
        size = 4 if kind == "i32" else 8
        return f.op(f"load atomic {kind}, ptr {self.field(word)} seq_cst, align {size}")

    def store(self, f: FunctionText, word: int, value: V, kind: str = "i64") -> None:
        size = 4 if kind == "i32" else 8
        f.do(f"store atomic {kind} {value}, ptr {self.field(word)} seq_cst, align {size}")

    def fetch(self, f: FunctionText, how: str, word: int, value: V, kind: str = "i64") -> str:
        size = 4 if kind == "i32" else 8
        return f.op(f"atomicrmw {how} ptr {self.field(word)}, {kind} {value} seq_cst, align {size}")

    def pause(self, f: FunctionText) -> None:
        f.do("call void @llvm.aarch64.hint(i32 1)" if self.arm
             else "call void @llvm.x86.sse2.pause()")  # fmt: skip

    # --- the operating system --------------------------------------------------------------------

    def sleep(self, f: FunctionText, seen: str) -> None:
        """Sleep until the generation is no longer `seen`; may return earlier."""
        place = self.field(GENERATION)
        if self.system == "linux":
            number = 98 if self.arm else 202
            f.op(f"call i64 (i64, ...) @syscall(i64 {number}, ptr {place}, i32 128, i32 {seen}, "
                 "ptr null)")  # fmt: skip
        elif self.system == "darwin":
            wide = f.op(f"zext i32 {seen} to i64")
            f.op(f"call i32 @__ulock_wait(i32 1, ptr {place}, i64 {wide}, i32 0)")
        elif self.system == "windows":
            f.store("i32", seen, "%seen", 4)
            f.op(f"call i32 @WaitOnAddress(ptr {place}, ptr %seen, i64 4, i32 -1)")

    def wake(self, f: FunctionText) -> None:
        """Wake all that sleep."""
        place = self.field(GENERATION)
        if self.system == "linux":
            number = 98 if self.arm else 202
            f.op(f"call i64 (i64, ...) @syscall(i64 {number}, ptr {place}, i32 129, "
                 "i32 2147483647)")  # fmt: skip
        elif self.system == "darwin":
            f.op(f"call i32 @__ulock_wake(i32 257, ptr {place}, i64 0)")  # 256: all of them
        elif self.system == "windows":
            f.do(f"call void @WakeByAddressAll(ptr {place})")

    def give_way(self, f: FunctionText) -> None:
        if self.system is not None:
            f.op(f"call i32 @{'SwitchToThread' if self.system == 'windows' else 'sched_yield'}()")

    # --- taking ranges ---------------------------------------------------------------------------

    def available(self, f: FunctionText) -> str:
        ticket = self.load(f, TICKET)
        next_ = f.op(f"and i64 {ticket}, {_MASK}")
        return f.compare("slt", next_, f.op(f"lshr i64 {ticket}, {_BITS}"))

    def take(self) -> str:
        """Return ``i1 take(number)``: take one range and run it; false when none is left."""
        f = FunctionText("take", [("i64", "number")], "i1")
        f.return_if(f.op(f"xor i1 {self.available(f)}, true"), "i1 false")
        ticket = self.fetch(f, "add", TICKET, 1)
        index = f.op(f"and i64 {ticket}, {_MASK}")
        count = f.op(f"lshr i64 {ticket}, {_BITS}")
        f.return_if(f.compare("sge", index, count), "i1 false")
        # the job can't end before this range is done, so these are its words
        function, block = self.load(f, FUNCTION, "ptr"), self.load(f, BLOCK, "ptr")
        extent, size = self.load(f, EXTENT), self.load(f, RANGE)
        first = f.mul(index, size)
        last = f.minimum(f.add(first, size), extent)
        code = f.op(f"call i32 {function}(ptr {block}, i64 {first}, i64 {last}, i64 %number)")
        self.fetch(f, "umax", CODE, code, "i32")
        self.fetch(f, "add", DONE, 1)
        f.do("ret i1 true")
        return f.text()

    def until(self, f: FunctionText, body: str) -> None:
        """Call ``body(number)`` until it returns false."""
        name = f"U{f.fresh()[2:]}"
        f.do(f"br label %{name}")
        f.label(name)
        more = f.op(body)
        f.do(f"br i1 {more}, label %{name}, label %{name}.exit")
        f.label(f"{name}.exit")

    # --- the caller's side -----------------------------------------------------------------------

    def parallel(self) -> str:
        f = FunctionText(PARALLEL, [
            ("ptr", "function"), ("ptr", "block"), ("i64", "extent"), ("i64", "cost"),
            ("i64", "multiple")], "i32", linkage="")  # fmt: skip
        if self.system is None:
            self.alone(f)
            f.lines.append("}")
            return "\n".join(f.lines)
        cost = f.select(f.compare("slt", "%cost", 1), "i64", 1, "%cost")
        # at least WORTH / GRAIN ranges of GRAIN each, at most MOST
        few = f.op(f"sdiv i64 {GRAIN}, {cost}")
        spread = f.op(f"sdiv i64 %extent, {MOST}")
        size: V = f.select(f.compare("sgt", few, spread), "i64", few, spread)
        up = f.op(f"sdiv i64 {size}, %multiple")
        size = f.mul(f.add(up, 1), "%multiple")
        above = f.sub(f.add("%extent", size), 1)
        count = f.op(f"sdiv i64 {above}, {size}")
        short = f.op(f"sdiv i64 {WORTH}, {cost}")
        serial = f.either(f.compare("slt", count, 2), f.compare("slt", "%extent", short))
        serial = f.either(serial, f.compare("eq", self.load(f, WORKERS), 0))
        self.leave_if(f, serial)
        pair = f.op(f"cmpxchg ptr {self.field(BUSY)}, i64 0, i64 1 seq_cst seq_cst, align 8")
        free = f.op(f"extractvalue {{ i64, i1 }} {pair}, 1")
        self.leave_if(f, f.op(f"xor i1 {free}, true"))
        self.store(f, FUNCTION, "%function", "ptr")
        self.store(f, BLOCK, "%block", "ptr")
        self.store(f, EXTENT, "%extent")
        self.store(f, RANGE, size)
        self.store(f, DONE, 0)
        self.store(f, CODE, 0, "i32")
        self.store(f, TICKET, f.op(f"shl i64 {count}, {_BITS}"))
        self.fetch(f, "add", GENERATION, 1, "i32")
        f.branch(f.compare("sgt", self.load(f, SLEEPERS), 0), lambda: self.wake(f))
        self.until(f, "call i1 @take(i64 0)")
        self.wait_for(f, count)
        code = self.load(f, CODE, "i32")
        self.store(f, BUSY, 0)
        f.do(f"ret i32 {code}")
        f.label("alone")
        self.alone(f)
        f.lines.append("}")
        return "\n".join(f.lines)

    def leave_if(self, f: FunctionText, condition: str) -> None:
        name = f"C{f.fresh()[1:]}"
        f.do(f"br i1 {condition}, label %alone, label %{name}")
        f.label(name)

    def alone(self, f: FunctionText) -> None:
        code = f.op("call i32 %function(ptr %block, i64 0, i64 %extent, i64 0)")
        f.do(f"ret i32 {code}")

    def wait_for(self, f: FunctionText, count: V) -> None:
        """Wait until all ranges are done; somebody is working on them."""
        name = f"U{f.fresh()[2:]}"
        f.do(f"br label %{name}.pre")
        f.label(f"{name}.pre")
        f.do(f"br label %{name}")
        f.label(name)
        f.do(f"%{name}.i = phi i64 [ 0, %{name}.pre ], [ %{name}.n, %{name}.again ]")
        done = f.compare("eq", self.load(f, DONE), count)
        f.do(f"br i1 {done}, label %{name}.exit, label %{name}.more")
        f.label(f"{name}.more")
        self.pause(f)
        f.do(f"%{name}.n = add i64 %{name}.i, 1")
        long = f.compare("sgt", f"%{name}.i", PATIENCE)
        f.branch(long, lambda: self.give_way(f))
        f.do(f"br label %{name}.again")
        f.label(f"{name}.again")
        f.do(f"br label %{name}")
        f.label(f"{name}.exit")

    # --- the workers' side -----------------------------------------------------------------------

    def worker(self) -> str:
        """Return the loop of a worker; it ends when the state says stop."""
        f = FunctionText(WORKER, [("i64", "number")], linkage="")
        f.do("%seen = alloca i32, align 4")
        f.do("br label %look")
        f.label("look")
        f.do("%looks = phi i64 [ 0, %entry ], [ 0, %worked ], [ %more, %again ], [ 0, %awake ]")
        stop = f.compare("ne", self.load(f, STOP), 0)
        f.do(f"br i1 {stop}, label %end, label %try")
        f.label("try")
        spare = f.compare("sgt", "%number", self.load(f, WORKERS))
        f.do(f"br i1 {spare}, label %idle, label %ask")
        f.label("ask")
        taken = f.op("call i1 @take(i64 %number)")
        f.do(f"br i1 {taken}, label %worked, label %idle")
        f.label("worked")
        f.do("br label %look")
        f.label("idle")
        self.pause(f)
        f.do("%more = add i64 %looks, 1")
        tired = f.compare("sgt", "%more", LOOKS)
        f.do(f"br i1 {tired}, label %rest, label %again")
        f.label("again")
        f.do("br label %look")
        f.label("rest")
        seen = self.load(f, GENERATION, "i32")
        self.fetch(f, "add", SLEEPERS, 1)
        mine = f.compare("sle", "%number", self.load(f, WORKERS))
        work = f.both(mine, self.available(f))
        work = f.either(work, f.compare("ne", self.load(f, STOP), 0))
        f.branch(work, lambda: None, lambda: self.sleep(f, seen))
        self.fetch(f, "sub", SLEEPERS, 1)
        f.do("br label %awake")
        f.label("awake")
        f.do("br label %look")
        f.label("end")
        return f.text()

    def wake_all(self) -> str:
        """Return the function that wakes all workers, for their end."""
        f = FunctionText(WAKE, [], linkage="")
        self.fetch(f, "add", GENERATION, 1, "i32")
        self.wake(f)
        return f.text()

    def scratch(self) -> str:
        """Return the choice of scratch memory: the caller's own, or the worker's."""
        f = FunctionText(SCRATCH, [("ptr", "mine"), ("i64", "number")], "ptr", linkage="")
        f.return_if(f.compare("eq", "%number", 0), "ptr %mine")
        theirs = f.load("ptr", f.at("ptr", f"@{SCRATCHES}", "%number"), 8)
        f.do(f"ret ptr {theirs}")
        return f.text()
