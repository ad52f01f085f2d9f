"""Ticks into bars, for one partition: decode, engine, encode."""

from __future__ import annotations

import time

import numpy as np
from signalbox.events.v1.bar_batch_pb2 import Snapshot
from signalbox.events.v1.tick_batch_pb2 import Instrument, LateReason

from services.prices import worker_metrics as metrics
from services.prices.bar_links import BarLinks
from services.prices.bar_wire import MAX_ROWS, BarWriter, slices
from services.prices.bars import STATE_VERSION, BarEngine, LastTrade, Taken
from services.prices.bars import warm_up as warm_up_engine
from services.prices.engine.layout import Records
from services.prices.sessions import SessionTable
from services.runtime import topics
from services.runtime.columns import INTERVALS, InstrumentRef, LateColumns, TickColumns, encode_late, encode_ticks
from services.runtime.errors import BadRecord
from services.runtime.headers import check_schema, record_headers
from services.runtime.partitions import partition_of
from services.runtime.stream.records import InputRecord, Output, derived_headers
from services.runtime.stream.state import Frozen
from services.runtime.telemetry import recorded_span
from services.runtime.wire_codec import TickReader

#: Each snapshot is a record of its own, so a partition writes at most 125 a second: with hundreds of busy symbols they would be a fifth of
#: the worker's time.
_NS_PER_SNAPSHOT = 8_000_000

_SCHEMA = topics.TICKS.message.encode()
#: Looked up once: finding a labelled counter takes longer than counting.
_BARS_BY_INTERVAL = tuple(metrics.BARS.labels(str(interval)) for interval in INTERVALS)


class PricesProcessor:
    """Implements the stream harness's Processor with a BarEngine."""

    state_version = STATE_VERSION

    def __init__(self, partition: int, partitions: int, sessions: SessionTable, lateness_ns: int, snapshot_interval_ns: int) -> None:
        """partitions: of the market's topics. lateness_ns: as in BarEngine. snapshot_interval_ns: least time between two snapshots of a symbol."""
        self._partition = partition
        self._partitions = partitions
        self._engine = BarEngine(sessions, lateness_ns)
        self._snapshot_interval_ns = snapshot_interval_ns
        self._snapshot_pause_ns = snapshot_interval_ns
        self._snapshots_at_ns = 0
        self._placed: set[str] = set()
        self._last: InputRecord | None = None
        self._links = BarLinks()
        self._ticks = TickReader()
        self._bars = BarWriter(self._engine)

    def restore(self, state: bytes) -> None:
        """Take over the bytes of a frozen state."""
        self._engine.restore(state)

    def begin_behind_cut(self, end: int) -> None:
        """As Processor says: bars that may lack ticks are left out."""
        self._engine.cut.begin(end)

    def freeze(self) -> Frozen:
        """The whole state."""
        return self._engine.freeze()

    def process(self, record: InputRecord) -> list[Output]:
        """Final bars and late ticks that a batch of ticks leads to. Raises BadRecord, with nothing changed, for a record that cannot be used."""
        ticks = self._decode(record)
        begin = time.perf_counter()
        taken = self._engine.take(ticks)
        metrics.ENGINE_SECONDS.inc(time.perf_counter() - begin)
        taken = taken._replace(closed=self._whole(record.offset, ticks, taken.closed))
        self._last = record
        if recorded_span() is not None:
            self._links.note(ticks, self._engine.columns(taken.closed))
        outputs = self._final_bars(record, taken)
        self._count(ticks, taken)
        for part, late in enumerate(part for batch in taken.late for part in _late_parts(batch)):
            outputs.append(self._output(topics.LATE, encode_late(late), derived_headers(record, topics.LATE.message, str(part) if part else "")))
        return outputs

    def live(self, now_ns: int) -> list[Output]:
        """Forming bars that changed and, not as often, snapshots. now_ns: UTC."""
        outputs = []
        bars = self._engine.cut.whole(self._engine.form(), self._engine.instruments)
        if len(bars):
            for part, value in enumerate(self._bars.write(bars, live=True).values):
                outputs.append(self._output(topics.LIVE_BARS, value, self._live_headers(topics.LIVE_BARS.message, f"{now_ns}/{part}")))
        if abs(now_ns - self._snapshots_at_ns) >= self._snapshot_pause_ns:
            self._snapshots_at_ns = now_ns
            snapshots = [self._snapshot_output(trade, now_ns) for trade in self._engine.changed_trades()]
            self._snapshot_pause_ns = max(self._snapshot_interval_ns, len(snapshots) * _NS_PER_SNAPSHOT)
            outputs += snapshots
            metrics.PENDING_ROWS.labels(str(self._partition)).set(self._engine.pending_rows)
        return outputs

    def _whole(self, offset: int, ticks: TickColumns, closed: Records) -> Records:
        """Those of the closed bars that lack no tick."""
        engine = self._engine
        for symbol in engine.cut.unseen(offset, ticks.source, ticks.instruments):
            engine.cut.note(ticks.source, symbol, *engine.reach(ticks.source, symbol, ticks.source_ended))
        whole = engine.cut.whole(closed, engine.instruments)
        if len(whole) < len(closed):
            metrics.INCOMPLETE.inc(len(closed) - len(whole))
        return whole

    def _final_bars(self, record: InputRecord, taken: Taken) -> list[Output]:
        if not len(taken.closed):
            return []
        values, by_interval = self._bars.write(taken.closed, live=False)
        for counter, rows in zip(_BARS_BY_INTERVAL, by_interval, strict=True):
            if rows:
                counter.inc(rows)
        return [self._output(topics.BARS, value, derived_headers(record, topics.BARS.message, str(part) if part else "")) for part, value in enumerate(values)]

    def _decode(self, record: InputRecord) -> TickColumns:
        check_schema(record.headers, _SCHEMA)
        ticks = self._ticks.decode(record.value)
        for ref in ticks.instruments:
            if ref.symbol not in self._placed:
                self._check_place(ref.symbol)
        return ticks

    def _check_place(self, symbol: str) -> None:
        expected = partition_of(symbol, self._partitions)
        if expected != self._partition:
            raise BadRecord(f"partition: {symbol} belongs to {expected} of {self._partitions}, was in {self._partition}")
        self._placed.add(symbol)

    def _output(self, topic: topics.Topic, value: bytes, headers: list[tuple[str, bytes]], key: bytes | None = None) -> Output:
        return Output(topic.name, self._partition, key, value, headers)

    def _snapshot_output(self, trade: LastTrade, now_ns: int) -> Output:
        symbol, price_digits, size_digits = trade.instrument
        snapshot = Snapshot(
            instrument=Instrument(symbol=symbol, price_digits=price_digits, size_digits=size_digits),
            price=trade.price,
            size=trade.size,
            ts_event=trade.ts_event,
            ts_recv=trade.ts_recv,
            source_kind=trade.source_kind,  # type: ignore[arg-type]
            replay_shift=trade.replay_shift,
            watermark=trade.watermark,
        )
        headers = self._live_headers(topics.SNAPSHOTS.message, f"{symbol}/{now_ns}")
        return self._output(topics.SNAPSHOTS, snapshot.SerializeToString(), headers, symbol.encode())

    def _live_headers(self, schema: str, part: str) -> list[tuple[str, bytes]]:
        """Those of the last record; after a restart there is none yet."""
        if self._last is None:
            return record_headers(schema, f"{topics.TICKS.name}/{self._partition}/restored/{part}")
        return derived_headers(self._last, schema, part)

    def _count(self, ticks: TickColumns, taken: Taken) -> None:
        metrics.TICKS.inc(len(ticks))
        if taken.duplicates:
            metrics.DUPLICATES.inc(taken.duplicates)
        for late in taken.late:
            for reason, rows in enumerate(np.bincount(late.reason).tolist()):
                if rows:
                    metrics.LATE.labels(LateReason.Name(reason)).inc(rows)


def _late_parts(late: LateColumns) -> list[LateColumns]:
    return [late] if len(late.ticks) <= MAX_ROWS else [LateColumns(late.ticks.take(rows), late.reason[rows]) for rows in slices(len(late.ticks))]


def warm_up() -> None:
    """Compile, or load from numba's cache, all that a worker runs: seconds the first time. Nothing is counted."""
    warm_up_engine()
    engine, one = BarEngine(SessionTable.utc_only(), 0), np.ones(1, np.int64)
    ref = InstrumentRef("WARM.XSIM", 0, 0)
    tick = TickColumns("warm-up", 3, (ref,), np.zeros(1, np.uint32), one, one, one, one, one, watermark=2_000_000_000)
    bars = engine.take(TickReader().decode(encode_ticks(tick))).closed
    BarWriter(engine).write(bars, live=False)
