"""Protobuf to domain and back."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from signalbox.events.v1.bar_batch_pb2 import Snapshot
from signalbox.events.v1.tick_batch_pb2 import Instrument
from signalbox.market.v1 import market_pb2
from signalbox.prices.v1 import prices_service_pb2 as pb

from services.prices import translate
from services.prices.bar_store import INTERVAL_NAMES, BarStore
from services.prices.price_view import LatestPrice
from services.prices.tick_wire import WireMessage, columns_of, parse_plainly
from services.runtime.errors import InvalidArgument
from tests.unit.prices.bar_rows import bars


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.IngestTicksRequest(source="Not Allowed"), "source"),
        (pb.IngestTicksRequest(source="x" * 65), "source"),
        (pb.IngestTicksRequest(source="a", source_kind=9), "source_kind"),  # type: ignore[arg-type]
        (pb.IngestTicksRequest(source="a", ticks=[pb.IngestTick()] * 10_001), "ticks"),
        (pb.IngestTicksRequest(source="a", watermark=Timestamp(seconds=-4)), "watermark"),
        (pb.IngestTicksRequest(source="a", watermark=Timestamp(seconds=2**40)), "watermark"),
    ],
)
def test_what_concerns_the_whole_message_is_an_error(request_: pb.IngestTicksRequest, field: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"^{field}: expected .*, was "):
        translate.message_of(parse_plainly(request_.SerializeToString()))


def test_a_message_without_a_watermark_has_none() -> None:
    message = translate.message_of(WireMessage(pb.IngestTicksRequest(source="replay:es", source_kind=market_pb2.SOURCE_KIND_REPLAY), columns_of([])))
    assert (message.source, message.source_kind, message.watermark, len(message.ticks)) == ("replay:es", 2, 0, 0)


def test_intervals_by_enum_and_by_name() -> None:
    assert translate.interval_seconds(0) == 60
    assert {name: translate.interval_seconds(0, name) for name in INTERVAL_NAMES.values()} == {name: seconds for seconds, name in INTERVAL_NAMES.items()}
    assert translate.interval_seconds(market_pb2.INTERVAL_1H, "1h") == 3600


@pytest.mark.parametrize(("enum", "name"), [(0, "7x"), (0, "1H"), (99, ""), (market_pb2.INTERVAL_1S, "1m")])
def test_wrong_intervals_are_errors(enum: int, name: str) -> None:
    with pytest.raises(InvalidArgument, match="interval"):
        translate.interval_seconds(enum, name)


def test_a_bar_message_has_doubles_and_leaves_out_what_is_not_known() -> None:
    store = BarStore(4, 10)
    store.add(bars("ES.XCME", 60, [60], close=[10_125]), 0, 0)
    (bar,) = translate.bar_messages("ES.XCME", 60, store.select("ES.XCME", 60, None, None).rows)
    assert (bar.symbol, bar.interval, bar.close, bar.volume, bar.vwap, bar.trade_count) == ("ES.XCME", market_pb2.INTERVAL_1M, 101.25, 5.0, 1.000001, 3)
    assert (bar.ts_open.seconds, bar.ts_close.seconds, bar.is_final, bar.HasField("replay_of")) == (60, 120, True, False)
    rows = store.select("ES.XCME", 60, None, None).rows
    rows["vwap"], rows["trade_count"], rows["replay_shift"] = -1, -1, 60 * 10**9
    (bar,) = translate.bar_messages("ES.XCME", 60, rows)
    assert not bar.HasField("vwap")
    assert not bar.HasField("trade_count")
    assert bar.replay_of.seconds == 0


def test_a_bar_message_is_small_enough_for_a_page_of_5000_below_one_mebibyte() -> None:
    store = BarStore(4, 10)
    symbol = "A" * 27 + ".XNAS"
    store.add(bars(symbol, 60, [4_000_000_020]), 0, 0)
    rows = store.select(symbol, 60, None, None).rows
    for name in ("open", "high", "low", "close", "volume", "vwap", "trade_count"):
        rows[name] = 2**62 + 12345
    rows["replay_shift"], rows["revision"] = 604_800 * 10**9, 2**30
    rows["ts_open"] += 999_999_999
    (bar,) = translate.bar_messages(symbol, 60, rows)
    assert bar.ByteSize() * 5_000 < 1 << 20


def test_a_price_message_leaves_out_what_is_not_known() -> None:
    message = translate.price_message(LatestPrice("A.B", 1.5, 0.0, 5 * 10**9, 0, 2, 4 * 10**9, 86400, None))
    assert (message.from_bar, message.HasField("ts_recv"), message.HasField("previous_close")) == (market_pb2.INTERVAL_1D, False, False)
    assert message.replay_of.seconds == 1
    live = translate.price_message(LatestPrice("A.B", 1.5, 2.0, 5 * 10**9, 6 * 10**9, 1, 0, 0, 1.25))
    assert (live.from_bar, live.ts_recv.seconds, live.previous_close, live.HasField("replay_of")) == (0, 6, 1.25, False)


def test_a_snapshot_is_a_trade_only_if_it_has_a_price() -> None:
    assert translate.trade_of(Snapshot(watermark=5)) is None
    trade = translate.trade_of(Snapshot(instrument=Instrument(symbol="A.B", price_digits=2, size_digits=1), price=150, size=25, ts_event=7))
    assert trade is not None
    assert (trade.symbol, trade.price, trade.size, trade.ts_event) == ("A.B", 1.5, 2.5, 7)
