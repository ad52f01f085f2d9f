"""The two tables of a batch as Parquet files: values, one row for each symbol and bar, and signals. Written symbol by symbol, so memory does not grow."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from services.analysis.domain import Analysis
from services.analysis.indicators.registry import NAMES
from services.runtime.logging import get_logger

_log = get_logger("analysis-tables")

VALUES, SIGNALS = "values.parquet", "signals.parquet"

_TIME = pa.timestamp("ns", tz="UTC")
VALUES_SCHEMA = pa.schema(
    [("symbol", pa.string()), ("ts_open", _TIME), ("ts_close", _TIME), ("close", pa.float64()), *((name, pa.float64()) for name in NAMES)]
)
"""A value that does not exist yet, as an indicator warms up, is null."""
SIGNALS_SCHEMA = pa.schema(
    [
        ("symbol", pa.string()),
        ("ts_open", _TIME),
        ("ts_close", _TIME),
        ("type", pa.string()),
        ("direction", pa.string()),
        ("price", pa.float64()),
        ("strength", pa.float64()),
    ]
)


class BatchTables:
    """Writes into a folder beside `folder` and puts it in place at the end: whoever looks sees all of it or nothing.

    A context manager; an error leaves nothing. Raises OSError when tables of an earlier attempt cannot be removed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._staging = folder, folder.with_name(f".{folder.name}.part")
        self.rows = self.signals = 0

    def __enter__(self) -> BatchTables:
        # From an attempt that was ended.
        _remove(self._staging)
        self._staging.mkdir(parents=True)
        self._values = pq.ParquetWriter(self._staging / VALUES, VALUES_SCHEMA, compression="zstd")
        self._signals = pq.ParquetWriter(self._staging / SIGNALS, SIGNALS_SCHEMA, compression="zstd")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._values.close()
        self._signals.close()
        if error is not None:
            self._give_up()
            return
        # The same job again, after its result was lost: the same tables.
        _remove(self._folder)
        self._staging.rename(self._folder)

    def _give_up(self) -> None:
        try:
            _remove(self._staging)
        except OSError as error:
            # The error that ended the job is the one to raise; the next attempt begins with removing this again.
            _log.warning("unfinished tables cannot be removed", path=str(self._staging), error=str(error))

    def add(self, analysis: Analysis) -> None:
        """The rows of one symbol."""
        self._values.write_table(_values(analysis))
        signals = _signals(analysis)
        self._signals.write_table(signals)
        self.rows += analysis.stop - analysis.start
        self.signals += signals.num_rows


def _remove(folder: Path) -> None:
    """Nothing there is fine. Raises OSError when something stays."""
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _values(analysis: Analysis) -> pa.Table:
    part = slice(analysis.start, analysis.stop)
    history, values = analysis.history, analysis.step.values[part]
    columns: list[Any] = [
        _symbols(analysis, analysis.stop - analysis.start),
        _times(history.ts_open[part]),
        _times(history.ts_close[part]),
        history.close[part],
    ]
    columns += [pa.array(values[:, number], from_pandas=True) for number in range(len(NAMES))]
    return pa.Table.from_arrays([pa.array(column) if isinstance(column, np.ndarray) else column for column in columns], schema=VALUES_SCHEMA)


def _signals(analysis: Analysis) -> pa.Table:
    found = analysis.step.signals(analysis.start, analysis.stop)
    rows = np.array([signal.row for signal in found], np.int64)
    history = analysis.history
    columns = [
        _symbols(analysis, len(found)),
        _times(history.ts_open[rows]),
        _times(history.ts_close[rows]),
        _texts([signal.rule.type for signal in found]),
        _texts(["up" if signal.rule.direction > 0 else "down" for signal in found]),
        pa.array(history.close[rows]),
        pa.array([signal.strength for signal in found], pa.float64()),
    ]
    return pa.Table.from_arrays(columns, schema=SIGNALS_SCHEMA)


def _symbols(analysis: Analysis, count: int) -> pa.Array:
    return _texts([analysis.query.symbol] * count)


def _texts(texts: Sequence[str]) -> pa.Array:
    return pa.array(texts, pa.string())


def _times(ns: np.ndarray[Any, np.dtype[np.int64]]) -> pa.Array:
    return pa.array(ns, pa.int64()).cast(_TIME)
