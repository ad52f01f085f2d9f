"""Arrow columns as numpy columns, without pandas.

`to_numpy()` and `pyarrow.array()` import pandas when it is installed, which costs a feed process 0.7 s and 60 MiB; so the buffers are used directly.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from services.prices.sequencer import Int64Array

BoolArray = NDArray[np.bool_]

_WORD = 8


def int64_of(column: pa.Array) -> Int64Array:
    """An int64 or timestamp column without nulls as shape (n,), sharing its memory."""
    return np.frombuffer(column.buffers()[1], dtype=np.int64, count=len(column), offset=column.offset * _WORD)


def low_words_of(column: pa.Array) -> Int64Array:
    """A decimal128 column without nulls as its unscaled integers, shape (n,). Raises OverflowError when one does not fit 64 bits."""
    words = _words(column)
    low, high = words[0::2], words[1::2]
    if not np.array_equal(high, low >> 63):
        raise OverflowError("a value needs more than 64 bits in fixed point")
    return np.ascontiguousarray(low)


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """A chunked column as one piece."""
    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def cast_rows(column: pa.Array, wanted: pa.DataType) -> tuple[pa.Array, BoolArray]:
    """Cast what can be cast: the values of those rows, and shape (n,) true where a row is among them.

    Arrow refuses a whole column for one bad value, so it is halved until the bad rows stand alone: a few more casts for a few bad rows.
    """
    try:
        return column.cast(wanted), np.ones(len(column), np.bool_)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if len(column) <= 1:
            return column.slice(0, 0).cast(wanted), np.zeros(len(column), np.bool_)
    half = len(column) // 2
    parts = [cast_rows(column.slice(0, half), wanted), cast_rows(column.slice(half), wanted)]
    return pa.concat_arrays([values for values, _ in parts]), np.concatenate([fine for _, fine in parts])


def fixed_point(column: pa.Array, digits: int) -> tuple[Int64Array, BoolArray]:
    """Numbers, or texts of numbers, as integers of 10**-digits, exactly. Returns shape (n,) values and shape (n,) where they are usable.

    Not usable, and zero: missing, not a number, infinite, more digits than `digits`, more than 64 bits.
    """
    present, filled = present_rows(column)
    if pa.types.is_floating(filled.type):
        values, fine = _fixed_of_floats(filled, digits)
    else:
        words, fine = _decimals(filled, digits)
        values = np.zeros(len(filled), np.int64)
        values[fine] = words[0::2]
        fine[fine] = words[1::2] == words[0::2] >> 63
    fine &= present
    return np.where(fine, values, 0), fine


def present_rows(column: pa.Array) -> tuple[BoolArray, pa.Array]:
    """Shape (n,) where there are values, and the column with something harmless where there are none."""
    if column.null_count == 0:
        return np.ones(len(column), np.bool_), column
    bits = np.frombuffer(column.buffers()[0], np.uint8)
    present = np.unpackbits(bits, bitorder="little")[column.offset : column.offset + len(column)].astype(np.bool_)
    # The slots of missing values hold something, empty texts or any number; a view without the mask shows it. (`fill_null` imports pandas.)
    return present, pa.Array.from_buffers(column.type, len(column), [None, *column.buffers()[1:]], offset=column.offset)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds texts or bytes."""
    return bool(pa.types.is_binary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_large_binary(kind))


def _decimals(column: pa.Array, digits: int) -> tuple[Int64Array, BoolArray]:
    wanted = pa.decimal128(38, digits)
    if is_text(column.type):
        texts, readable = cast_rows(column, pa.string())
        values, fine = cast_rows(pc.ascii_trim_whitespace(texts), wanted)
        readable[readable] = fine
        return _words(values), readable
    values, fine = cast_rows(column, wanted)
    return _words(values), fine


def _words(column: pa.Array) -> Int64Array:
    return np.frombuffer(column.buffers()[1], dtype=np.int64, count=2 * len(column), offset=column.offset * 2 * _WORD)


def _fixed_of_floats(column: pa.Array, digits: int) -> tuple[Int64Array, BoolArray]:
    narrow = pa.types.is_float32(column.type)
    floats = np.frombuffer(column.buffers()[1], np.float32 if narrow else np.float64, len(column), column.offset * (4 if narrow else 8))
    scaled = np.rint(floats.astype(np.float64) * 10.0**digits)
    # A float that stands for a decimal of so many digits is the float nearest to it.
    fine = np.isfinite(scaled) & (np.abs(scaled) < 2.0**62)
    scaled = np.where(fine, scaled, 0.0)
    fine &= (scaled / 10.0**digits).astype(floats.dtype) == floats
    return scaled.astype(np.int64), fine
