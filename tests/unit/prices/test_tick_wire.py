"""Ticks from the wire: in columns and plainly they are the same, however a client writes them."""

import struct

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from signalbox.prices.v1 import prices_service_pb2 as pb

from services.prices import tick_wire
from services.prices.tick_wire import WireMessage, columns_of, parse_columns, parse_plainly


@pytest.fixture(autouse=True)
def columns_also_for_few_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tick_wire, "_FEW_BYTES", 0)


def stamp(ns: int) -> Timestamp:
    return Timestamp(seconds=ns // 10**9, nanos=ns % 10**9)


def assert_equal(one: WireMessage, two: WireMessage) -> None:
    assert one.head == two.head
    assert [one.ticks.symbols[at] for at in one.ticks.symbol] == [two.ticks.symbols[at] for at in two.ticks.symbol]
    for name in ("ts_event", "price", "size", "seq"):
        np.testing.assert_array_equal(getattr(one.ticks, name), getattr(two.ticks, name))


stamps = st.builds(
    Timestamp,
    seconds=st.one_of(st.integers(0, 2**34), st.integers(-(2**63), 2**63 - 1)),
    nanos=st.one_of(st.integers(0, 10**9), st.integers(-(2**31), 2**31 - 1)),
)
ticks = st.builds(
    pb.IngestTick,
    symbol=st.one_of(st.sampled_from(["ES.XCME", "AAPL.XNAS", ""]), st.text(max_size=40)),
    ts_event=st.none() | stamps,
    price=st.floats(),
    size=st.floats(),
    seq=st.none() | st.integers(-(2**63), 2**63 - 1),
)
requests = st.builds(
    pb.IngestTicksRequest, source=st.text(max_size=5), source_kind=st.integers(0, 3), ticks=st.lists(ticks, max_size=12), watermark=st.none() | stamps
)


@given(requests)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_ways_give_the_same(request_: pb.IngestTicksRequest) -> None:
    data = request_.SerializeToString()
    assert_equal(parse_columns(data), parse_plainly(data))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(requests, min_size=2, max_size=3), st.binary(max_size=12))
def test_both_ways_give_the_same_for_what_is_joined_or_broken(parts: list[pb.IngestTicksRequest], junk: bytes) -> None:
    """Protobuf messages may be joined: later fields replace earlier ones, repeated ones add up."""
    joined = b"".join(part.SerializeToString() for part in parts)
    assert_equal(parse_columns(joined), parse_plainly(joined))
    for data in (joined + junk, joined[:-3], joined[: len(joined) // 2] + junk + joined[len(joined) // 2 :]):
        try:
            plain = parse_plainly(data)
        except DecodeError:
            with pytest.raises(DecodeError):
                parse_columns(data)
        else:
            assert_equal(parse_columns(data), plain)


def test_the_columns_are_used_for_what_clients_usually_send(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    def refuse(data: bytes) -> WireMessage:
        raise AssertionError("took the plain way")

    usual = [pb.IngestTick(symbol=f"S{row % 7}.XNAS", ts_event=stamp(1_767_571_200 * 10**9 + row), price=1.25, size=2, seq=row + 1) for row in range(1000)]
    data = pb.IngestTicksRequest(source="test:a", ticks=usual, watermark=stamp(5)).SerializeToString()
    expected = parse_plainly(data)
    monkeypatch.setattr(tick_wire, "parse_plainly", refuse)
    assert_equal(parse_columns(data), expected)
    assert len(parse_columns(data).ticks.symbols) == 7


def test_fields_in_another_order_take_the_plain_way() -> None:
    body = b"\x21" + struct.pack("<d", 3.0) + b"\x19" + struct.pack("<d", 1.5) + b"\x0a\x03A.B"
    message = parse_columns(b"\x1a" + bytes([len(body)]) + body)
    assert (message.ticks.symbols, message.ticks.price.tolist(), message.ticks.size.tolist()) == (["A.B"], [1.5], [3.0])


def test_what_is_missing_or_impossible_is_marked() -> None:
    sent = columns_of(
        [
            pb.IngestTick(symbol="A.B", ts_event=stamp(1_500_000_001), price=1.5, size=2, seq=7),
            pb.IngestTick(symbol="A.B", price=1.5, size=2),
            pb.IngestTick(symbol="A.B", ts_event=stamp(0), seq=0),
            pb.IngestTick(ts_event=Timestamp(seconds=-1), seq=-3),
            pb.IngestTick(ts_event=Timestamp(seconds=2**60)),
            pb.IngestTick(ts_event=Timestamp(seconds=1, nanos=-5)),
        ]
    )
    assert [sent.symbols[at] for at in sent.symbol] == ["A.B", "A.B", "A.B", "", "", ""]
    assert sent.ts_event.tolist() == [1_500_000_001, -1, 0, -1, -1, -1]
    assert sent.seq.tolist() == [7, 0, -1, -1, 0, 0]
    assert (sent.price.tolist()[:2], sent.size.tolist()[:2]) == ([1.5, 1.5], [2.0, 2.0])
