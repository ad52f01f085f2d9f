"""Source `file`: bars of a CSV or Parquet file with a header.

Columns, upper or lower case: one of ts_ms, ts_ns (numbers of UTC milliseconds, nanoseconds), timestamp, datetime, date (ISO 8601; without an offset UTC);
open, high, low, close, volume; and symbol, unless the request names exactly one. Of daily bars the date is the session's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from signalbox.events.v1 import tick_batch_pb2

from services.prices.instruments import instrument_of
from services.prices.jobs.table import BarTable, Row, SourceFailed, checked_row, fixed, table_of
from services.prices.sessions import SessionTable
from services.runtime.errors import InvalidArgument, SignalboxError

_NS = 10**9
_DAY_S = 86_400
_PRICES = ("open", "high", "low", "close")
#: A file of this many rows fits into the job's memory several times.
_MAX_ROWS = 5_000_000


def _iso(value: Any) -> int:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000) * 1_000


_TIMES: Mapping[str, Callable[[Any], int]] = {"ts_ms": lambda value: int(value) * 1_000_000, "ts_ns": int, "timestamp": _iso, "datetime": _iso, "date": _iso}


class BarFile:
    """A file that was read. Raises InvalidArgument."""

    def __init__(self, path: Path, asked: Sequence[str], sessions: SessionTable) -> None:
        self._sessions = sessions
        self._table = _read(path)
        columns = self._table.column_names
        self._time = next((name for name in _TIMES if name in columns), None) or _refuse(path, f"one of the columns {', '.join(_TIMES)}")
        if missing := [name for name in (*_PRICES, "volume") if name not in columns]:
            _refuse(path, f"the columns {', '.join(missing)} too")
        if "symbol" not in columns and len(asked) != 1:
            _refuse(path, "a column symbol, or exactly one symbol in the request")
        self._single = None if "symbol" in columns else asked[0]

    def symbols(self) -> Sequence[str]:
        """Those of the file."""
        return [self._single] if self._single else sorted({str(symbol) for symbol in self._table["symbol"].unique().to_pylist()})

    async def bars(self, symbol: str, interval_s: int, start_ns: int, end_ns: int, stored_until_ns: int) -> BarTable:
        """As HistorySource says."""
        return await asyncio.to_thread(self._bars, symbol, interval_s, start_ns, end_ns)

    def _bars(self, symbol: str, interval_s: int, start_ns: int, end_ns: int) -> BarTable:
        try:
            instrument = instrument_of(symbol)
        except SignalboxError as error:
            raise SourceFailed(str(error)) from error
        table = self._table if self._single else self._table.filter(pa.compute.equal(self._table["symbol"], symbol))
        if table.num_rows == 0:
            raise SourceFailed("the file has no bar of it")
        rows: list[Row] = []
        for line in table.select([self._time, *_PRICES, "volume"]).to_pylist():
            times = self._session(instrument.mic, line[self._time], interval_s)
            if start_ns <= times[0] < end_ns:
                prices = [fixed(line[name], instrument.price_digits) for name in _PRICES]
                rows.append(checked_row(times, prices, fixed(line["volume"], instrument.size_digits)))
        return table_of(instrument, interval_s, rows, tick_batch_pb2.SOURCE_KIND_REPLAY)

    def _session(self, mic: str, value: Any, interval_s: int) -> tuple[int, int]:
        try:
            opened = _TIMES[self._time](value)
        except (TypeError, ValueError, OverflowError) as error:
            raise SourceFailed(f"{self._time}: expected a time, was {value!r}") from error
        if interval_s != _DAY_S:
            if opened % (interval_s * _NS):
                raise SourceFailed(f"{self._time}: expected a multiple of {interval_s} s, was {value!r}")
            return opened, opened + interval_s * _NS
        day: date = datetime.fromtimestamp(opened // _NS, UTC).date()
        session = self._sessions.session_on(mic, day)
        if session is None:
            raise SourceFailed(f"{day} is not a session of {mic}")
        return session


def _read(path: Path) -> pa.Table:
    try:
        table = pa.parquet.read_table(path) if path.suffix == ".parquet" else _read_csv(path)
    except (OSError, pa.ArrowException) as error:
        raise InvalidArgument("path", str(path), f"a CSV or Parquet file with a header ({error})") from error
    if table.num_rows > _MAX_ROWS:
        raise InvalidArgument("path", str(path), f"at most {_MAX_ROWS:,} rows, it has {table.num_rows:,}; split it")
    return table.rename_columns([name.strip().lower() for name in table.column_names])


def _read_csv(path: Path) -> pa.Table:
    # Texts stay texts: prices are read digit by digit, not through floats. Gzip is seen by the name.
    with pa.input_stream(str(path), compression="detect") as stream:
        head = pa.csv.open_csv(stream).schema.names
    with pa.input_stream(str(path), compression="detect") as stream:
        return pa.csv.read_csv(stream, convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(head, pa.string())))


def _refuse(path: Path, expected: str) -> Any:
    raise InvalidArgument("path", str(path), expected)
