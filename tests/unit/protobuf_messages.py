"""Any message of a type, for properties: fields left out, set to what is nearly right, to the ends of their ranges, or to anything."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct
from hypothesis import strategies as st

#: Texts that mean something to one service or another, and some that nearly do.
WORDS = (
    *("A.XSIM", "AAPL.XNAS", "ES.XCME", "NONE.XSIM", "es.xcme", "ES", "*", "-", "A" * 300, "\x00", "%s", "../..", "1m", "1d", "7x"),
    *("2013-03-01", "2013-02-30", "0001-01-01", "9999-12-31", "alpha", "operations/x", "operations/", "kind=cache.clean", "state=failed AND"),
    *("cache.clean", "report.daily", "history.collect", "analysis.batch", "news.crawl", "sma_20", "html", "fed", "title:", '"', "a OR (b"),
)
TEXTS = st.sampled_from(WORDS) | st.text(max_size=10)
_BITS = {FieldDescriptor.CPPTYPE_INT32: 31, FieldDescriptor.CPPTYPE_INT64: 63, FieldDescriptor.CPPTYPE_UINT32: 32, FieldDescriptor.CPPTYPE_UINT64: 64}
_UNSIGNED = {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
#: Names of fields of the requests of jobs.
_KEYS = st.sampled_from(("symbols", "source", "prefixes", "date", "universe", "formats", "feeds", "priority", "interval")) | TEXTS


@st.composite
def messages(draw: st.DrawFn, descriptor: Descriptor) -> Message:
    """A message."""
    message = GetMessageClass(descriptor)()
    if isinstance(message, Struct):
        return ParseDict(draw(st.dictionaries(_KEYS, JSON, max_size=3)), message)
    for field in descriptor.fields:
        if draw(st.booleans()):
            _set(message, field, draw(st.lists(_values(field), max_size=3) if field.is_repeated else _values(field)))
    return message


def _set(message: Message, field: FieldDescriptor, value: Any) -> None:
    if field.is_repeated:
        getattr(message, field.name).extend(value)
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)


def _values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    kind = field.cpp_type
    if field.message_type is not None:
        return messages(field.message_type)
    if field.enum_type is not None:
        return st.sampled_from([*field.enum_type.values_by_number, 99])
    if kind in _BITS:
        least, most = 0 if kind in _UNSIGNED else -(2 ** _BITS[kind]), 2 ** _BITS[kind] - 1
        return st.sampled_from((least, most)) | st.integers(max(least, -1), 1_000) | st.integers(least, most)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    return st.floats() if kind in {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT} else TEXTS
