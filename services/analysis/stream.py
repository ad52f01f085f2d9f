"""The stream processor: final bars in, indicators and signals out, for one partition."""

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from prometheus_client import Counter

from services.analysis import metrics
from services.analysis.engine import STATE_VERSION, Bars, Engine, Step
from services.analysis.indicators.kernels import IntArray
from services.analysis.indicators.registry import NAMES
from services.analysis.intake import INTERVALS, analysed_rows, bars_for, positions_of
from services.analysis.record_pass import MAX_ROWS, Passed, RecordPass
from services.analysis.signal_wire import encode_signals
from services.analysis.signals import RULES, Signal
from services.runtime.columns import BarColumns, IndicatorColumns, InstrumentRef, decode_bars, encode_bars, encode_indicators
from services.runtime.errors import BadRecord
from services.runtime.headers import check_schema
from services.runtime.stream.records import InputRecord, Output, derived_headers
from services.runtime.stream.state import Frozen
from services.runtime.telemetry import annotate, recorded_span
from services.runtime.topics import BARS, INDICATORS, SIGNALS

_SCHEMA = BARS.message.encode()
#: Looked up once: finding a labelled counter takes longer than counting.
_BARS_TAKEN = tuple(metrics.BARS_TAKEN.labels(interval) for interval in INTERVALS)
_SIGNALS = tuple(metrics.SIGNALS.labels(rule.type) for rule in RULES)


@dataclass(frozen=True, slots=True)
class _Taken:
    """Bars of one record that the engine took, and what came of them."""

    columns: BarColumns
    rows: IntArray
    """Their rows in `columns`."""
    bars: Bars
    """As fed; `step.rows` are positions in it."""
    step: Step
    signals: tuple[Signal, ...]
    origin: IntArray
    """Open time of the first bar of each one's series, UTC ns."""


class AnalysisProcessor:
    """services.runtime.stream.records.Processor over the engine. Deterministic: outputs are a function of state and input."""

    state_version = STATE_VERSION

    def __init__(self, partition: int) -> None:
        self._engine = Engine()
        self._pass = RecordPass(self._engine)
        self._series_gauge = metrics.SERIES.labels(partition)

    def restore(self, state: bytes) -> None:
        """Raises StateMismatch for the state of another version of the engine."""
        self._engine = Engine.restore(state)
        self._pass = RecordPass(self._engine)

    def begin_behind_cut(self, end: int) -> None:
        """Nothing: a series begins with the first bar that is kept, and its origin says which."""

    def freeze(self) -> Frozen:
        """The engine's state."""
        return self._engine.freeze()

    def process(self, record: InputRecord) -> list[Output]:
        """Indicators and signals at each new final bar of an analysed interval. Raises BadRecord."""
        begin = perf_counter()
        check_schema(record.headers, _SCHEMA)
        passed = self._pass.run(record.value)
        outputs = self._plain(record) if passed is None else self._passed(record, passed)
        if outputs or passed is None or passed.fed:
            metrics.PROCESS_SECONDS.observe(perf_counter() - begin)
        return outputs

    def live(self, now_ns: int) -> list[Output]:
        """Nothing: values of forming bars are not published."""
        return []

    def _passed(self, record: InputRecord, passed: Passed) -> list[Output]:
        step = passed.step
        if step is None:
            return []
        self._count(passed.fed, step, passed.by_interval, passed.by_rule)
        if recorded_span() is not None:
            annotate({"signalbox.bars": len(step.rows), "signalbox.symbols": passed.symbols, "signalbox.signals": sum(passed.by_rule)})
        outputs = []
        if passed.indicators:
            outputs.append(Output(INDICATORS.name, record.partition, None, passed.indicators, derived_headers(record, INDICATORS.message)))
        if passed.signals is None:
            outputs += _signal_outputs(record, _Taken(_decode(record), passed.rows, passed.bars, step, step.signals(), passed.bars.series))
        elif passed.signals:
            outputs.append(Output(SIGNALS.name, record.partition, None, passed.signals, derived_headers(record, SIGNALS.message)))
        return outputs

    def _plain(self, record: InputRecord) -> list[Output]:
        columns = _decode(record)
        rows = analysed_rows(columns)
        if not len(rows):
            return []
        taken = self._feed(columns, rows)
        annotate({"signalbox.bars": len(taken.rows), "signalbox.symbols": len(columns.instruments), "signalbox.signals": len(taken.signals)})
        return [*_indicator_outputs(record, taken), *_signal_outputs(record, taken)]

    def _feed(self, columns: BarColumns, rows: IntArray) -> _Taken:
        bars = bars_for(self._engine, columns, rows)
        step = self._engine.feed(bars)
        taken = _Taken(columns, rows[step.rows], bars, step, step.signals(), self._engine.origins(bars.series[step.rows]))
        by_interval = np.bincount(positions_of(columns.interval[taken.rows])).tolist()
        self._count(len(rows), step, by_interval, np.bincount(step.crossings.rule).tolist())
        return taken

    def _count(self, fed: int, step: Step, by_interval: list[int], by_rule: list[int]) -> None:
        if repeated := fed - len(step.rows):
            metrics.BARS_REPEATED.inc(repeated)
        metrics.VALUES.inc(step.values.size)
        self._series_gauge.set(self._engine.series_count)
        _add(_BARS_TAKEN, by_interval)
        _add(_SIGNALS, by_rule)


def _add(counters: tuple[Counter, ...], counts: list[int]) -> None:
    for counter, count in zip(counters, counts, strict=False):
        if count:
            counter.inc(count)


def _decode(record: InputRecord) -> BarColumns:
    bars = decode_bars(record.value)
    if len(bars.ts_recv):
        raise BadRecord("ts_recv: expected none in final bars")
    return bars


def _parts(count: int) -> Iterator[tuple[str, slice]]:
    """Cuts of at most MAX_ROWS, each with what tells its record apart from the others ("" for the first)."""
    for number, start in enumerate(range(0, count, MAX_ROWS)):
        yield str(number) if number else "", slice(start, start + MAX_ROWS)


def _indicator_outputs(record: InputRecord, taken: _Taken) -> Iterator[Output]:
    for part, cut in _parts(len(taken.rows)):
        value = encode_indicators(_indicator_columns(taken, cut))
        yield Output(INDICATORS.name, record.partition, None, value, derived_headers(record, INDICATORS.message, part))


def _indicator_columns(taken: _Taken, cut: slice) -> IndicatorColumns:
    columns, rows = taken.columns, taken.rows[cut]
    instrument = columns.instrument[rows]
    used = np.zeros(len(columns.instruments), np.bool_)
    used[instrument] = True
    position = np.add.accumulate(used, dtype=np.uint32) - np.uint32(1)
    return IndicatorColumns(
        symbols=tuple([columns.instruments[number].symbol for number in np.flatnonzero(used).tolist()]),
        names=NAMES,
        symbol=position[instrument],
        interval=columns.interval[rows],
        ts_open=columns.ts_open[rows],
        revision=columns.revision[rows],
        source_kind=columns.source_kind[rows],
        values=taken.step.values[cut],
        origin=taken.origin[cut],
        replay_shift=columns.replay_shift[rows],
    )


def _signal_outputs(record: InputRecord, taken: _Taken) -> Iterator[Output]:
    for part, cut in _parts(len(taken.signals)):
        value = encode_signals(taken.signals[cut], taken.columns, taken.rows, taken.bars, taken.step.rows)
        yield Output(SIGNALS.name, record.partition, None, value, derived_headers(record, SIGNALS.message, part))


def warm_up() -> None:
    """Compiles what a worker runs into numba's cache beside the sources, so that no process compiles when it starts."""
    prices = np.concatenate((np.arange(100, 140), np.arange(140, 100, -1), np.arange(100, 140)))
    opens, count = np.arange(1, len(prices) + 1) * 1_000_000_000, len(prices)
    ones, none = np.ones(count, np.int64), np.zeros(count, np.uint32)
    bars = BarColumns(
        instruments=(InstrumentRef("WARM.XSIM", 0, 0),),
        instrument=none,
        interval=none + np.uint32(1),
        ts_open=opens,
        ts_close=opens + 1_000_000_000,
        **dict.fromkeys(("open", "high", "low", "close"), prices),
        **dict.fromkeys(("volume", "vwap", "trade_count"), ones),
        revision=none,
        source_kind=np.full(count, 3, np.int32),
        replay_shift=none.astype(np.int64),
        ts_recv=np.empty(0, np.int64),
    )
    passed = RecordPass(Engine()).run(encode_bars(bars))
    if passed is not None and not passed.signals:
        raise AssertionError("expected signals: without any not everything is compiled")
