"""Protobuf's wire format, as far as columns need it: tags, varints, tables of instruments as bytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Generic, TypeVar

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from numpy.typing import NDArray

#: Keys that a memory holds; a few megabytes of instruments.
_REMEMBERED = 65_536
#: Up to this many rows are cheaper to put together from bytes than with numpy.
_FEW_ROWS = 256
_KeyT = TypeVar("_KeyT")
_ValueT = TypeVar("_ValueT")


class Memory(dict[_KeyT, _ValueT], Generic[_KeyT, _ValueT]):
    """Remembers what was made of each key, up to a bound; then it begins anew."""

    def __init__(self, make: Callable[[_KeyT], _ValueT]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: _KeyT) -> _ValueT:
        value = self._make(key)
        if len(self) >= _REMEMBERED:
            self.clear()
        self[key] = value
        return value


def with_tables_as_bytes(*messages: type[Message]) -> list[Any]:
    """The messages with their instruments as bytes and their enums as integers, which is the same on the wire.

    Reading an Instrument object costs a microsecond, and a record names dozens; bytes are looked up among those that were read before.
    """
    package = messages[0].DESCRIPTOR.file.package
    file = descriptor_pb2.FileDescriptorProto(name="columns.proto", package=package, syntax="proto3")
    for message in messages:
        copy = file.message_type.add()
        message.DESCRIPTOR.CopyToProto(copy)
        for field in copy.field:
            if field.type in {field.TYPE_MESSAGE, field.TYPE_ENUM}:
                field.type = field.TYPE_BYTES if field.type == field.TYPE_MESSAGE else field.TYPE_INT32
                field.ClearField("type_name")
    # A pool of its own, where the names are not taken.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName(message.DESCRIPTOR.full_name)) for message in messages]


@cache
def _tag(descriptor: Any, name: str) -> bytes:
    return varint(descriptor.fields_by_name[name].number << 3 | 2)


def tag(message: type[Message], name: str) -> bytes:
    """What comes before a field's length, for fields that have one."""
    return _tag(message.DESCRIPTOR, name)


def varint(value: int) -> bytes:
    """Base 128, seven bits an octet, lowest first. value: >= 0."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def varints(column: NDArray[Any]) -> bytes:
    """Base-128 varints of values below 2**32, one after the other."""
    if np.maximum.reduce(column) <= 0x7F:
        return column.astype(np.uint8).tobytes()
    if len(column) <= _FEW_ROWS:
        return b"".join([_VARINTS[value] for value in column.tolist()])
    shifted = column.astype(np.uint64)[:, None] >> (np.arange(5, dtype=np.uint64) * np.uint64(7))
    more = np.zeros(shifted.shape, np.bool_)
    more[:, :-1] = shifted[:, 1:] > 0
    present = np.ones(shifted.shape, np.bool_)
    present[:, 1:] = more[:, :-1]
    octets: NDArray[np.uint8] = ((shifted & np.uint64(0x7F)) | more * np.uint64(0x80)).astype(np.uint8)
    return octets[present].tobytes()


_VARINTS = Memory(varint)
