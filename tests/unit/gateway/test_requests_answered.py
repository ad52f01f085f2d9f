"""Whatever a client sends: each request gets exactly one answer, with its id where it has one, and the connection goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import orjson
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from signalbox.edge.v1 import subscription_service_pb2 as edge
from signalbox.market.v1 import market_pb2

from gateway.grpc_stream import SubscriptionService
from gateway.hub.limits import Limits
from gateway.hub.series import CHANNELS, INTERVALS
from gateway.ws import _Listener
from tests.unit.gateway.hubs import HandHub

SYMBOLS = st.lists(st.sampled_from(["*", "ES.XCME", "AAPL.XNAS", "es.xcme", "", "cache.clean", "A" * 40]) | st.text(max_size=5), max_size=5)
IDS = st.text(max_size=5) | st.sampled_from(["x" * 64, "x" * 65]) | st.integers()
INTERVAL = st.sampled_from([*INTERVALS, "7x", ""]) | st.lists(st.sampled_from([*INTERVALS, "7x"]), max_size=3)
HISTORY = st.integers(-1, 5) | st.sampled_from([1_000, 1_001, True, "1", None, 2**70])
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "id": IDS,
    "interval": INTERVAL,
    "history": HISTORY,
    "resume_from": st.just(""),
    "nonsense": st.none(),
    **dict.fromkeys(CHANNELS, SYMBOLS | st.just("*")),
}
#: Right but for a field or two, or wholly right.
REQUESTS = st.builds(
    lambda action, rest: json.dumps({"action": action, **rest}).encode(),
    st.sampled_from(["subscribe", "subscribe", "unsubscribe", "nonsense"]),
    st.fixed_dictionaries({}, optional=FIELDS),
)
GOOD = [json.dumps({"action": action, "id": "7", "bars": ["ES.XCME"], "ticks": ["*"]}).encode() for action in ("subscribe", "unsubscribe")]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A request with some bytes replaced."""
    data = draw(REQUESTS)
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(st.binary(max_size=4)) + data[at + draw(st.integers(0, 4)) :]


FRAMES = st.lists(st.one_of(REQUESTS, st.sampled_from(GOOD), damaged(), st.binary(max_size=100)), min_size=1, max_size=6)


def id_in(data: bytes) -> str:
    """The id to be given back."""
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError:
        return ""
    found = message.get("id", "") if isinstance(message, dict) else ""
    return found if isinstance(found, str) and len(found) <= 64 else ""


def hub_with_rows() -> HandHub:
    hand = HandHub(Limits(subscriptions=12))
    hand.bars("ES.XCME", 1, 2, 3)
    hand.bars("AAPL.XNAS", 3)
    return hand


@settings(deadline=None, max_examples=300)
@given(frames=FRAMES)
def test_each_frame_of_a_websocket_gets_one_answer(frames: list[bytes]) -> None:
    hand = hub_with_rows()
    connection, recorder = hand.client()
    listener = _Listener(hand.hub)
    for number, data in enumerate([*frames, GOOD[0]]):
        before = {group: set(symbols) for group, symbols in connection.selections.items()}
        listener._on_request(connection, data)
        hand.turn()
        answers = recorder.messages("subscriptions", "error")[number:]
        assert [answer.get("id", "") for answer in answers] == [id_in(data)]
        assert answers[0]["T"] == "subscriptions" or connection.selections == before
    assert recorder.closed is None
    hand.bars("ES.XCME", 4)
    hand.turn()
    assert recorder.messages()[-1]["T"] in {"bar", "error"}


SELECTIONS = st.builds(
    edge.Selection,
    channel=st.sampled_from(edge.Channel.values()),
    symbols=SYMBOLS,
    interval=st.sampled_from(market_pb2.Interval.values()),
)
MESSAGES = st.builds(
    edge.SubscribeRequest,
    id=st.text(max_size=5) | st.just("x" * 65),
    subscribe=st.none() | st.builds(edge.SubscribeAction, selections=st.lists(SELECTIONS, max_size=3), history=st.integers(-1, 1_001)),
) | st.builds(
    edge.SubscribeRequest,
    unsubscribe=st.builds(edge.UnsubscribeAction, selections=st.lists(SELECTIONS, max_size=3)),
)


@st.composite
def read_from_bytes(draw: st.DrawFn) -> edge.SubscribeRequest:
    """What gRPC makes of nearly a message; of what is none it makes nothing."""
    request = edge.SubscribeRequest()
    data = draw(MESSAGES).SerializeToString()
    at = draw(st.integers(0, len(data)))
    with contextlib.suppress(DecodeError):
        request.MergeFromString(data[:at] + draw(st.binary(max_size=3)) + data[at + draw(st.integers(0, 3)) :])
    return request


@settings(deadline=None, max_examples=150)
@given(requests=st.lists(MESSAGES | read_from_bytes(), min_size=1, max_size=6))
async def test_each_message_of_a_grpc_stream_gets_one_answer(requests: list[edge.SubscribeRequest]) -> None:
    hand = hub_with_rows()
    last = edge.SubscribeRequest(id="last", unsubscribe=edge.UnsubscribeAction(selections=[edge.Selection(channel=edge.CHANNEL_BARS, symbols=["*"])]))
    stream = SubscriptionService(hand.hub, lambda: None).subscribe(sent([*requests, last]), cast("Any", None))
    answers: list[edge.StreamMessage] = []
    reading = asyncio.create_task(collect(stream, answers))
    for _ in range(100):
        hand.turn()
        await asyncio.sleep(0)
    assert not reading.done()
    reading.cancel()
    ids = [answer.error.id if answer.WhichOneof("body") == "error" else answer.subscriptions.id for answer in answers]
    assert ids == [request.id if len(request.id) <= 64 else "" for request in requests] + ["last"]


async def sent(requests: list[edge.SubscribeRequest]) -> AsyncIterator[edge.SubscribeRequest]:
    for request in requests:
        yield request


async def collect(frames: AsyncIterator[bytes], answers: list[edge.StreamMessage]) -> None:
    """The answers among what is sent."""
    async for frame in frames:
        answers += [message for message in edge.SubscribeResponse.FromString(frame).messages if message.WhichOneof("body") in {"error", "subscriptions"}]
