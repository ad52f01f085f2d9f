"""Clients that read too slowly."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.hub.limits import Limits
from tests.unit.gateway.hubs import HandHub, minutes

ES, AAPL = "ES.XCME", "AAPL.XNAS"


def test_forming_bars_are_conflated_and_a_slow_client_is_told() -> None:
    hand = HandHub()
    connection, recorder = hand.client()
    hand.ask(connection, action="subscribe", live_bars=["*"])
    hand.turn()
    recorder.writable = False
    for number in range(1, 6):
        hand.bars(ES, number, live=True)
    hand.bars(AAPL, 9, live=True)
    hand.turn()
    recorder.writable = True
    hand.hub.wake(connection)
    hand.turn()
    told = recorder.messages("gap", "live_bar")
    assert [message["T"] for message in told] == ["gap", "live_bar", "live_bar"]
    assert told[0] | {"seq": 0} == {"seq": 0, "T": "gap", "channel": "live_bars", "S": ES, "i": "1m", "dropped": 4, "from": 60_000, "to": 240_000}
    assert minutes(told[1:]) == [5, 9]


def test_forming_bars_of_one_turn_are_conflated_to_the_last_of_each_bar_without_a_gap() -> None:
    hand = HandHub()
    connection, recorder = hand.client()
    hand.ask(connection, action="subscribe", live_bars=[ES])
    hand.bars(ES, 1, 1, 1, 2, live=True)
    hand.turn()
    assert minutes(recorder.messages("live_bar")) == [1, 2]
    assert recorder.messages("gap") == []


@settings(max_examples=100, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=30))
def test_every_tick_is_sent_or_accounted_for(steps: list[tuple[int, bool]]) -> None:
    hand = HandHub(Limits(tick_bytes=600))
    connection, recorder = hand.client()
    hand.ask(connection, action="subscribe", ticks=[ES])
    hand.turn()
    sent = 0
    for count, writable in steps:
        recorder.writable = writable
        hand.ticks(ES, *range(sent + 1, sent + count + 1))
        sent += count
        hand.turn()
    recorder.writable = True
    hand.hub.wake(connection)
    hand.turn()
    expected = 1
    for message in recorder.messages("tick", "gap"):
        if message["T"] == "tick":
            assert message["n"] == expected
            expected += 1
        else:
            assert (message["from"], message["to"]) == (expected, expected + message["dropped"] - 1)
            expected += message["dropped"]
    assert expected == sent + 1
    assert recorder.closed is None


def test_final_bars_are_never_left_out_a_client_that_cannot_hold_them_is_closed_with_a_reason() -> None:
    hand = HandHub(Limits(queue_bytes=5_000))
    connection, recorder = hand.client()
    other, fast = hand.client()
    hand.ask(connection, action="subscribe", bars=[ES])
    hand.ask(other, action="subscribe", bars=[ES])
    hand.turn()
    recorder.writable = False
    for number in range(100):
        hand.bars(ES, number)
        hand.turn()
    assert recorder.closed is not None
    assert recorder.closed[0] == 1013
    assert "too slow" in recorder.closed[1]
    assert recorder.messages("bar") == []
    assert hand.hub.connections == 1
    assert minutes(fast.messages("bar")) == list(range(100))


def test_a_history_overtaken_by_time_closes_the_connection() -> None:
    hand = HandHub(rows=500)
    hand.bars(ES, *range(500))
    connection, recorder = hand.client()
    recorder.writable = False
    hand.ask(connection, action="subscribe", bars=[ES], history=500)
    for number in range(500, 510):
        hand.bars(ES, number)
    recorder.writable = True
    hand.hub.wake(connection)
    hand.turn()
    assert recorder.closed is not None
    assert "history" in recorder.closed[1]


def test_what_waits_is_sent_in_frames_of_bounded_size() -> None:
    hand = HandHub(Limits(frame_bytes=2_000, frames_per_turn=2))
    hand.bars(ES, *range(200))
    connection, recorder = hand.client()
    hand.ask(connection, action="subscribe", bars=[ES], history=200)
    assert len(hand.scheduled) == 1
    hand.scheduled.pop()()
    assert len(recorder.frames) == 2
    assert hand.scheduled  # goes on in the next turn
    hand.turn()
    assert minutes(recorder.messages("bar")) == list(range(200))
    assert max(map(len, recorder.frames)) < 2_600


def test_an_unsubscribed_forming_bar_that_waits_is_not_sent() -> None:
    hand = HandHub()
    connection, recorder = hand.client()
    hand.ask(connection, action="subscribe", live_bars=[ES, AAPL])
    hand.bars(ES, 1, live=True)
    hand.bars(AAPL, 1, live=True)
    hand.ask(connection, action="unsubscribe", live_bars=[ES])
    hand.turn()
    assert [message["S"] for message in recorder.messages("live_bar")] == [AAPL]
