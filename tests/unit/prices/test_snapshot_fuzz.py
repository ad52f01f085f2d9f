"""Anything as a record of market.snapshots.v1: it is used or passed over with its position, and the records beside it count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signalbox.events.v1.bar_batch_pb2 import Snapshot
from signalbox.events.v1.tick_batch_pb2 import Instrument
from structlog.testing import capture_logs

from services.prices.adapters.kafka import SnapshotFeed
from services.prices.bar_store import BarStore
from services.prices.errors import NoPrice
from services.prices.feeds.position import _watermark_of
from services.prices.metrics import UNREADABLE_RECORDS
from services.prices.price_view import PriceView
from services.prices.snapshots import snapshot_of, symbol_of
from services.prices.translate import price_message
from services.runtime.columns import WEEK_NS
from services.runtime.errors import BadRecord
from services.runtime.kafka import Record
from services.runtime.timestamps import MAX_TIME_NS
from services.runtime.topics import SNAPSHOTS

INT64, UINT32 = st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**32 - 1)
SYMBOLS = st.sampled_from(("A.XSIM", "B.XSIM", ""))


def snapshot(symbol: str = "A.XSIM", price_digits: int = 2, **changes: int) -> bytes:
    """Of a price of 1.5 at second 7."""
    item = Instrument(symbol=symbol, price_digits=price_digits)
    return Snapshot(instrument=item, **{"price": 150, "size": 1, "ts_event": 7 * 10**9, "source_kind": 2, "watermark": 5, **changes}).SerializeToString()  # type: ignore[arg-type]


def record(value: bytes, key: bytes | None = b"A.XSIM", offset: int = 0) -> Record:
    return Record(SNAPSHOTS.name, 3, offset, key, value, [], 0)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A snapshot with any values, cut or with bytes changed now and then."""
    item = Instrument(symbol=draw(SYMBOLS), price_digits=draw(st.one_of(st.integers(0, 9), UINT32)), size_digits=draw(st.one_of(st.integers(0, 9), UINT32)))
    numbers = {name: draw(st.one_of(st.integers(0, 9), INT64)) for name in ("price", "size", "ts_event", "ts_recv", "watermark")}
    shift, kind = draw(st.one_of(st.just(WEEK_NS), INT64)), draw(st.integers(-1, 4))
    value = bytearray(Snapshot(instrument=item, replay_shift=shift, source_kind=kind, **numbers).SerializeToString())  # type: ignore[arg-type]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(value)))
        value[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(value)


KEYS = st.one_of(st.none(), st.just(b"A.XSIM"), st.binary(max_size=8))


def refused(taken: Record) -> bool:
    try:
        snapshot_of(taken) if taken.value else symbol_of(taken)
    except BadRecord:
        return True
    return False


def unreadable() -> float:
    return float(UNREADABLE_RECORDS.labels(SNAPSHOTS.name)._value.get())


@given(KEYS, st.one_of(st.just(b""), st.binary(max_size=80), messages()))
def test_no_record_is_worse_for_a_view_than_one_that_is_not_there(key: bytes | None, value: bytes) -> None:
    view, before = PriceView(BarStore(4, 10)), unreadable()
    SnapshotFeed(view)([record(snapshot("B.XSIM"), b"B.XSIM"), record(value, key, 1), record(snapshot("C.XSIM"), b"C.XSIM", 2)])
    assert unreadable() - before == refused(record(value, key))
    assert view.latest("C.XSIM").price == 1.5
    for symbol in ("A.XSIM", "B.XSIM"):
        try:
            price_message(view.latest(symbol)).SerializeToString()
        except NoPrice:
            assert symbol == "A.XSIM" or key == b"B.XSIM"


@given(KEYS, st.one_of(st.just(b""), st.binary(max_size=80), messages()))
def test_a_feed_takes_a_watermark_that_can_be_one_or_nothing(key: bytes | None, value: bytes) -> None:
    try:
        watermark = _watermark_of(record(value, key))
    except BadRecord:
        return
    assert 0 <= watermark < MAX_TIME_NS


@pytest.mark.parametrize(
    ("value", "key", "why"),
    [
        (b"\xff\xff garbage", b"A.XSIM", "not a signalbox.events.v1.Snapshot"),
        (snapshot(), b"\xff\xfe", "key: expected a symbol, was"),
        (snapshot(), None, "key: expected a symbol, was none"),
        (b"", b"\xff", "key: expected a symbol"),
        (snapshot("B.XSIM"), b"A.XSIM", r"expected that of the key, A\.XSIM, was B\.XSIM"),
        # Ten to this power takes for ever and then more memory than there is.
        (snapshot(price_digits=2**32 - 1), b"A.XSIM", "expected 0 to 9 digits, was 4294967295 and 0"),
        (snapshot(watermark=-1), b"A.XSIM", "watermark: expected 0 to"),
        (snapshot(ts_event=MAX_TIME_NS), b"A.XSIM", "ts_event: expected 0 to"),
        (snapshot(source_kind=4), b"A.XSIM", "source_kind: expected 1 to 3, was 4"),
        (snapshot(replay_shift=5), b"A.XSIM", "replay_shift: expected whole weeks in ns, was 5"),
    ],
)
def test_a_record_that_cannot_be_used_says_why_and_is_counted(value: bytes, key: bytes | None, why: str) -> None:
    view, before = PriceView(BarStore(4, 10)), unreadable()
    with capture_logs() as logs:
        SnapshotFeed(view)([record(snapshot()), record(value, key, 77)])
    assert unreadable() - before == 1
    assert [(line["topic"], line["partition"], line["offset"]) for line in logs] == [(SNAPSHOTS.name, 3, 77)]
    assert view.latest("A.XSIM").price == 1.5
    with pytest.raises(BadRecord, match=why):
        _watermark_of(record(value or snapshot(), key, 77))
