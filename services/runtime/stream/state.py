"""State as bytes: named numpy arrays and a little JSON, the same bytes for the same state everywhere.

Layout: magic, length of the JSON header (uint32, little-endian), the header, then each array's bytes in C order, little-endian, at
multiples of 8 from the end of the header. np.savez is not used because a zip carries times, and reads slower.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"SBSTATE1"
_ALIGN = 8


class StateError(ValueError):
    """The bytes are not a state made by `pack_state`, or the state cannot be written."""


class Frozen(NamedTuple):
    """A state as it was at one moment: nothing that comes later changes it."""

    nbytes: int
    """About as many bytes as `pack` makes."""
    pack: Callable[[], bytes]
    """Makes the bytes, in any thread. To be called once: it lets go of what it was made from."""


class State(NamedTuple):
    """What `unpack_state` returns; the arrays own their memory and can be written to."""

    arrays: dict[str, NDArray[Any]]
    meta: Any


def pack_state(arrays: Mapping[str, NDArray[Any]], meta: object = None) -> bytes:
    """Serialise arrays of plain dtypes (any shape) and JSON-able metadata; equal states give equal bytes.

    Raises StateError for object or structured dtypes and for metadata that JSON cannot hold.
    """
    plain = {name: _plain(name, arrays[name]) for name in sorted(arrays)}
    fields = [[name, array.dtype.str, list(array.shape)] for name, array in plain.items()]
    try:
        header = json.dumps({"arrays": fields, "meta": meta}, sort_keys=True, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise StateError(f"meta: expected JSON-able values: {error}") from error
    parts: list[bytes | memoryview] = [_MAGIC, struct.pack("<I", len(header)), header, _padding(len(_MAGIC) + 4 + len(header))]
    for array in plain.values():
        # The memory itself: a copy of each array is a copy of the state.
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        parts += (data, _padding(data.nbytes))
    return b"".join(parts)


def unpack_state(data: bytes) -> State:
    """The inverse of `pack_state`. Raises StateError when the bytes were not made by it or are cut."""
    if data[: len(_MAGIC)] != _MAGIC or len(data) < len(_MAGIC) + 4:
        raise StateError(f"expected a state that begins with {_MAGIC!r}, was {data[: len(_MAGIC)]!r}")
    (length,) = struct.unpack_from("<I", data, len(_MAGIC))
    at = len(_MAGIC) + 4
    try:
        header = json.loads(data[at : at + length])
    except ValueError as error:
        raise StateError(f"header: {error}") from error
    at += length + len(_padding(at + length))
    arrays = {}
    for name, dtype, shape in header["arrays"]:
        arrays[name], at = _read(data, at, name, np.dtype(dtype), tuple(shape))
    if at != len(data):
        raise StateError(f"expected {at} bytes, was {len(data)}")
    return State(arrays, header["meta"])


def _plain(name: str, array: NDArray[Any]) -> NDArray[Any]:
    dtype = array.dtype
    if dtype.hasobject or dtype.fields is not None or dtype.subdtype is not None:
        raise StateError(f"array {name!r}: expected a plain dtype, was {dtype}")
    return array.astype(dtype.newbyteorder("<"), copy=False)


def _padding(length: int) -> bytes:
    return bytes(-length % _ALIGN)


def _read(data: bytes, at: int, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> tuple[NDArray[Any], int]:
    count = math.prod(shape)
    size = count * dtype.itemsize
    if at + size > len(data):
        raise StateError(f"array {name!r}: expected {size} bytes at {at}, the state has {len(data)}")
    array = np.empty(shape, dtype) if not size else np.frombuffer(data, dtype, count, at).reshape(shape).copy()
    return array, at + size + len(_padding(size))
