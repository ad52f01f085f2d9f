"""Requests in both encodings."""

from __future__ import annotations

import contextlib
import json

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from signalbox.edge.v1 import subscription_service_pb2 as edge
from signalbox.market.v1 import market_pb2

from gateway.hub.json_requests import parse_json
from gateway.hub.proto_requests import parse_proto
from gateway.hub.requests import BadRequest, Subscribe, Unsubscribe, is_symbol
from gateway.hub.series import CHANNELS, INTERVALS, Channel, Group

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.sampled_from(["subscribe", "*", "1m", "ES.XCME"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["action", "id", "interval", "history", *CHANNELS]) | st.text(max_size=4), inner, max_size=6)
    ),
    max_leaves=12,
)


@given(value=_JSON)
def test_no_json_is_worse_than_a_bad_request(value: object) -> None:
    with contextlib.suppress(BadRequest):
        parse_json(json.dumps(value).encode())


@given(data=st.binary(max_size=200))
def test_no_bytes_are_worse_than_a_bad_request(data: bytes) -> None:
    with pytest.raises(BadRequest, match="frame"):
        parse_json(b"\x00" + data)


@given(data=st.binary(max_size=200))
def test_no_message_is_worse_than_a_bad_request(data: bytes) -> None:
    request = edge.SubscribeRequest()
    try:
        request.MergeFromString(data)
    except DecodeError:
        return
    with contextlib.suppress(BadRequest):
        parse_proto(request)


def test_both_encodings_mean_the_same() -> None:
    as_json = parse_json(b'{"action":"subscribe","id":"7","bars":["ES.XCME","*"],"ticks":["ES.XCME"],"interval":["1s","1m"],"history":9}')
    selections = [
        edge.Selection(channel=edge.CHANNEL_BARS, symbols=["ES.XCME"], interval=market_pb2.INTERVAL_1S),
        edge.Selection(channel=edge.CHANNEL_BARS, symbols=["*"], interval=market_pb2.INTERVAL_1S),
        edge.Selection(channel=edge.CHANNEL_BARS, symbols=["*", "ES.XCME"]),
        edge.Selection(channel=edge.CHANNEL_TICKS, symbols=["ES.XCME"]),
    ]
    as_proto = parse_proto(edge.SubscribeRequest(id="7", subscribe=edge.SubscribeAction(selections=selections, history=9)))
    assert as_json == as_proto
    assert as_json == Subscribe(
        {
            Group(Channel.TICKS, 0): frozenset({"ES.XCME"}),
            Group(Channel.BARS, 1): frozenset({"ES.XCME", "*"}),
            Group(Channel.BARS, 60): frozenset({"ES.XCME", "*"}),
        },
        9,
        "7",
    )


def test_unsubscribe_takes_no_history() -> None:
    assert isinstance(parse_json(b'{"action":"unsubscribe","signals":["*"]}'), Unsubscribe)
    with pytest.raises(BadRequest, match="history"):
        parse_json(b'{"action":"unsubscribe","signals":["*"],"history":1}')


@pytest.mark.parametrize(
    "request_",
    [
        edge.SubscribeRequest(),
        edge.SubscribeRequest(subscribe=edge.SubscribeAction()),
        edge.SubscribeRequest(subscribe=edge.SubscribeAction(selections=[edge.Selection(symbols=["*"])])),
        edge.SubscribeRequest(subscribe=edge.SubscribeAction(selections=[edge.Selection(channel=edge.CHANNEL_BARS, symbols=["*"])], history=-1)),
        edge.SubscribeRequest(subscribe=edge.SubscribeAction(selections=[edge.Selection(channel=edge.CHANNEL_BARS, symbols=["*"])], resume_from="x")),
        edge.SubscribeRequest(subscribe=edge.SubscribeAction(selections=[edge.Selection(channel=edge.CHANNEL_BARS)])),
        edge.SubscribeRequest(subscribe=edge.SubscribeAction(selections=[edge.Selection(channel=edge.CHANNEL_BARS, symbols=["*"])] * 65)),
    ],
)
def test_bad_messages(request_: edge.SubscribeRequest) -> None:
    with pytest.raises(BadRequest):
        parse_proto(request_)


@pytest.mark.parametrize(
    ("text", "good"),
    [("ES.XCME", True), ("BRK-B.XNYS", True), ("^GSPC.INDX", True), ("ES", False), ("es.xcme", False), ("A.B.C", False), ("A" * 31 + ".B", False)],
)
def test_symbols(text: str, good: bool) -> None:
    assert is_symbol(text) is good


def test_intervals_are_known_in_both_encodings() -> None:
    for name, seconds in INTERVALS.items():
        request = parse_json(json.dumps({"action": "subscribe", "bars": ["*"], "interval": name}).encode())
        assert set(request.selections) == {Group(Channel.BARS, seconds)}
