"""Forming bars in one piece: the same messages as one by one, to whoever wants them, and what becomes of a piece that waits."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.dispatcher import Dispatcher
from signalbox.edge.v1 import subscription_service_pb2 as edge

from gateway.hub import bar_kernels, tables
from gateway.hub.codecs import JsonCodec, ProtoCodec
from gateway.hub.connection import _MOST_PIECES
from gateway.hub.forming_rows import FormingRows
from gateway.hub.rows import BarRow
from gateway.hub.series import Channel, Group
from gateway.hub.tables import Table
from services.runtime.columns import INTERVALS, encode_bars
from tests.unit.gateway.hubs import HandHub, Recorder, bar, minutes
from tests.unit.gateway.test_blocks import bar_columns

ES, AAPL, ODD = "ES.XCME", "AAPL.XNAS", 'Ä"\\.X'
MINUTE = Group(Channel.LIVE_BARS, 60)
_MOST = 2**63 - 1
_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

_TIME = st.integers(0, 4 * 10**18)
_COUNT = st.one_of(st.integers(0, 1_000), st.integers(0, _MOST))
_UNKNOWN = st.one_of(st.just(-1), _COUNT)
_BARS = st.tuples(
    *(_TIME, _TIME, _COUNT, _COUNT, _COUNT, _COUNT, _COUNT, _UNKNOWN, _UNKNOWN),
    *(st.integers(0, 9), st.integers(0, 3), st.one_of(st.just(0), st.integers(-(10**18), 10**18)), st.integers(0, 12), st.integers(0, 12), _TIME),
)


def rows_of(symbols: Sequence[int], bars: Sequence[Sequence[int]], trace: str | None = None) -> FormingRows:
    ints = np.array(bars, np.int64).reshape(-1, len(BarRow._fields))
    return FormingRows(MINUTE, (ES, AAPL, ODD), np.array(symbols, np.int64), ints, trace)


def test_the_kernels_are_compiled() -> None:
    assert isinstance(bar_kernels.write_tails, Dispatcher)
    assert isinstance(bar_kernels.splice, Dispatcher)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), _BARS), min_size=1, max_size=5), st.integers(1, 10**15), st.sampled_from([None, _TRACE]))
def test_a_piece_has_the_messages_that_its_rows_have(drawn: list[tuple[int, tuple[int, ...]]], seq: int, trace: str | None) -> None:
    rows = rows_of([symbol for symbol, _ in drawn], [values for _, values in drawn], trace)
    one_by_one = [JsonCodec().splice(number, update.json(), False) for number, update in enumerate(rows.updates, seq)]
    together = json.loads(b"[%b]" % b",".join(JsonCodec().forming(seq, rows)))
    # The texts of numbers may differ (1e-8), their values may not, and neither may the order of the fields.
    assert [list(message.items()) for message in together] == [list(json.loads(message).items()) for message in one_by_one]


def test_a_plain_price_is_written_as_it_was_before() -> None:
    rows = rows_of([0, 1], [bar(1, live=True), bar(2, live=True)], _TRACE)
    assert JsonCodec().forming(7, rows) == [b",".join(JsonCodec().splice(number, update.json(), False) for number, update in enumerate(rows.updates, 7))]


def test_protobuf_has_them_too() -> None:
    rows = rows_of([0, 2], [bar(1, live=True), bar(2, live=True)])
    found = [edge.StreamMessage.FromString(message) for message in ProtoCodec().forming(3, rows)]
    assert [(message.seq, message.live_bar.bar.symbol) for message in found] == [(3, ES), (4, ODD)]


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(INTERVALS)), min_size=1, max_size=12), st.integers(1, 10**18))
def test_compiled_and_plain_readers_make_the_same_table(series: list[tuple[int, int]], ts_recv: int) -> None:
    data = encode_bars(bar_columns([symbol for symbol, _ in series], [interval for _, interval in series], ts_recv))
    compiled, plain = tables._plain_live_bars(data), tables._any_live_bars(data)
    assert compiled is not None
    assert compiled.symbols == plain.symbols
    for name in ("symbol", "interval", "ints"):
        assert np.array_equal(getattr(compiled, name), getattr(plain, name))


def test_a_record_with_another_interval_is_left_to_the_plain_reader() -> None:
    good = encode_bars(bar_columns([0, 1], [60, 1], 5))
    (at,) = [at for at in range(len(good)) if good[at : at + 3] == b"\x02\x3c\x01"]
    assert tables._plain_live_bars(good[: at + 1] + b"\x3d" + good[at + 2 :]) is None


def forming(hand: HandHub, *series: tuple[str, int]) -> None:
    """One record with a bar of each."""
    names = tuple(dict.fromkeys(symbol for symbol, _ in series))
    ints = np.array([bar(number, live=True) for _, number in series], np.int64)
    symbol = np.array([names.index(name) for name, _ in series], np.int64)
    hand.intake.take(Table(Channel.LIVE_BARS, names, symbol, np.full(len(series), 60, np.int64), ints))


def told(recorder: Recorder) -> list[tuple[str, int]]:
    messages = recorder.messages("live_bar")
    return list(zip([message["S"] for message in messages], minutes(messages), strict=True))


def test_those_who_want_all_and_those_who_want_some_are_told_once_each() -> None:
    hand = HandHub()
    (everyone, all_of), (some, one_of), (both, all_and_one) = (hand.client() for _ in range(3))
    hand.ask(everyone, action="subscribe", live_bars=["*"])
    hand.ask(some, action="subscribe", live_bars=[AAPL])
    hand.ask(both, action="subscribe", live_bars=[AAPL, "*"])
    forming(hand, (ES, 1), (AAPL, 1))
    forming(hand, (AAPL, 2))
    hand.turn()
    assert told(all_of) == told(all_and_one) == [(ES, 1), (AAPL, 1), (AAPL, 2)]
    # Conflated to the last of each bar, and bar 1 had ended.
    assert told(one_of) == [(AAPL, 1), (AAPL, 2)]


def test_a_forming_bar_after_its_final_one_is_told_to_nobody() -> None:
    hand = HandHub()
    connection, recorder = hand.client()
    hand.ask(connection, action="subscribe", live_bars=["*"])
    hand.bars(ES, 5)
    forming(hand, (ES, 5), (AAPL, 5))
    forming(hand, (ES, 6))
    hand.turn()
    assert told(recorder) == [(AAPL, 5), (ES, 6)]


def test_what_was_unsubscribed_from_while_a_piece_waited_is_not_sent() -> None:
    hand = HandHub()
    connection, recorder = hand.client()
    hand.ask(connection, action="subscribe", live_bars=["*"])
    forming(hand, (ES, 1), (AAPL, 1))
    hand.ask(connection, action="subscribe", live_bars=[AAPL])
    hand.ask(connection, action="unsubscribe", live_bars=["*"])
    hand.turn()
    assert told(recorder) == [(AAPL, 1)]
    hand.ask(connection, action="unsubscribe", live_bars=[AAPL])
    forming(hand, (ES, 2), (AAPL, 2))
    hand.turn()
    assert told(recorder) == [(AAPL, 1)]


def test_a_client_that_does_not_read_has_few_pieces_and_the_newest_of_each_bar() -> None:
    hand = HandHub()
    connection, recorder = hand.client()
    hand.ask(connection, action="subscribe", live_bars=["*"])
    hand.turn()
    for number in range(2 * _MOST_PIECES):
        forming(hand, (ES, number))
    recorder.writable = False
    for number in range(100, 200):
        forming(hand, (ES, number))
    recorder.writable = True
    hand.hub.wake(connection)
    hand.turn()
    assert told(recorder)[:_MOST_PIECES] == [(ES, number) for number in range(_MOST_PIECES)]
    assert told(recorder)[-1] == (ES, 199)
    (gap,) = recorder.messages("gap")
    assert gap["dropped"] + len(told(recorder)) <= 2 * _MOST_PIECES + 100
