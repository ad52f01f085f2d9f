"""Source `yahoo`: the public chart API. Its prices are adjusted for splits, not for dividends; it says so nowhere in its answers.

One question a symbol. Yahoo keeps bars of a minute for a week, of other parts of a day for two months, daily ones for decades.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import aiohttp
from signalbox.events.v1 import tick_batch_pb2

from services.prices.instruments import Instrument, instrument_of
from services.prices.jobs.table import INTERVAL_NAMES, BarTable, Row, SourceFailed, checked_row, fixed, table_of
from services.prices.sessions import SessionTable
from services.runtime.clock import Clock
from services.runtime.errors import Unavailable

_NS = 10**9
_DAY_S = 86_400
_PRICES = ("open", "high", "low", "close")
_INTERVALS = {60: "1m", 300: "5m", 900: "15m", 3600: "60m", _DAY_S: "1d"}
#: MIC -> what Yahoo writes behind the ticker.
_SUFFIXES: Mapping[str, str] = {
    **dict.fromkeys(("XNAS", "XNYS", "ARCX", "XASE", "BATS"), ""),
    **{"XLON": ".L", "XETR": ".DE", "XPAR": ".PA", "XAMS": ".AS", "XTKS": ".T", "XTSE": ".TO", "XASX": ".AX", "XHKG": ".HK", "XSWX": ".SW", "XMIL": ".MI"},
}
#: An answer of decades of daily bars is about 2 MB.
_MAX_BYTES = 32 << 20
_BUSY = frozenset((429, 500, 502, 503, 504))


class YahooCharts:
    """Asks one question after the other, with a pause in between, as the server's owner would want it."""

    def __init__(self, session: aiohttp.ClientSession, url: str, sessions: SessionTable, clock: Clock, pause_s: float) -> None:
        self._session, self._url, self._sessions, self._clock, self._pause_s = session, url, sessions, clock, pause_s
        self._turn = asyncio.Lock()

    def symbols(self) -> Sequence[str]:
        """None: it must be told."""
        return ()

    async def bars(self, symbol: str, interval_s: int, start_ns: int, end_ns: int, stored_until_ns: int) -> BarTable:
        """As HistorySource says."""
        if interval_s not in _INTERVALS:
            raise SourceFailed(f"it has no bars of {INTERVAL_NAMES[interval_s]}")
        instrument = instrument_of(symbol)
        end_ns = min(end_ns, self._clock.now_ns())
        query = {"period1": str(max(0, start_ns // _NS)), "period2": str(-(-end_ns // _NS)), "interval": _INTERVALS[interval_s], "includePrePost": "false"}
        async with self._turn:
            answer = await self._ask(f"{self._url}/v8/finance/chart/{ticker_of(symbol)}", query)
            await self._clock.sleep(self._pause_s)
        return self._table(answer, instrument, interval_s, start_ns, end_ns)

    async def _ask(self, url: str, query: dict[str, str]) -> Any:
        try:
            async with self._session.get(url, params=query) as response:
                if response.status in _BUSY:
                    raise Unavailable("Yahoo", f"it answered {response.status}", _retry_after(response))
                body = await response.content.read(_MAX_BYTES)
                if not response.content.at_eof():
                    raise SourceFailed(f"its answer is over {_MAX_BYTES >> 20} MiB")
                return await asyncio.to_thread(_parsed, body, response.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable("Yahoo", str(error) or type(error).__name__) from error

    def _table(self, answer: Any, instrument: Instrument, interval_s: int, start_ns: int, end_ns: int) -> BarTable:
        result = _result(answer)
        times, quote, zone = result.get("timestamp") or [], _quote(result), int(result["meta"].get("gmtoffset", 0))
        rows: list[Row] = []
        for number, seconds in enumerate(times):
            values = [quote[name][number] for name in _PRICES]
            # A day on which nothing was traded has no prices.
            if None in values:
                continue
            opened, closed = self._span(instrument.mic, int(seconds), interval_s, zone)
            # The bar that is forming is not one of the past.
            if start_ns <= opened < end_ns and closed <= end_ns:
                prices = [fixed(value, instrument.price_digits) for value in values]
                rows.append(checked_row((opened, closed), _spanned(prices), fixed(quote["volume"][number] or 0, instrument.size_digits)))
        return table_of(instrument, interval_s, rows, tick_batch_pb2.SOURCE_KIND_LIVE)

    def _span(self, mic: str, seconds: int, interval_s: int, gmt_offset_s: int) -> tuple[int, int]:
        if interval_s != _DAY_S:
            opened = seconds // interval_s * interval_s * _NS
            return opened, opened + interval_s * _NS
        day: date = (datetime.fromtimestamp(seconds, UTC) + timedelta(seconds=gmt_offset_s)).date()
        session = self._sessions.session_on(mic, day)
        if session is None:
            raise SourceFailed(f"{day} is not a session of {mic}")
        return session


def ticker_of(symbol: str) -> str:
    """Yahoo's name of a symbol. Raises SourceFailed for a market that is not in the table."""
    ticker, _, mic = symbol.rpartition(".")
    if mic not in _SUFFIXES:
        raise SourceFailed(f"the market {mic} has no name there that we know; known are {', '.join(sorted(_SUFFIXES))}")
    return f"{ticker}{_SUFFIXES[mic]}"


def _spanned(prices: list[int]) -> list[int]:
    """Rounded one by one, a close may lie outside of high and low by one unit."""
    opened, high, low, close = prices
    return [
        opened,
        max(high, opened, close) if max(opened, close) - high <= 1 else high,
        min(low, opened, close) if low - min(opened, close) <= 1 else low,
        close,
    ]


def _parsed(body: bytes, status: int) -> Any:
    import orjson

    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise SourceFailed(f"its answer ({status}) is not JSON: {body[:80]!r}") from error


def _result(answer: Any) -> Any:
    chart = answer.get("chart") if isinstance(answer, dict) else None
    if not isinstance(chart, dict):
        raise SourceFailed("its answer holds no chart")
    if (error := chart.get("error")) is not None:
        raise SourceFailed(f"it says: {error.get('description') or error.get('code')}")
    results = chart.get("result") or []
    if len(results) != 1 or "meta" not in results[0]:
        raise SourceFailed("its answer holds no result")
    return results[0]


def _quote(result: Any) -> Any:
    quote = ((result.get("indicators") or {}).get("quote") or [{}])[0]
    count = len(result.get("timestamp") or [])
    if any(len(quote.get(name) or []) != count for name in (*_PRICES, "volume")):
        raise SourceFailed("its answer has prices of another length than times")
    return quote


def _retry_after(response: aiohttp.ClientResponse) -> float:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 30.0
