"""Many small records at once: who reads a topic from its beginning would spend nearly all its time on the fixed cost of each record.

Protobuf merges messages by appending their repeated fields, so a row count after each merge is all that is needed to tell the records apart again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError, Message
from signalbox.events.v1.analysis_batch_pb2 import IndicatorBatch
from signalbox.events.v1.bar_batch_pb2 import BarBatch

from services.runtime.columns import BarColumns, IndexColumn, IndicatorColumns, InstrumentRef, check_bars, check_indicators, checked_ref
from services.runtime.errors import BadRecord

_BAR_INDEXES = ("instrument", "interval", "revision")
_BAR_INTS = ("ts_open", "ts_close", "open", "high", "low", "close", "volume", "vwap", "trade_count", "replay_shift")
_BAR_COLUMNS = (*_BAR_INDEXES, *_BAR_INTS, "source_kind")
_INDICATOR_INDEXES = ("symbol", "interval", "revision")
_INDICATOR_INTS = ("ts_open", "origin", "replay_shift")
_INDICATOR_COLUMNS = (*_INDICATOR_INDEXES, *_INDICATOR_INTS, "source_kind")


def decode_many_bars(records: Sequence[bytes]) -> BarColumns:
    """The rows of all records, in order, as one: final bars only. Raises BadRecord when any of them cannot be used; decode them one by one then."""
    batch = BarBatch()
    lengths, tables = _merge(batch, records, "instruments", _BAR_COLUMNS)
    if len(batch.ts_recv):
        raise BadRecord("ts_recv: expected none in final bars")
    refs = [InstrumentRef(each.symbol, each.price_digits, each.size_digits) for each in batch.instruments]
    place: dict[InstrumentRef, int] = {}
    renamed = np.array([place.setdefault(ref, len(place)) for ref in refs], np.uint32)
    columns = _columns(batch, _BAR_INDEXES, _BAR_INTS)
    columns["instrument"] = _reindexed(columns["instrument"], lengths, tables, renamed)
    bars = BarColumns(tuple(map(checked_ref, place)), **columns, ts_recv=np.zeros(0, np.int64))
    check_bars(bars)
    return bars


def decode_many_indicators(records: Sequence[bytes]) -> IndicatorColumns:
    """The rows of all records, in order, as one. Raises BadRecord when any cannot be used or names differ; decode them one by one then."""
    batch = IndicatorBatch()
    lengths, tables = _merge(batch, records, "symbols", _INDICATOR_COLUMNS)
    width, odd = divmod(len(batch.names), max(1, len(records)))
    names = tuple(batch.names[:width])
    if odd or list(batch.names) != list(names) * len(records):
        raise BadRecord("names: expected the same in all records")
    place: dict[str, int] = {}
    renamed = np.array([place.setdefault(symbol, len(place)) for symbol in batch.symbols], np.uint32)
    columns = _columns(batch, _INDICATOR_INDEXES, _INDICATOR_INTS)
    columns["symbol"] = _reindexed(columns["symbol"], lengths, tables, renamed)
    values = np.array(batch.values, np.float64)
    if len(values) != len(columns["symbol"]) * width:
        raise BadRecord(f"values: expected {len(columns['symbol'])} rows of {width} names, was {len(values)} values")
    indicators = IndicatorColumns(tuple(place), names, **columns, values=values.reshape(-1, width))
    check_indicators(indicators)
    return indicators


def _merge(batch: Any, records: Sequence[bytes], table: str, columns: Sequence[str]) -> tuple[list[int], list[int]]:
    """Number of rows, and of the table's entries, of each record."""
    lengths, tables = [0], [0]
    for record in records:
        try:
            batch.MergeFromString(record)
        except DecodeError as error:
            raise BadRecord(f"not a {batch.DESCRIPTOR.full_name}: {error}") from error
        rows = {len(getattr(batch, name)) for name in columns}
        if len(rows) != 1:
            raise BadRecord("expected columns of equal length")
        lengths.append(rows.pop())
        tables.append(len(getattr(batch, table)))
    return np.diff(lengths).tolist(), tables


def _columns(batch: Message, indexes: Sequence[str], ints: Sequence[str]) -> dict[str, Any]:
    small = {name: np.array(getattr(batch, name), np.uint32) for name in indexes}
    large = {name: np.array(getattr(batch, name), np.int64) for name in ints}
    return small | large | {"source_kind": np.array(batch.source_kind, np.int32)}  # type: ignore[attr-defined]


def _reindexed(index: IndexColumn, lengths: list[int], tables: list[int], renamed: IndexColumn) -> IndexColumn:
    """Indexes into each record's own table as indexes into the common one. Raises BadRecord for an index outside its record's table."""
    entries = np.diff(tables)
    if np.any(index >= np.repeat(entries, lengths)):
        raise BadRecord("expected indexes within the record's table")
    return renamed[index + np.repeat(np.array(tables[:-1], np.uint32), lengths)]
