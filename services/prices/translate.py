"""Protobuf to domain and back; pure."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from signalbox.events.v1.bar_batch_pb2 import Snapshot
from signalbox.market.v1 import market_pb2
from signalbox.prices.v1 import prices_service_pb2 as pb

from services.prices.bar_series import BarRows
from services.prices.bar_store import INTERVAL_NAMES, SeriesSummary
from services.prices.ingest_stream import IngestResult, Message
from services.prices.price_view import LatestPrice, Trade
from services.prices.tick_wire import WireMessage
from services.runtime.columns import VWAP_DIGITS
from services.runtime.errors import InvalidArgument
from services.runtime.timestamps import checked_nanoseconds, timestamp

_NS = 10**9
_SOURCE = re.compile(r"[a-z0-9_.:-]{1,64}")
#: Ticks in a message.
MAX_TICKS = 10_000
_DEFAULT_INTERVAL = 60
_POWERS = np.array([10.0**digits for digits in range(10 + VWAP_DIGITS)])

_ENUMS: dict[int, market_pb2.Interval] = {
    1: market_pb2.INTERVAL_1S,
    60: market_pb2.INTERVAL_1M,
    300: market_pb2.INTERVAL_5M,
    900: market_pb2.INTERVAL_15M,
    3600: market_pb2.INTERVAL_1H,
    86400: market_pb2.INTERVAL_1D,
}
_SECONDS: dict[int, int] = {enum: seconds for seconds, enum in _ENUMS.items()}
_BY_NAME = {name: seconds for seconds, name in INTERVAL_NAMES.items()}
_INTERVALS_TEXT = "one of " + ", ".join(_BY_NAME)


def message_of(wire: WireMessage) -> Message:
    """One message of a stream of ticks. Raises InvalidArgument for what concerns the whole message."""
    head = wire.head
    if head.source and not _SOURCE.fullmatch(head.source):
        raise InvalidArgument("source", head.source, "1 to 64 characters of a-z, 0-9, '-', '_', '.', ':'")
    if not 0 <= head.source_kind <= market_pb2.SOURCE_KIND_SYNTHETIC:
        raise InvalidArgument("source_kind", head.source_kind, "live, replay or synthetic")
    if len(wire.ticks) > MAX_TICKS:
        raise InvalidArgument("ticks", len(wire.ticks), f"at most {MAX_TICKS:,} in a message")
    watermark = checked_nanoseconds("watermark", head.watermark) if head.HasField("watermark") else 0
    return Message(head.source, head.source_kind, wire.ticks, watermark)


def optional_nanoseconds(field: str, message: pb.ListBarsRequest | pb.StreamBarsRequest) -> int | None:
    """A field of a request as UTC ns, None when absent. Raises InvalidArgument."""
    return checked_nanoseconds(field, getattr(message, field)) if message.HasField(field) else None


def interval_seconds(interval: int, name: str = "") -> int:
    """The length of a bar from the enum or from its short name; 1m when neither is given. Raises InvalidArgument, also when they disagree."""
    if name and name not in _BY_NAME:
        raise InvalidArgument("interval_name", name, _INTERVALS_TEXT)
    if interval and interval not in _SECONDS:
        raise InvalidArgument("interval", interval, _INTERVALS_TEXT)
    by_name, by_enum = _BY_NAME.get(name), _SECONDS.get(interval)
    if by_name and by_enum and by_name != by_enum:
        raise InvalidArgument("interval_name", name, f"the same as interval ({INTERVAL_NAMES[by_enum]}), or one of them only")
    return by_name or by_enum or _DEFAULT_INTERVAL


def ingest_response(result: IngestResult) -> pb.IngestTicksResponse:
    """The answer to a stream of ticks."""
    rejections = [
        pb.TickRejection(index=item.index, symbol=item.symbol, reason=int(item.reason), detail=item.detail)  # type: ignore[arg-type]
        for item in result.rejections
    ]
    return pb.IngestTicksResponse(accepted=result.accepted, rejected=result.rejected, rejections=rejections)


def price_message(price: LatestPrice) -> market_pb2.Price:
    """A latest price."""
    return market_pb2.Price(
        symbol=price.symbol,
        price=price.price,
        size=price.size,
        ts_event=timestamp(price.ts_event),
        ts_recv=timestamp(price.ts_recv) if price.ts_recv else None,
        source_kind=price.source_kind,  # type: ignore[arg-type]
        replay_of=timestamp(price.ts_event - price.replay_shift) if price.replay_shift else None,
        from_bar=_ENUMS[price.from_bar] if price.from_bar else market_pb2.INTERVAL_UNSPECIFIED,
        previous_close=price.previous_close,
    )


def trade_of(snapshot: Snapshot) -> Trade | None:
    """The last trade in a snapshot; None when it holds a watermark only."""
    if snapshot.price <= 0:
        return None
    item = snapshot.instrument
    return Trade(
        symbol=item.symbol,
        price=snapshot.price / 10**item.price_digits,
        size=snapshot.size / 10**item.size_digits,
        ts_event=snapshot.ts_event,
        ts_recv=snapshot.ts_recv,
        source_kind=snapshot.source_kind,
        replay_shift=snapshot.replay_shift,
    )


def bar_messages(symbol: str, interval: int, rows: BarRows) -> list[market_pb2.Bar]:
    """Final bars as messages. interval: seconds."""
    enum = _ENUMS[interval]
    floats = zip(*(column.tolist() for column in _floats(rows)), strict=True)
    whole = ("ts_open", "ts_close", "vwap", "volume", "trade_count", "revision", "source_kind", "replay_shift")
    ints = zip(*(rows[name].tolist() for name in whole), strict=True)
    return [_bar(symbol, enum, prices, numbers) for prices, numbers in zip(floats, ints, strict=True)]


def _floats(rows: BarRows) -> Iterable[NDArray[np.float64]]:
    price, size = _POWERS[rows["price_digits"]], _POWERS[rows["size_digits"]]
    for name in ("open", "high", "low", "close"):
        yield rows[name] / price
    yield rows["volume"] / size
    yield rows["vwap"] / _POWERS[rows["price_digits"] + VWAP_DIGITS]


def _bar(symbol: str, interval: market_pb2.Interval, prices: Sequence[float], numbers: Sequence[int]) -> market_pb2.Bar:
    opened, closed, raw_vwap, raw_volume, trade_count, revision, kind, shift = numbers
    first, high, low, last, volume, vwap = prices
    return market_pb2.Bar(
        symbol=symbol,
        interval=interval,
        ts_open=timestamp(opened),
        ts_close=timestamp(closed),
        open=first,
        high=high,
        low=low,
        close=last,
        volume=volume,
        vwap=vwap if raw_vwap >= 0 and raw_volume else None,
        trade_count=trade_count if trade_count >= 0 else None,
        is_final=True,
        revision=revision,
        source_kind=kind,  # type: ignore[arg-type]
        replay_of=timestamp(opened - shift) if shift else None,
    )


def series_message(series: SeriesSummary) -> pb.Series:
    """A kept series."""
    return pb.Series(
        symbol=series.symbol,
        interval=_ENUMS[series.interval],
        first=timestamp(series.first_open_ns),
        last=timestamp(series.last_open_ns),
        bars=series.bars,
        source_kind=series.source_kind,  # type: ignore[arg-type]
    )
