"""Rows into histories, and what is new to the subscribers."""

from typing import cast

import numpy as np

from gateway.hub.blocks import MOST_ROWS, Block, Origin
from gateway.hub.events import Event
from gateway.hub.forming_rows import FormingRows
from gateway.hub.history import BarHistory, EventHistory, History, IndicatorHistory, SignalHistory
from gateway.hub.hub import Hub, Series, newest
from gateway.hub.rates import Rate
from gateway.hub.rows import BarRow, TickRow
from gateway.hub.series import ALL, INTERVAL_NAMES, NO_INTERVAL, Channel, Group, SeriesKey
from gateway.hub.tables import Table
from gateway.hub.tick_histories import TickHistories, TickHistory
from gateway.hub.updates import Update
from gateway.metrics import DELIVERY_SECONDS, DUPLICATES, ROWS
from services.runtime.clock import Clock

TICKS = Group(Channel.TICKS, NO_INTERVAL)
"""All ticks."""
_FORMING = tuple(Group(Channel.LIVE_BARS, interval) for interval in INTERVAL_NAMES)
_TICK_RECV, _BAR_RECV = (fields.index("ts_recv") for fields in (TickRow._fields, BarRow._fields))


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
        self._rows = rows
        self._ticks = TickHistories(ticks)
        self._row_counts = {channel: ROWS.labels(channel.key) for channel in Channel}
        hub.prepare = self._prepare
        self.tick_rate = Rate(clock)
        """Ticks a second, all sources."""
        self.is_live = False
        """What comes is new, so that the time it took says something."""

    def take(self, rows: Block | Table | Event) -> None:
        """What came in one record. Final rows whose identity was seen before are left out."""
        if isinstance(rows, Event):
            self._take_event(rows)
            return
        channel = rows.channel if isinstance(rows, Table) else rows.key.channel
        self._row_counts[channel].inc(len(rows.ints))
        if isinstance(rows, Table):
            (self._take_ticks if channel is Channel.TICKS else self._take_live_bars)(rows)
            return
        series = self._hub.series(rows.key)
        match channel:
            case Channel.BARS:
                self._take_bars(series, rows)
            case Channel.INDICATORS:
                self._take_indicators(series, rows)
            case Channel.SIGNALS:
                self._take_signals(series, rows)
            case _:
                raise ValueError(f"rows: expected a table of {channel.key}, was a block")

    def _prepare(self, group: Group) -> None:
        """Before a subscription: what nobody has wanted so far becomes known."""
        if group.channel is Channel.LIVE_BARS:
            for key in self._hub.forming.keys(group.interval):
                self._hub.series(key)

    def _take_ticks(self, table: Table) -> None:
        self.tick_rate.add(len(table.ints))
        self._observe(int(table.ints[-1, _TICK_RECV]))
        if self._hub.is_wanted(TICKS):
            wanted = np.array([self._hub.wanted(SeriesKey(Channel.TICKS, symbol, NO_INTERVAL)) is not None for symbol in table.symbols], np.bool_)[table.symbol]
            for block in table.take(wanted).blocks():
                series = self._tick_series(block.key.symbol)
                history = cast(TickHistory, series.history)
                history.add(block.ints)
                self._tell(series, history, len(block.ints), block)
            table = table.take(~wanted)
        for symbol in self._ticks.add(table):
            self._tick_series(symbol)

    def _tick_series(self, symbol: str) -> Series:
        series = self._hub.series(SeriesKey(Channel.TICKS, symbol, NO_INTERVAL))
        if series.history is None:
            series.history = self._ticks.of(symbol)
        return series

    def _take_live_bars(self, table: Table) -> None:
        newer = self._hub.forming.put(table)
        self._observe(int(table.ints[-1, _BAR_RECV]))
        for group in filter(self._hub.is_wanted, _FORMING):
            wanted = (table.interval == group.interval) & newer
            self._tell_forming(table.origin, FormingRows(group, table.symbols, table.symbol[wanted], table.ints[wanted], table.traceparent))

    def _tell_forming(self, origin: Origin | None, rows: FormingRows) -> None:
        """Those who want all of them get them in one piece, the others one by one."""
        everyone = self._hub.everyone(rows.group)
        series_of = self._hub.wanted_of(rows.group, rows.symbols)
        rows = rows.take(np.array([series is not None for series in series_of], np.bool_)[rows.symbol])
        if not len(rows):
            return
        for connection in everyone:
            connection.offer_forming(rows)
            self._hub.wake(connection)
        clients = max(len(series.subscribers) for series in filter(None, series_of))
        if clients > len(everyone):
            for number, update in zip(rows.symbol.tolist(), rows.updates, strict=True):
                self._hub.tell(cast(Series, series_of[number]), update, but=everyone)
        self._deliveries.note(origin, len(rows), clients)
        self._hub.count_updates(Channel.LIVE_BARS, len(rows))

    def _take_bars(self, series: Series, block: Block) -> None:
        history = cast(BarHistory | None, series.history) or BarHistory(self._rows)
        series.history = history
        fresh = history.add(block.ints)
        self._hub.forming.finish(block.key.symbol, block.key.interval, newest(series))
        self._tell(series, history, fresh, block)

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

    def _take_event(self, event: Event) -> None:
        self._row_counts[event.channel].inc()
        all_of, *named = (self._hub.series(SeriesKey(event.channel, name, NO_INTERVAL)) for name in (ALL, *event.names))
        is_new = self._event_history(all_of).add(event.row)
        for series in named:
            self._event_history(series).add(event.row)
        # A job's progress changes nothing in its history, and is told all the same.
        if not is_new and event.channel is not Channel.JOBS:
            DUPLICATES.labels(event.channel.key).inc()
        else:
            clients = self._hub.announce(all_of, named, Update(all_of.key, event.row, event.traceparent))
            self._deliveries.note(event.origin, 1, clients)

    def _event_history(self, series: Series) -> EventHistory:
        history = cast(EventHistory | None, series.history) or EventHistory(self._rows)
        series.history = history
        return history

    def _tell(self, series: Series, history: History, fresh: int, block: Block) -> None:
        rows = len(block.signals) or len(block.ints)
        if fresh < rows:
            DUPLICATES.labels(block.key.channel.key).inc(rows - fresh)
        if series.subscribers:
            self._deliveries.note(block.origin, fresh, len(series.subscribers))
            end = history.count()
            for number in range(end - fresh, end):
                self._hub.tell(series, Update(series.key, history.row(number), block.traceparent))
            self._hub.count_updates(block.key.channel, fresh)

    def _observe(self, ts_recv: int) -> None:
        if ts_recv and self.is_live:
            DELIVERY_SECONDS.observe(max(0, self._clock.now_ns() - ts_recv) / 1e9)
