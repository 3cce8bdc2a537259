"""Words of a frame, and fields of Python's and NumPy's objects: where the native entry finds what.

`symtensor.codegen.frame` writes the words, and verifies that the fields are where they are expected; the
entry (`symtensor.codegen.entry`) reads both.
"""

from __future__ import annotations

from enum import IntEnum


class Word(IntEnum):
    """Words of a frame."""

    BUSY = 0
    READY = 1
    ARITY = 2
    INPUTS = 3
    OUTPUTS = 4
    RETURNED = 5
    RESULT = 6
    RELEASE = 7
    TABLE = 8
    SIZES = 9
    DRIVER = 10
    CALLBACK = 11
    SLOW = 12
    INPUT_RECORDS = 13
    OUTPUT_RECORDS = 14


class InputWord(IntEnum):
    """Words of the record of an input or a variable."""

    SOURCE = 0  # position among the arguments, -1 for a variable
    PLACE = 1  # address of the field that holds a variable's array
    DTYPE = 2
    RANK = 3
    DIMS = 4  # address of the expected sizes
    TABLE = 5  # position in the driver's table
    HELD = 6


class OutputWord(IntEnum):
    """Words of the record of an output or an update."""

    PLACE = 0  # address of the field that holds an updated variable's array, 0 for an output
    DTYPE = 1
    NUMBER = 2  # NumPy's number of the dtype
    RANK = 3
    DIMS = 4
    TABLE = 5
    FIRST = 6  # arrays of earlier calls, used again when nobody else holds them
    SECOND = 7
    CHOSEN = 8
    OLD = 9
    BYTES = 10  # of the memory of a result that begins at a cache line, 0 for others


INPUT_WORDS, OUTPUT_WORDS = len(InputWord), len(OutputWord)

RESULTS = ("nothing", "one", "list")
"""What a function returns; its position is the word in the frame."""

# Fields of PyObject and PyArrayObject in bytes: since Python 3 and NumPy 1.7; `frame` verifies them.
TYPE, DATA, RANK, DIMS, BASE, DTYPE, FLAGS, WEAK = 8, 16, 24, 32, 48, 56, 64, 72
KIND = 24  # of a dtype: kind, type and byte order as characters, a byte of flags, and the number
READABLE = 0x0101  # contiguous, aligned
FRESH = 0x0501  # and writeable
UINT8 = 2  # NumPy's number
