"""An update: one row on its way to clients, encoded at most once in each encoding, whoever the clients are."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import orjson
from signalbox.analysis.v1 import analysis_service_pb2 as analysis
from signalbox.edge.v1 import subscription_service_pb2 as edge
from signalbox.market.v1 import market_pb2 as market

from gateway.hub.rows import BarRow, EventRow, IndicatorRow, Row, SignalRow, TickRow
from gateway.hub.series import INTERVAL_ENUMS, INTERVAL_NAMES, SOURCE_NAMES, Channel, SeriesKey

#: Digits that a vwap has more than its price.
_VWAP_DIGITS = 4

Fields = dict[str, Any]


class Update:
    """One row of one series. The encodings leave out what differs between connections (`seq`, the mark of a history)."""

    __slots__ = ("_json", "_proto", "key", "row", "traceparent")

    def __init__(self, key: SeriesKey, row: Row, traceparent: str | None = None) -> None:
        self.key = key
        self.row = row
        self.traceparent = traceparent
        self._json: bytes | None = None
        self._proto: bytes | None = None

    @property
    def at(self) -> int:
        """Event or open time, UTC nanoseconds."""
        return self.row[0]

    def json(self) -> bytes:
        """The message as JSON without its opening brace."""
        if self._json is None:
            self._json = orjson.dumps(self._fields())[1:]
        return self._json

    def proto(self) -> bytes:
        """A serialised StreamMessage without seq and is_history."""
        if self._proto is None:
            message = edge.StreamMessage(traceparent=self.traceparent or "")
            _PROTO[self.key.channel](message, self.key, self.row)
            self._proto = message.SerializeToString()
        return self._proto

    def _fields(self) -> Fields:
        fields = _JSON[self.key.channel](self.key, self.row)
        if self.traceparent:
            fields["tp"] = self.traceparent
        return fields


def _tick_json(key: SeriesKey, row: TickRow) -> Fields:
    fields: Fields = {
        "T": "tick",
        "S": key.symbol,
        "p": row.price / 10**row.price_digits,
        "s": row.size / 10**row.size_digits,
        "t": row.ts_event // 1_000_000,
        "ts_recv": row.ts_recv // 1_000,
        "source": SOURCE_NAMES[row.source_kind],
    }
    if row.seq:
        fields["n"] = row.seq
    return _with_origin(fields, row.ts_event, row.replay_shift)


def _bar_json(key: SeriesKey, row: BarRow) -> Fields:
    price, size = 10**row.price_digits, 10**row.size_digits
    fields: Fields = {
        "T": "bar" if key.channel is Channel.BARS else "live_bar",
        "S": key.symbol,
        "i": INTERVAL_NAMES[key.interval],
        "t": row.ts_open // 1_000_000,
        "tc": row.ts_close // 1_000_000,
        "o": row.open / price,
        "h": row.high / price,
        "l": row.low / price,
        "c": row.close / price,
        "v": row.volume / size,
        "rev": row.revision,
        "source": SOURCE_NAMES[row.source_kind],
    }
    if row.vwap >= 0:
        fields["vw"] = row.vwap / (price * 10**_VWAP_DIGITS)
    if row.trade_count >= 0:
        fields["n"] = row.trade_count
    if row.ts_recv:
        fields["ts_recv"] = row.ts_recv // 1_000
    return _with_origin(fields, row.ts_open, row.replay_shift)


def _indicators_json(key: SeriesKey, row: IndicatorRow) -> Fields:
    fields: Fields = {
        "T": "indicators",
        "S": key.symbol,
        "i": INTERVAL_NAMES[key.interval],
        "t": row.ts_open // 1_000_000,
        "values": _known(row),
        "source": SOURCE_NAMES[row.source_kind],
    }
    return _with_origin(fields, row.ts_open, row.replay_shift)


def _signal_json(key: SeriesKey, row: SignalRow) -> Fields:
    fields: Fields = {
        "T": "signal",
        "S": key.symbol,
        "i": INTERVAL_NAMES[key.interval],
        "t": row.ts_open // 1_000_000,
        "tc": row.ts_close // 1_000_000,
        "type": row.type,
        "dir": "up" if row.direction > 0 else "down",
        "p": row.price,
        "v": row.volume,
        "strength": row.strength,
        "values": _known(row),
        "source": SOURCE_NAMES[row.source_kind],
    }
    return _with_origin(fields, row.ts_open, row.replay_shift)


def _event_json(_key: SeriesKey, row: EventRow) -> Fields:
    # A copy: the trace is added to it.
    return dict(row.fields)


def _with_origin(fields: Fields, at: int, replay_shift: int) -> Fields:
    if replay_shift:
        fields["replay_of"] = (at - replay_shift) // 1_000_000
    return fields


def _known(row: IndicatorRow | SignalRow) -> dict[str, float]:
    # NaN is the one value that differs from itself.
    return {name: value for name, value in zip(row.names, row.values, strict=True) if value == value}  # noqa: PLR0124


def _tick_proto(message: edge.StreamMessage, key: SeriesKey, row: TickRow) -> None:
    tick = message.tick
    tick.symbol, tick.seq, tick.source_kind = key.symbol, row.seq, cast(market.SourceKind, row.source_kind)
    tick.price, tick.size = row.price / 10**row.price_digits, row.size / 10**row.size_digits
    tick.ts_event.FromNanoseconds(row.ts_event)
    tick.ts_recv.FromNanoseconds(row.ts_recv)
    if row.replay_shift:
        tick.replay_of.FromNanoseconds(row.ts_event - row.replay_shift)


def _bar_proto(message: edge.StreamMessage, key: SeriesKey, row: BarRow) -> None:
    is_final = key.channel is Channel.BARS
    update = message.bar if is_final else message.live_bar
    _fill_bar(update.bar, key, row)
    update.bar.is_final = is_final
    if row.ts_recv:
        update.ts_recv.FromNanoseconds(row.ts_recv)


def _fill_bar(bar: market.Bar, key: SeriesKey, row: BarRow) -> None:
    price = 10**row.price_digits
    bar.symbol, bar.interval, bar.source_kind = key.symbol, INTERVAL_ENUMS[key.interval], cast(market.SourceKind, row.source_kind)
    bar.ts_open.FromNanoseconds(row.ts_open)
    bar.ts_close.FromNanoseconds(row.ts_close)
    bar.open, bar.high, bar.low, bar.close = row.open / price, row.high / price, row.low / price, row.close / price
    bar.volume, bar.revision = row.volume / 10**row.size_digits, row.revision
    if row.vwap >= 0:
        bar.vwap = row.vwap / (price * 10**_VWAP_DIGITS)
    if row.trade_count >= 0:
        bar.trade_count = row.trade_count
    if row.replay_shift:
        bar.replay_of.FromNanoseconds(row.ts_open - row.replay_shift)


def _indicators_proto(message: edge.StreamMessage, key: SeriesKey, row: IndicatorRow) -> None:
    update = message.indicators
    update.symbol, update.interval, update.source_kind = key.symbol, INTERVAL_ENUMS[key.interval], cast(market.SourceKind, row.source_kind)
    update.ts_open.FromNanoseconds(row.ts_open)
    update.values.update(_known(row))


def _signal_proto(message: edge.StreamMessage, key: SeriesKey, row: SignalRow) -> None:
    signal = message.signal
    signal.symbol, signal.interval, signal.source_kind = key.symbol, INTERVAL_ENUMS[key.interval], cast(market.SourceKind, row.source_kind)
    signal.type, signal.price, signal.volume, signal.strength = row.type, row.price, row.volume, row.strength
    signal.direction = analysis.DIRECTION_UP if row.direction > 0 else analysis.DIRECTION_DOWN
    signal.ts_open.FromNanoseconds(row.ts_open)
    signal.ts_close.FromNanoseconds(row.ts_close)
    signal.values.update(_known(row))


def _event_proto(message: edge.StreamMessage, _key: SeriesKey, row: EventRow) -> None:
    message.MergeFrom(row.message)


_JSON: Mapping[Channel, Callable[[SeriesKey, Any], Fields]] = {
    Channel.TICKS: _tick_json,
    Channel.BARS: _bar_json,
    Channel.LIVE_BARS: _bar_json,
    Channel.INDICATORS: _indicators_json,
    Channel.SIGNALS: _signal_json,
    Channel.NEWS: _event_json,
    Channel.JOBS: _event_json,
    Channel.ALERTS: _event_json,
}
_PROTO: Mapping[Channel, Callable[[edge.StreamMessage, SeriesKey, Any], None]] = {
    Channel.TICKS: _tick_proto,
    Channel.BARS: _bar_proto,
    Channel.LIVE_BARS: _bar_proto,
    Channel.INDICATORS: _indicators_proto,
    Channel.SIGNALS: _signal_proto,
    Channel.NEWS: _event_proto,
    Channel.JOBS: _event_proto,
    Channel.ALERTS: _event_proto,
}
