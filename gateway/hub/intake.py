"""Rows into histories, and what is new to the subscribers."""

from collections.abc import Iterable
from typing import cast

from gateway.hub.blocks import MOST_ROWS, Block
from gateway.hub.history import BarHistory, History, IndicatorHistory, SignalHistory, TickHistory
from gateway.hub.hub import Hub, Series
from gateway.hub.rates import Rate
from gateway.hub.rows import BarRow, TickRow
from gateway.hub.series import Channel, SeriesKey
from gateway.hub.updates import Update
from gateway.metrics import DELIVERY_SECONDS, DUPLICATES, ROWS
from services.runtime.clock import Clock


class Intake:
    """Takes blocks over into the hub; used from the hub's thread.

    rows: kept of each series of final bars, indicators and signals. ticks: kept of each symbol. Both at least MOST_ROWS: new rows are read from there.
    """

    def __init__(self, hub: Hub, clock: Clock, *, rows: int = 2_000, ticks: int = 500) -> None:
        if min(rows, ticks) < MOST_ROWS:
            raise ValueError(f"rows, ticks: expected >= {MOST_ROWS}, was {rows} and {ticks}")
        self._hub = hub
        self._deliveries = hub.deliveries
        self._clock = clock
        self._rows, self._ticks = rows, ticks
        self.tick_rate = Rate(clock)
        """Ticks a second, all sources."""
        self.is_live = False
        """What comes is new, so that the time it took says something."""

    def take(self, block: Block) -> None:
        """One block. Rows whose identity was seen before are left out."""
        series = self._hub.series(block.key)
        ROWS.labels(block.key.channel.key).inc(len(block.ints))
        match block.key.channel:
            case Channel.TICKS:
                self._take_ticks(series, block)
            case Channel.BARS:
                self._take_bars(series, block)
            case Channel.LIVE_BARS:
                self._take_live_bars(series, block)
            case Channel.INDICATORS:
                self._take_indicators(series, block)
            case Channel.SIGNALS:
                self._take_signals(series, block)

    def _take_ticks(self, series: Series, block: Block) -> None:
        history = cast(TickHistory | None, series.history) or TickHistory(self._ticks)
        series.history = history
        history.add(block.ints)
        self.tick_rate.add(len(block.ints))
        self._observe(int(block.ints[-1, TickRow._fields.index("ts_recv")]))
        self._tell(series, history, len(block.ints), block)

    def _take_bars(self, series: Series, block: Block) -> None:
        history = cast(BarHistory | None, series.history) or BarHistory(self._rows)
        series.history = history
        fresh = history.add(block.ints)
        self._end_forming(series.key, history.newest)
        self._tell(series, history, fresh, block)

    def _take_live_bars(self, series: Series, block: Block) -> None:
        newest_final = self._newest_final(series.key)
        for values in block.ints.tolist():
            row = BarRow(*values)
            # A forming bar that arrives after its final one would turn time back.
            if row.ts_open > newest_final:
                series.forming = Update(block.key, row, block.traceparent)
                self._hub.publish(series, series.forming)
                self._deliveries.note(block, 1, len(series.subscribers))
        self._observe(int(block.ints[-1, BarRow._fields.index("ts_recv")]))

    def _take_indicators(self, series: Series, block: Block) -> None:
        history = cast(IndicatorHistory | None, series.history)
        if history is None or history.names != block.names:
            series.history = history = IndicatorHistory(self._rows, block.names)
        assert block.floats is not None
        self._tell(series, history, history.add(block.ints, block.floats), block)

    def _take_signals(self, series: Series, block: Block) -> None:
        history = cast(SignalHistory | None, series.history) or SignalHistory(self._rows)
        series.history = history
        for row in block.signals:
            self._tell(series, history, int(history.add(row)), block._replace(signals=(row,)))

    def _tell(self, series: Series, history: History, fresh: int, block: Block) -> None:
        rows = len(block.signals) or len(block.ints)
        if fresh < rows:
            DUPLICATES.labels(block.key.channel.key).inc(rows - fresh)
        if series.subscribers:
            self._deliveries.note(block, fresh, len(series.subscribers))
            end = history.count()
            self._publish(series, (Update(block.key, history.row(number), block.traceparent) for number in range(end - fresh, end)))

    def _publish(self, series: Series, updates: Iterable[Update]) -> None:
        for update in updates:
            self._hub.publish(series, update)

    def _end_forming(self, key: SeriesKey, newest_final: int) -> None:
        live = self._hub.find(key._replace(channel=Channel.LIVE_BARS))
        if live is not None and live.forming is not None and live.forming.at <= newest_final:
            live.forming = None

    def _newest_final(self, key: SeriesKey) -> int:
        final = self._hub.find(key._replace(channel=Channel.BARS))
        return -1 if final is None or final.history is None else cast(BarHistory, final.history).newest

    def _observe(self, ts_recv: int) -> None:
        if ts_recv and self.is_live:
            DELIVERY_SECONDS.observe(max(0, self._clock.now_ns() - ts_recv) / 1e9)
