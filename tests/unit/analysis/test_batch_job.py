"""The kind `analysis.batch` without servers: what is in its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from signalbox.analysis.v1 import batch_job_pb2 as pb
from signalbox.market.v1 import market_pb2

from services.analysis.compute import analyse
from services.analysis.domain import History, Query
from services.analysis.indicators.registry import NAMES
from services.analysis.jobs.batch import BatchCancelled, analyse_many, interval_of
from services.runtime.errors import InvalidArgument, NotFound, Unavailable
from services.runtime.jobs import Job, JobState, Priority

DAY = 86_400 * 10**9


def history(seed: int, bars: int) -> History:
    dice = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(dice.normal(0, 0.02, bars)))
    high, low = close * 1.01, close * 0.99
    opens = np.arange(bars, dtype=np.int64) * DAY
    return History(opens, opens + DAY // 3, close, high, low, close, np.full(bars, 10.0), np.full(bars, 2, np.int32))


@dataclass
class Bars:
    """BarSource of given series."""

    series: Mapping[str, History]
    away: str = ""

    async def bars(self, symbol: str, interval_s: int, start_ns: int | None) -> tuple[History, int]:
        if symbol == self.away:
            raise Unavailable("prices", "gone")
        if symbol not in self.series:
            raise NotFound("bars", f"{symbol} 1d")
        return self.series[symbol], 0


@dataclass
class Context:
    """JobContext that notes what it is told; cancelled after so many progresses."""

    end_after: int = 1 << 30
    told: list[tuple[float, float]] = field(default_factory=list)
    job: Job = field(default_factory=lambda: Job("job-1", "analysis.batch", JobState.RUNNING, Priority.NORMAL, b"", 0))

    @property
    def cancelled(self) -> bool:
        return len(self.told) >= self.end_after

    def progress(self, done: float, total: float = 0.0, unit: str = "", message: str = "") -> None:
        self.told.append((done, total))


SERIES = {"AAPL.XNAS": history(1, 300), "IBM.XNYS": history(2, 260), "NEW.XNAS": history(3, 4)}


async def test_the_tables_hold_what_the_engine_computes(tmp_path: Path) -> None:
    context = Context()
    symbols = sorted([*SERIES, "NOBODY.XNAS"])
    result = await analyse_many(pb.AnalyzeManyRequest(), symbols, Bars(SERIES), context, tmp_path)
    assert (result.symbols, result.rows) == (3, 564)
    assert [(failure.symbol, failure.reason) for failure in result.failures] == [("NOBODY.XNAS", "bars not found: NOBODY.XNAS 1d")]
    table = pq.read_table(tmp_path / result.table).to_pandas()
    signals = pq.read_table(tmp_path / result.signals_table).to_pandas()
    expected: list[str] = []
    for symbol, bars in SERIES.items():
        analysis = analyse(Query(symbol, 86_400, None, None, 1 << 62, NAMES, None), bars)
        mine = table[table["symbol"] == symbol]
        assert mine["ts_open"].astype("int64").to_numpy().tolist() == bars.ts_open.tolist()
        np.testing.assert_array_equal(mine[list(NAMES)].to_numpy(), analysis.step.values)
        found = analysis.step.signals()
        expected += [signal.rule.type for signal in found]
        assert signals[signals["symbol"] == symbol]["type"].tolist() == [signal.rule.type for signal in found]
    assert {result.signals, len(signals)} == {len(expected)}
    assert context.told[0] == (0.0, 4.0)
    assert [done for done, _total in context.told] == [0, 1, 2, 3, 4]


async def test_a_range_cuts_rows_and_computing_begins_at_the_origin_all_the_same(tmp_path: Path) -> None:
    request = pb.AnalyzeManyRequest()
    request.start.FromNanoseconds(250 * DAY)
    request.end.FromNanoseconds(255 * DAY)
    result = await analyse_many(request, ["AAPL.XNAS"], Bars(SERIES), Context(), tmp_path)
    table = pq.read_table(tmp_path / result.table)
    assert table.num_rows == result.rows == 5
    whole = analyse(Query("AAPL.XNAS", 86_400, None, None, 1 << 62, NAMES, None), SERIES["AAPL.XNAS"]).step.values
    assert table["sma_200"].to_pylist() == whole[250:255, NAMES.index("sma_200")].tolist()


async def test_the_same_request_writes_the_same_bytes_and_replaces_what_was_there(tmp_path: Path) -> None:
    written = []
    for _ in range(2):
        result = await analyse_many(pb.AnalyzeManyRequest(), sorted(SERIES), Bars(SERIES), Context(), tmp_path)
        written.append(((tmp_path / result.table).read_bytes(), (tmp_path / result.signals_table).read_bytes()))
    assert written[0] == written[1]


async def test_a_cancelled_or_failed_batch_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(BatchCancelled, match="1 of 3"):
        await analyse_many(pb.AnalyzeManyRequest(), sorted(SERIES), Bars(SERIES), Context(end_after=2), tmp_path)
    with pytest.raises(Unavailable):
        await analyse_many(pb.AnalyzeManyRequest(), sorted(SERIES), Bars(SERIES, away="IBM.XNYS"), Context(), tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_intervals_without_indicators_are_refused() -> None:
    assert interval_of(market_pb2.INTERVAL_UNSPECIFIED) == 86_400
    with pytest.raises(InvalidArgument, match="INTERVAL_5M"):
        interval_of(market_pb2.INTERVAL_5M)
