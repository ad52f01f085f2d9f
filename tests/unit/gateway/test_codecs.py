"""Splicing: what is shared, with what differs."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from signalbox.edge.v1 import subscription_service_pb2 as edge

from gateway.hub.codecs import JsonCodec, ProtoCodec
from gateway.hub.rows import IndicatorRow, SignalRow, TickRow
from gateway.hub.series import Channel, Group, SeriesKey
from gateway.hub.updates import Update
from tests.unit.gateway.hubs import bar

ES = "ES.XCME"
_ROWS = [
    Update(SeriesKey(Channel.TICKS, ES, 0), TickRow(3_000_000, 4_000, 163_725, 2, 9, 2, 1_000_000, 2, 0), "00-x"),
    Update(SeriesKey(Channel.BARS, ES, 60), bar(3)),
    Update(SeriesKey(Channel.LIVE_BARS, ES, 86400), bar(3, live=True)),
    Update(SeriesKey(Channel.INDICATORS, ES, 60), IndicatorRow(60, 0, 2, 0, ("a", "b"), (1.5, float("nan")))),
    Update(SeriesKey(Channel.SIGNALS, ES, 60), SignalRow(60, 120, 0, "death_cross", -1, 1.5, 2.0, 0.5, ("a",), (1.0,), 2, 0)),
]


@given(seqs=st.lists(st.integers(1, 2**62), min_size=1, max_size=6), picks=st.lists(st.integers(0, 4), min_size=6, max_size=6), past=st.booleans())
def test_frames_in_both_encodings(seqs: list[int], picks: list[int], past: bool) -> None:
    updates = [_ROWS[pick] for _, pick in zip(seqs, picks, strict=False)]
    as_json, as_proto = JsonCodec(), ProtoCodec()
    frame = as_json.frame([as_json.splice(seq, as_json.update(update), past) for seq, update in zip(seqs, updates, strict=True)])
    decoded = json.loads(frame)
    assert [message["seq"] for message in decoded] == seqs
    assert all(message.get("hist", False) is past for message in decoded)
    response = edge.SubscribeResponse.FromString(
        as_proto.frame([as_proto.splice(seq, as_proto.update(update), past) for seq, update in zip(seqs, updates, strict=True)])
    )
    assert [message.seq for message in response.messages] == seqs
    assert all(message.is_history is past for message in response.messages)
    bodies = {"tick": "tick", "bar": "bar", "live_bar": "live_bar", "indicators": "indicators", "signal": "signal"}
    assert [message.WhichOneof("body") for message in response.messages] == [bodies[message["T"]] for message in decoded]


def test_fields_of_a_tick() -> None:
    assert json.loads(b"{" + _ROWS[0].json()) == {
        "T": "tick", "S": ES, "p": 1637.25, "s": 2.0, "t": 3, "ts_recv": 4, "source": "replay", "n": 9, "replay_of": 2, "tp": "00-x",
    }  # fmt: skip


def test_fields_of_bars() -> None:
    final, live = (json.loads(b"{" + update.json()) for update in _ROWS[1:3])
    assert final == {
        "T": "bar", "S": ES, "i": "1m", "t": 180_000, "tc": 240_000, "o": 100.03, "h": 100.03, "l": 100.03, "c": 100.03, "v": 5.0,
        "rev": 0, "source": "replay", "vw": 100.03, "n": 3,
    }  # fmt: skip
    assert (live["T"], live["i"], live["ts_recv"]) == ("live_bar", "1d", 5_000)


def test_what_is_not_known_is_absent() -> None:
    row = bar(1)._replace(vwap=-1, trade_count=-1)
    update = Update(SeriesKey(Channel.BARS, ES, 86400), row)
    assert not {"vw", "n", "tp", "replay_of", "ts_recv"} & json.loads(b"{" + update.json()).keys()
    message = edge.StreamMessage.FromString(update.proto()).bar.bar
    assert not message.HasField("vwap")
    assert not message.HasField("trade_count")


def test_control_messages_say_the_same() -> None:
    key = SeriesKey(Channel.LIVE_BARS, ES, 60)
    state = {Group(Channel.TICKS, 0): frozenset({"*"}), Group(Channel.BARS, 60): frozenset({ES})}
    as_json, as_proto = JsonCodec(), ProtoCodec()

    def pair(name: str, *arguments: object) -> tuple[dict[str, object], edge.StreamMessage]:
        tail, message = getattr(as_json, name)(*arguments), getattr(as_proto, name)(*arguments)
        return json.loads(as_json.splice(1, tail, False)), edge.StreamMessage.FromString(as_proto.splice(1, message, False))

    gap, message = pair("gap", key, 3, 5_000_000, 9_000_000)
    assert (gap["channel"], gap["dropped"], gap["from"], gap["to"]) == ("live_bars", 3, 5, 9)
    assert (list(message.gap.selection.symbols), message.gap.dropped, message.gap.to.ToNanoseconds()) == ([ES], 3, 9_000_000)
    error, message = pair("error", 429, "too many", "7")
    assert (error["code"], error["msg"], error["id"]) == (message.error.code, message.error.message, message.error.id) == (429, "too many", "7")
    subscriptions, message = pair("subscriptions", state, "9")
    assert subscriptions["ticks"] == ["*"]
    assert [list(selection.symbols) for selection in message.subscriptions.selections] == [["*"], [ES]]
    away, message = pair("going_away", "restart", 5)
    assert away["reconnect_after_ms"] == message.going_away.reconnect_after_ms == 5
    end, message = pair("history_end", "", 5)
    assert "id" not in end
    assert message.history_end.count == 5
    beat, message = pair("heartbeat", 300, 1_000)
    assert beat["last_seq"] == message.heartbeat.last_seq == 300
