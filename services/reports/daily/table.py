"""The figures of the symbols as Parquet: one row for each symbol that has figures.

The bytes are a function of the figures and of pyarrow's version: no times, no names of machines, one row group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from services.reports.daily.model import DailyReportModel, SymbolReport
from services.reports.daily.recorded import INDICATORS

Cell = str | int | float | bool | None

_TIME = pa.timestamp("ns", tz="UTC")

#: Column, its type, and the figure. Changes (`change`, distances, `gap`) are fractions.
COLUMNS: tuple[tuple[str, pa.DataType, Callable[[SymbolReport], Cell]], ...] = (
    ("symbol", pa.string(), lambda item: item.symbol),
    ("state", pa.string(), lambda item: item.state.value),
    ("source", pa.string(), lambda item: item.source),
    ("date", pa.string(), lambda item: item.last.date),
    ("ts_open", _TIME, lambda item: item.last.ts_open),
    ("ts_close", _TIME, lambda item: item.last.ts_close),
    ("open", pa.float64(), lambda item: item.last.open),
    ("high", pa.float64(), lambda item: item.last.high),
    ("low", pa.float64(), lambda item: item.last.low),
    ("close", pa.float64(), lambda item: item.last.close),
    ("volume", pa.float64(), lambda item: item.last.volume),
    ("previous_date", pa.string(), lambda item: item.previous.date if item.previous else None),
    ("previous_open", pa.float64(), lambda item: item.previous.open if item.previous else None),
    ("previous_high", pa.float64(), lambda item: item.previous.high if item.previous else None),
    ("previous_low", pa.float64(), lambda item: item.previous.low if item.previous else None),
    ("previous_close", pa.float64(), lambda item: item.previous.close if item.previous else None),
    ("previous_volume", pa.float64(), lambda item: item.previous.volume if item.previous else None),
    ("change", pa.float64(), lambda item: item.change),
    ("gap", pa.float64(), lambda item: item.gap),
    ("high_52w", pa.float64(), lambda item: item.extremes.high_52w.price),
    ("high_52w_date", pa.string(), lambda item: item.extremes.high_52w.date),
    ("from_high_52w", pa.float64(), lambda item: item.extremes.high_52w.distance),
    ("low_52w", pa.float64(), lambda item: item.extremes.low_52w.price),
    ("low_52w_date", pa.string(), lambda item: item.extremes.low_52w.date),
    ("from_low_52w", pa.float64(), lambda item: item.extremes.low_52w.distance),
    ("weeks_52_complete", pa.bool_(), lambda item: item.extremes.weeks_52_complete),
    ("high_ever", pa.float64(), lambda item: item.extremes.high_ever.price),
    ("high_ever_date", pa.string(), lambda item: item.extremes.high_ever.date),
    ("from_high_ever", pa.float64(), lambda item: item.extremes.high_ever.distance),
    ("extremes_since", pa.string(), lambda item: item.extremes.since),
    ("volume_average_20", pa.float64(), lambda item: item.volume_average_20),
    ("volume_ratio", pa.float64(), lambda item: item.volume_ratio),
    ("atr_fraction", pa.float64(), lambda item: item.atr_fraction),
    ("bars", pa.int64(), lambda item: item.bars),
    ("suspected_splits", pa.int64(), lambda item: len(item.splits)),
    ("signals", pa.int64(), lambda item: len(item.signals)),
    ("news", pa.int64(), lambda item: len(item.news)),
)


def figures_table(model: DailyReportModel) -> pa.Table:
    """The rows, by symbol."""
    columns: dict[str, pa.Array] = {name: pa.array([figure(item) for item in model.symbols], kind) for name, kind, figure in COLUMNS}
    for name in INDICATORS:
        columns[name] = pa.array([item.indicators[name] for item in model.symbols], pa.float64())
    return pa.table(columns).replace_schema_metadata(_metadata(model))


def _metadata(model: DailyReportModel) -> Mapping[str, str]:
    meta = model.meta
    return {"signalbox.report": meta.id, "signalbox.date": meta.date, "signalbox.version": meta.version, "signalbox.input_sha256": meta.input_sha256}


def figures_parquet(model: DailyReportModel) -> bytes:
    """The file."""
    sink = pa.BufferOutputStream()
    table = figures_table(model)
    pq.write_table(table, sink, compression="zstd", row_group_size=max(1, table.num_rows), use_dictionary=False, store_schema=True)
    return bytes(sink.getvalue())
