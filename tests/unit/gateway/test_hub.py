"""The hub: history and updates, wildcards, limits, order."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.hub.limits import Limits
from gateway.hub.requests import BadRequest
from gateway.hub.series import Channel
from services.runtime.errors import ResourceExhausted, Unavailable
from tests.unit.gateway.hubs import HandHub, Recorder, minutes

ES, AAPL = "ES.XCME", "AAPL.XNAS"

#: What may happen, in any order: new bars (some of them again), a client that comes with a history, an unsubscription, a flush, a client that stops reading.
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("bars"), st.integers(1, 4), st.integers(0, 3)),
        st.tuples(st.just("subscribe"), st.integers(0, 30), st.booleans()),
        st.tuples(st.just("turn"), st.just(0), st.just(0)),
        st.tuples(st.just("block"), st.integers(0, 3), st.booleans()),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(steps=_STEPS)
def test_any_interleaving_has_neither_overlap_nor_gap(steps: list[tuple[str, int, int]]) -> None:
    hand = HandHub()
    clients: list[tuple[Recorder, int, int]] = []
    bars = 0
    for step, number, other in steps:
        if step == "bars":
            hand.bars(ES, *range(max(0, bars - other), bars + number))
            bars += number
        elif step == "subscribe":
            connection, recorder = hand.client()
            hand.ask(connection, action="subscribe", id="1", bars=["*" if other else ES], history=number)
            clients.append((recorder, max(0, bars - number), number))
        elif step == "turn":
            hand.turn()
        elif clients:
            clients[number % len(clients)][0].writable = not other
            hand.hub.beat()
    for recorder, _, _ in clients:
        recorder.writable = True
    hand.hub.beat()
    hand.turn()
    for recorder, first, history in clients:
        got = recorder.messages("bar")
        assert minutes(got) == list(range(first, bars))
        past = [message for message in got if message.get("hist")]
        assert got[: len(past)] == past
        kinds = [message["T"] for message in recorder.messages()]
        if history:
            assert recorder.messages("history_end")[0]["count"] == len(past)
            assert kinds.index("history_end") == 2 + len(past)


def test_a_bar_is_encoded_once_for_all_clients() -> None:
    hand = HandHub()
    recorders = []
    for _ in range(3):
        connection, recorder = hand.client()
        hand.ask(connection, action="subscribe", bars=[ES])
        recorders.append(recorder)
    hand.bars(ES, 1)
    hand.turn()
    assert len({recorder.frames[-1] for recorder in recorders}) == 1


def test_all_that_is_owed_in_one_turn_is_one_frame() -> None:
    hand = HandHub()
    connection, recorder = hand.client()
    hand.ask(connection, action="subscribe", bars=["*"], signals=["*"])
    hand.turn()
    hand.bars(ES, 1, 2)
    hand.bars(AAPL, 1)
    hand.signal(ES, 2)
    hand.turn()
    assert len(recorder.frames) == 2
    assert [message["T"] for message in json.loads(recorder.frames[1])] == ["bar", "bar", "bar", "signal"]


def test_a_wildcard_includes_symbols_that_come_later() -> None:
    hand = HandHub()
    connection, recorder = hand.client()
    hand.ask(connection, action="subscribe", bars=["*"], interval=["1m", "1s"])
    hand.bars("NEW.XNAS", 1)
    hand.bars("NEW.XNAS", 1, interval=3600)
    hand.turn()
    assert [message["S"] for message in recorder.messages("bar")] == ["NEW.XNAS"]


def test_the_echo_holds_the_whole_set() -> None:
    hand = HandHub()
    connection, recorder = hand.client()
    hand.ask(connection, action="subscribe", id="a", bars=[ES], ticks=[ES], interval=["1s", "1m"])
    hand.ask(connection, action="subscribe", id="b", bars=["*", AAPL])
    hand.ask(connection, action="unsubscribe", id="c", bars=[ES, "*"], interval=["1s", "1m"])
    hand.turn()
    answers = recorder.messages("subscriptions")
    assert [answer["id"] for answer in answers] == ["a", "b", "c"]
    assert answers[1]["bars"] == {"1s": [ES], "1m": ["*", AAPL, ES]}
    assert answers[2]["bars"] == {"1m": [AAPL]}
    assert answers[2]["ticks"] == [ES]


def test_unsubscribing_the_wildcard_leaves_what_was_named() -> None:
    hand = HandHub()
    hand.bars(ES, 0)
    hand.bars(AAPL, 0)
    connection, recorder = hand.client()
    hand.ask(connection, action="subscribe", bars=["*", ES])
    hand.ask(connection, action="unsubscribe", bars=["*"])
    hand.bars(ES, 1)
    hand.bars(AAPL, 1)
    hand.turn()
    assert [message["S"] for message in recorder.messages("bar")] == [ES]


def test_history_is_sent_for_new_series_only() -> None:
    hand = HandHub()
    hand.bars(ES, *range(5))
    connection, recorder = hand.client()
    hand.ask(connection, action="subscribe", bars=[ES], history=3)
    hand.ask(connection, action="subscribe", bars=[ES], history=5)
    hand.turn()
    assert minutes(recorder.messages("bar")) == [2, 3, 4]
    assert [message["count"] for message in recorder.messages("history_end")] == [3, 0]


def test_history_of_every_channel() -> None:
    hand = HandHub()
    hand.ticks(ES, *range(1, 8))
    hand.bars(ES, 1, 2)
    hand.bars(ES, 3, live=True)
    hand.indicators(ES, 1, 2)
    hand.signal(ES, 1)
    hand.signal(ES, 1, "macd_cross_up")
    hand.signal(ES, 1)
    connection, recorder = hand.client()
    everything = {name: [ES] for name in ("ticks", "bars", "live_bars", "indicators", "signals")}
    hand.ask(connection, action="subscribe", history=5, **everything)
    hand.turn()
    kinds = [message["T"] for message in recorder.messages() if message.get("hist")]
    assert {kind: kinds.count(kind) for kind in kinds} == {"tick": 5, "bar": 2, "live_bar": 1, "indicators": 2, "signal": 2}
    assert recorder.messages("history_end")[0]["count"] == 12


def test_a_forming_bar_never_follows_its_final_one() -> None:
    hand = HandHub()
    hand.bars(ES, 4, live=True)
    hand.bars(ES, 4)
    connection, recorder = hand.client()
    hand.ask(connection, action="subscribe", live_bars=[ES], history=1)
    hand.bars(ES, 4, live=True)
    hand.bars(ES, 3, live=True)
    hand.turn()
    assert recorder.messages("live_bar") == []
    hand.bars(ES, 5, live=True)
    hand.turn()
    assert minutes(recorder.messages("live_bar")) == [5]


def test_values_that_warm_up_are_absent_and_a_new_set_begins_anew() -> None:
    hand = HandHub()
    hand.indicators(ES, 1, 2)
    hand.indicators(ES, 3, names=("sma_5",))
    connection, recorder = hand.client()
    hand.ask(connection, action="subscribe", indicators=[ES], history=9)
    hand.turn()
    assert [message["values"] for message in recorder.messages("indicators")] == [{"sma_5": 1.5}]


def test_a_misspelt_symbol_does_not_stay() -> None:
    hand = HandHub()
    connection, _ = hand.client()
    hand.ask(connection, action="subscribe", bars=["NOBODY.XNAS"])
    key = next(iter(hand.hub._series))
    hand.hub.disconnect(connection)
    hand.hub.disconnect(connection)
    assert hand.hub.find(key) is None
    assert hand.hub.connections == 0


def test_limits_on_subscriptions_and_connections() -> None:
    hand = HandHub(Limits(connections=1, subscriptions=2))
    connection, _ = hand.client()
    with pytest.raises(BadRequest, match="at most 2") as caught:
        hand.ask(connection, action="subscribe", id="1", bars=[ES, AAPL, "*"])
    assert (caught.value.code, caught.value.request_id) == (429, "1")
    assert connection.selections == {}
    with pytest.raises(ResourceExhausted):
        hand.client()


def test_draining_takes_no_more_clients_and_tells_the_others() -> None:
    hand = HandHub()
    _, recorder = hand.client()
    hand.hub.say_goodbye("restart", 500)
    with pytest.raises(Unavailable):
        hand.client()
    assert recorder.messages("going_away")[0]["reconnect_after_ms"] == 500
    hand.hub.close_all()
    assert recorder.closed is not None
    assert recorder.closed[0] == 1001


def test_heartbeats_tell_the_last_number() -> None:
    hand = HandHub()
    _, recorder = hand.client()
    hand.hub.beat()
    hand.hub.beat()
    hand.turn()
    hand.hub.beat()
    hand.turn()
    assert [message["last_seq"] for message in recorder.messages("heartbeat")] == [1, 2]
    assert recorder.messages("heartbeat")[0]["ts"] == hand.clock.now_ns() // 1_000


def test_the_hub_knows_which_channels_somebody_wants() -> None:
    hand = HandHub()
    connection, _ = hand.client()
    assert not hand.hub.wants(tuple(Channel))
    hand.ask(connection, action="subscribe", indicators=["*"], interval="1m")
    assert hand.hub.wants((Channel.SIGNALS, Channel.INDICATORS))
    assert not hand.hub.wants((Channel.TICKS, Channel.BARS))
    hand.ask(connection, action="unsubscribe", indicators=["*"], interval="1m")
    assert not hand.hub.wants(tuple(Channel))
