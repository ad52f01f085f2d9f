"""Protobuf to domain and back; pure."""

import base64
import binascii
import re
from collections.abc import Sequence

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from signalbox.analysis.v1 import analysis_service_pb2 as pb
from signalbox.market.v1 import market_pb2

from services.analysis.domain import Analysis, History, Query
from services.analysis.engine import ENGINE_VERSION
from services.analysis.indicators.base import Indicator
from services.analysis.indicators.kernels import FloatArray
from services.analysis.indicators.registry import COLUMN, INDICATORS, NAMES
from services.analysis.signals import DOWN, UP, Signal
from services.runtime.errors import InvalidArgument, SignalboxError
from services.runtime.interceptors import status_of
from services.runtime.timestamps import checked_nanoseconds, timestamp

_NS = 10**9
#: As in prices_service.proto.
_SYMBOL = re.compile(r"[A-Z0-9_=^-]+\.[A-Z0-9_=^-]+")
_MAX_SYMBOL = 32
_SYMBOL_EXPECTED = "ticker dot MIC as in AAPL.XNAS: at most 32 characters of A-Z, 0-9, '-', '_', '=', '^' around one dot"
_DEFAULT_LAST, _MAX_LAST = 300, 5_000
_MAX_SYMBOLS = 1_000
_MAX_PAGE = 1_000
_DEFAULT_INTERVAL = 86400
_INTERVALS = {"1s": 1, "1m": 60, "1d": 86400}
_INTERVALS_TEXT = "one of " + ", ".join(_INTERVALS)
_SECONDS = {market_pb2.INTERVAL_1S: 1, market_pb2.INTERVAL_1M: 60, market_pb2.INTERVAL_1D: 86400}
_ENUMS = {seconds: enum for enum, seconds in _SECONDS.items()}
_DIRECTIONS = {UP: pb.DIRECTION_UP, DOWN: pb.DIRECTION_DOWN}


def query_of(request: pb.AnalyzeRequest) -> Query:
    """What a request asks for. Raises InvalidArgument."""
    query = template_of(request)
    check_symbol("symbol", request.symbol)
    return query


def template_of(request: pb.AnalyzeRequest) -> Query:
    """The same without a look at the symbol. Raises InvalidArgument."""
    if not 0 <= request.last <= _MAX_LAST:
        raise InvalidArgument("last", request.last, f"0 to {_MAX_LAST:,}")
    start, end = _optional_ns(request, "start"), _optional_ns(request, "end")
    if start is not None and end is not None and start > end:
        raise InvalidArgument("end", end, f"a time not before start ({start})")
    return Query(
        symbol=request.symbol,
        interval_s=_interval(request),
        start_ns=start,
        end_ns=end,
        last=request.last or _DEFAULT_LAST,
        indicators=_indicators(request.indicators),
        origin_ns=_optional_ns(request, "origin"),
    )


def batch_symbols(request: pb.BatchAnalyzeRequest) -> Sequence[str]:
    """The symbols of a batch, not looked at one by one. Raises InvalidArgument for what concerns them all."""
    if not 1 <= len(request.symbols) <= _MAX_SYMBOLS:
        raise InvalidArgument("symbols", len(request.symbols), f"1 to {_MAX_SYMBOLS:,}")
    if request.template.symbol:
        raise InvalidArgument("template.symbol", request.template.symbol, "none: the symbols are in `symbols`")
    return request.symbols


def check_symbol(field: str, symbol: str) -> None:
    """Raises InvalidArgument when the symbol is malformed."""
    if len(symbol) > _MAX_SYMBOL or not _SYMBOL.fullmatch(symbol):
        raise InvalidArgument(field, symbol, _SYMBOL_EXPECTED)


def _interval(request: pb.AnalyzeRequest) -> int:
    if request.interval_name and request.interval_name not in _INTERVALS:
        raise InvalidArgument("interval_name", request.interval_name, _INTERVALS_TEXT)
    if request.interval and request.interval not in _SECONDS:
        raise InvalidArgument("interval", request.interval, _INTERVALS_TEXT)
    by_name, by_enum = _INTERVALS.get(request.interval_name), _SECONDS.get(request.interval)
    if by_name and by_enum and by_name != by_enum:
        raise InvalidArgument("interval_name", request.interval_name, "the same as interval, or one of them only")
    return by_name or by_enum or _DEFAULT_INTERVAL


def _indicators(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in COLUMN:
            raise InvalidArgument("indicators", name, f"one of {', '.join(NAMES)}")
    return tuple(dict.fromkeys(names)) or NAMES


def _optional_ns(request: pb.AnalyzeRequest, field: str) -> int | None:
    if not request.HasField(field):
        return None
    return checked_nanoseconds(field, getattr(request, field))


def analysis_message(analysis: Analysis) -> pb.Analysis:
    """An analysis as it is answered. Sub-messages are filled where they lie: made apart and copied, ten years of bars take three times as long."""
    query, history, rows = analysis.query, analysis.history, slice(analysis.start, analysis.stop)
    message = pb.Analysis(
        symbol=query.symbol,
        interval=_ENUMS[query.interval_s],
        origin_ts=timestamp(int(history.ts_open[0])),
        bars_used=len(history),
        source_kind=int(history.source_kind[-1]),  # type: ignore[arg-type]
        engine_version=ENGINE_VERSION,
    )
    seconds, nanos = np.divmod(history.ts_open[rows], _NS)
    for whole, part in zip(seconds.tolist(), nanos.tolist(), strict=True):
        _set(message.ts_open.add(), whole, part)
    _fill(message, "close", history.close[rows])
    for name in query.indicators:
        column = COLUMN[name]
        item = message.indicators.add(name=name, lookback=INDICATORS[column].lookback)
        _fill(item, "values", analysis.step.values[rows, column])
    for signal in analysis.step.signals(analysis.start, analysis.stop):
        _add_signal(message, history, signal)
    return message


def _set(stamp: Timestamp, seconds: int, nanos: int) -> None:
    stamp.seconds = seconds
    if nanos:
        stamp.nanos = nanos


def _fill(message: pb.Analysis | pb.IndicatorSeries, field: str, values: FloatArray) -> None:
    """Sets a packed field of doubles from its wire format, which is what numpy has in memory; number by number takes 15 times as long."""
    tag = message.DESCRIPTOR.fields_by_name[field].number << 3 | 2
    data = values.astype("<f8", copy=False).tobytes()
    message.MergeFromString(bytes((tag,)) + _varint(len(data)) + data)


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _add_signal(message: pb.Analysis, history: History, signal: Signal) -> None:
    row, rule = signal.row, signal.rule
    added = message.signals.add(
        symbol=message.symbol,
        interval=message.interval,
        type=rule.type,
        price=float(history.close[row]),
        volume=float(history.volume[row]),
        strength=signal.strength,
        values=dict(zip(rule.value_names, signal.values, strict=True)),
        direction=_DIRECTIONS[rule.direction],
        source_kind=int(history.source_kind[row]),
    )
    _set(added.ts_open, *divmod(int(history.ts_open[row]), _NS))
    _set(added.ts_close, *divmod(int(history.ts_close[row]), _NS))


def batch_response(symbol: str, outcome: pb.Analysis | SignalboxError, done: int, total: int) -> pb.BatchAnalyzeResponse:
    """One answer of a batch."""
    if isinstance(outcome, SignalboxError):
        status = status_of(outcome)
        return pb.BatchAnalyzeResponse(symbol=symbol, error=pb.BatchError(code=status.code, message=status.message), done=done, total=total)
    return pb.BatchAnalyzeResponse(symbol=symbol, analysis=outcome, done=done, total=total)


def indicators_page(request: pb.ListIndicatorsRequest) -> pb.ListIndicatorsResponse:
    """A page of the registry. Raises InvalidArgument."""
    if not 0 <= request.page_size <= _MAX_PAGE:
        raise InvalidArgument("page_size", request.page_size, f"0 to {_MAX_PAGE:,}")
    begin = _read_token(request.page_token) if request.page_token else 0
    end = begin + (request.page_size or len(INDICATORS))
    token = _make_token(end) if end < len(INDICATORS) else ""
    return pb.ListIndicatorsResponse(indicators=[_indicator(item) for item in INDICATORS[begin:end]], next_page_token=token)


def _indicator(indicator: Indicator) -> pb.Indicator:
    return pb.Indicator(name=indicator.name, description=indicator.description, lookback=indicator.lookback, pane=indicator.pane)


def _make_token(begin: int) -> str:
    return base64.urlsafe_b64encode(f"{ENGINE_VERSION}/{begin}".encode()).decode()


def _read_token(token: str) -> int:
    refused = InvalidArgument("page_token", token, "the next_page_token of the page before")
    try:
        version, _, begin = base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii").partition("/")
        if version != ENGINE_VERSION or not 0 < int(begin) < len(INDICATORS):
            raise refused
        return int(begin)
    except (binascii.Error, ValueError) as error:
        raise refused from error
