"""Arrow columns as numpy columns, without pandas.

`to_numpy()` and `pyarrow.array()` import pandas when it is installed, which costs a feed process 0.7 s and 60 MiB; so the buffers are used directly.
"""

import numpy as np
import pyarrow as pa

from services.prices.feeds.ports import Int64Array

_WORD = 8


def int64_of(column: pa.Array) -> Int64Array:
    """An int64 or timestamp column without nulls as shape (n,), sharing its memory."""
    return np.frombuffer(column.buffers()[1], dtype=np.int64, count=len(column), offset=column.offset * _WORD)


def low_words_of(column: pa.Array) -> Int64Array:
    """A decimal128 column without nulls as its unscaled integers, shape (n,). Raises OverflowError when one does not fit 64 bits."""
    words = np.frombuffer(column.buffers()[1], dtype=np.int64, count=2 * len(column), offset=column.offset * 2 * _WORD)
    low, high = words[0::2], words[1::2]
    if not np.array_equal(high, low >> 63):
        raise OverflowError("a value needs more than 64 bits in fixed point")
    return np.ascontiguousarray(low)


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """A chunked column as one piece."""
    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined
