"""The bar engine of one partition: ticks in, bars out, as arrays.

The rules, which tests/oracle.py states again in plain Python:

- The order of ticks is (event time, source name, seq). Rows without seq come first among equals, in the order of arrival.
- A lane is one source's rows of one symbol. Its watermark is the larger of its highest event time less the lateness bound and what the source asserted.
  A lane opens with its first row, or when its source names the symbol in an assertion; it closes when the source ends. A symbol's watermark is
  the least of its open lanes; when none is open, the largest that a lane had when it closed; and it never falls.
- A source that ends is forgotten: if it comes again, it is as one that was never there. But its rows that are pending keep their identity.
- A bar is final when the watermark reaches its end. A row is looked at in the order of arrival; when its one-second bar is final, it is late.
- A duplicate has the source, symbol, replay shift and seq (not 0) of a row that is pending; the first to arrive stays. (The shift, because a replay
  that begins again counts from one again.) A row that comes again after its bar is final is late.
- Bars of a second are folded into those of 1m, 5m, 15m, 1h (UTC) and 1d (session); no tick, no bar. A row that would overflow the volume of one
  of its bars is left out of all of them, and reported when its second is final.
- A row is out of range when its time, or the time when it happened (less the replay shift), is not from 1970 to 2199; if it is shifted, from a week
  after 1970 to a week before 2200: its session moves with it, and its daily bar must begin and end within that time.
- A bar is marked with the largest SourceKind of its rows (one that holds a synthetic tick is synthetic) and the replay shift of its first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.prices.cut_input import CutInput
from services.prices.engine.folding import advance, form
from services.prices.engine.intake import LANE_BITS, OUT_OF_RANGE, assert_watermark, free_slots, ingest
from services.prices.engine.layout import (
    BAR,
    CONTROL,
    INT64_MAX,
    INTERVAL_COUNT,
    LANE,
    LIVE,
    NONE,
    OUT,
    PENDING,
    SECOND,
    SECONDS,
    SOURCE,
    SYMBOL,
    Ints,
    Records,
    Rows,
    Sessions,
    State,
)
from services.prices.engine.output import LaidOut, bar_columns, late_ticks, lay_out
from services.prices.engine.packing import pack, pending_slots, unpack
from services.prices.instruments import MalformedSymbol, mic_of
from services.prices.sessions import SessionTable
from services.runtime.columns import BarColumns, InstrumentRef, LateColumns, TickColumns
from services.runtime.errors import BadRecord
from services.runtime.stream.state import Frozen, StateError, pack_state, unpack_state

#: Version of the bytes that `BarEngine.snapshot` makes.
STATE_VERSION = 3

#: Rows of output and slots of the pool at the start; both grow.
_ROWS = 4096
#: Sources in memory from which on it is worth looking for those of which nothing is left.
_SOURCES = 64


class Progress(NamedTuple):
    """What one batch led to. bars: final, sorted by symbol, interval, ts_open; None = none. late: rows that changed no bar."""

    bars: BarColumns | None
    late: list[LateColumns]
    duplicates: int


class Taken(NamedTuple):
    """The same, with the bars as the engine has them. closed: good until the engine is used again, for `BarEngine.laid_out`."""

    closed: Records
    late: list[LateColumns]
    duplicates: int


class LastTrade(NamedTuple):
    """The last trade of a symbol in the order of ticks, and its watermark; times UTC ns, price and size fixed point."""

    instrument: InstrumentRef
    price: int
    size: int
    ts_event: int
    ts_recv: int
    source_kind: int
    replay_shift: int
    watermark: int


class BarEngine:
    """Bars of the symbols of one partition. Results depend on what was put in, never on how it was cut into batches."""

    def __init__(self, sessions: SessionTable, lateness_ns: int) -> None:
        """lateness_ns: how far behind its lane's highest event time a row may come, >= 0."""
        self._table = sessions
        self._sessions = Sessions(sessions.starts, sessions.opens, sessions.closes)
        self._lateness_ns = lateness_ns
        self._instruments: list[InstrumentRef] = []
        self._symbols: dict[str, int] = {}
        self._sources: dict[str, int] = {}
        self._lanes: dict[tuple[int, int], int] = {}
        self._numbers: dict[str, dict[InstrumentRef, int]] = {}
        self._rank = np.zeros(0, np.int64)
        self._out = np.zeros(_ROWS, OUT)
        self._scratch = np.zeros(INTERVAL_COUNT, BAR)
        self._forget_at = _SOURCES
        self.cut = CutInput()
        self._state = _empty_state()
        self._grow_pool(_ROWS)

    def process(self, ticks: TickColumns) -> Progress:
        """Take a batch. Raises BadRecord, with nothing changed, when it contradicts the digits known of an instrument."""
        closed, late, duplicates = self.take(ticks)
        return Progress(self.columns(closed), late, duplicates)

    def take(self, ticks: TickColumns) -> Taken:
        """As `process`."""
        source, numbers = self._resolve(ticks)
        late = self._ingest(ticks, source, numbers) if len(ticks) else []
        if ticks.watermark or ticks.source_ended:
            assert_watermark(source, ticks.watermark, ticks.source_ended, numbers, self._lateness_ns, self._state)
        control = self._state.control[0]
        out = self._collect(lambda start: advance(start, self._sessions, self._state, self._out), int(control["touched"]))
        control["touched"] = 0
        duplicates, control["duplicates"] = int(control["duplicates"]), 0
        if control["refused"] != NONE:
            late += self._take_refused()
        return Taken(out, late, duplicates)

    def live_bars(self) -> BarColumns | None:
        """The forming bars that changed since the last call, pending rows included; None = none changed."""
        return self.columns(self.form(), live=True)

    def form(self) -> Records:
        """As `live_bars`, the bars as in Taken."""
        numbers = np.flatnonzero(self._known("live_changed"))
        return self._collect(lambda start: form(numbers, start, self._sessions, self._state, self._scratch, self._out), len(numbers))

    def laid_out(self, bars: Records) -> LaidOut:
        """Bars that the engine gave as sorted columns. bars: not empty."""
        return lay_out(bars, self._ranks())

    @property
    def instruments(self) -> list[InstrumentRef]:
        """By number; it only grows."""
        return self._instruments

    def columns(self, bars: Records, *, live: bool = False) -> BarColumns | None:
        """Bars that the engine gave as sorted columns; None = there are none."""
        return bar_columns(self.laid_out(bars), self._instruments, live=live) if len(bars) else None

    def changed_trades(self) -> list[LastTrade]:
        """The last trades of the symbols that got a trade or a watermark since the last call."""
        numbers = np.flatnonzero(self._known("snapshot_changed") & self._known("traded"))
        rows = self._state.symbols[numbers]
        self._state.symbols["snapshot_changed"][numbers] = 0
        columns = (rows[name].tolist() for name in ("price", "size", "ts", "recv", "kind", "shift", "watermark"))
        return [LastTrade(self._instruments[number], *row) for number, row in zip(numbers.tolist(), zip(*columns, strict=True), strict=True)]

    @property
    def sources(self) -> list[str]:
        """Names of the sources that are in memory; those that have ended go as others come."""
        return list(self._sources)

    @property
    def pending_rows(self) -> int:
        """Rows whose second is not final yet."""
        return len(self._state.pending) - int(self._state.control[0]["free_rows"])

    def watermark(self, symbol: str) -> int:
        """The symbol's watermark, UTC ns; 0 when nothing is known of it."""
        number = self._symbols.get(symbol)
        return 0 if number is None else int(self._state.symbols[number]["watermark"])

    def reach(self, source: str, symbol: str, ended: bool) -> tuple[int, bool]:
        """The latest time that a row may have which is missing before the lane's first record, UTC ns, and whether later records can say no more of it.

        0: nothing was said yet. A lane without rows has what its source asserted, as there is nothing better. ended: the source does, with the last record.
        """
        number = self._symbols[symbol]
        lane = self._state.lanes[self._lanes[self._sources[source], number]]
        if ended:
            return int(self._state.symbols[number]["ended"]) + self._lateness_ns, True
        if lane["max_ts"] != NONE:
            return int(lane["max_ts"]) + self._lateness_ns, True
        asserted = int(self._state.sources[lane["source"]]["asserted"])
        return asserted + self._lateness_ns if asserted else 0, False

    def forget_ended(self) -> None:
        """Drop the sources and lanes of which nothing is left: nothing said of time, no row pending, no last trade. Changes no result.

        Called from inside as the sources grow. What stays is bounded by open lanes, pending rows and symbols, however many sources there have been.
        """
        state, instruments, names = self._state, len(self._instruments), list(self._sources)
        if not names:
            return
        lanes, sources, symbols = state.lanes[: len(self._lanes)], state.sources[: len(names)], state.symbols[:instruments]
        rows = state.pending[pending_slots(instruments, state)]
        lanes = lanes[(lanes["open"] != 0) | np.isin(_pairs(lanes), _pairs(rows))]
        traded = symbols["traded"] != 0
        kept = sources["asserted"] > 0
        kept[lanes["source"]] = True
        kept[symbols["source"][traded]] = True
        number = np.where(kept, np.cumsum(kept) - 1, 0)
        # Every slot, those that are free too: their numbers are never read, but must stay within the table.
        for table in (lanes, symbols, state.pending):
            table["source"] = number[table["source"]]
        symbols["lane"] = _link_lanes(lanes, instruments)
        self._sources = {name: number for number, name in enumerate(name for name, keep in zip(names, kept.tolist(), strict=True) if keep)}
        self._lanes = _numbers_of(lanes)
        self._numbers.clear()
        self._state = state._replace(lanes=_longer(lanes, 16), sources=_longer(sources[kept], 16))
        self._state.control[0]["lanes"] = len(lanes)

    def freeze(self) -> Frozen:
        """The whole state; `restore` of its bytes goes on as if nothing had happened."""
        count, state = len(self._instruments), self._state
        arrays: dict[str, NDArray[Any]] = {
            "symbols": state.symbols[:count].copy(),
            "bars": state.bars[:count].copy(),
            "lanes": state.lanes[: len(self._lanes)].copy(),
            "sources": state.sources[: len(self._sources)].copy(),
        }
        meta: dict[str, object] = {"instruments": list(self._instruments), "sources": list(self._sources), "arrival": int(state.control[0]["arrival"])}
        if (cut := self.cut.plain()) is not None:
            meta["cut"] = cut
        arrays["pending"] = pack(pending_slots(count, state), state.symbols[:count], state.pending)
        return Frozen(sum(array.nbytes for array in arrays.values()), partial(_packed, arrays, meta))

    def snapshot(self) -> bytes:
        """The bytes of `freeze`."""
        return self.freeze().pack()

    def restore(self, data: bytes) -> None:
        """Take over a state made by `snapshot`; on a new engine only. Raises StateError for other bytes."""
        arrays, meta = unpack_state(data)
        symbols, bars = arrays["symbols"].view(SYMBOL), arrays["bars"].view(BAR).reshape(-1, INTERVAL_COUNT)
        lanes, sources = arrays["lanes"].view(LANE), arrays["sources"].view(SOURCE)
        self._instruments = [InstrumentRef(*item) for item in meta["instruments"]]
        self._symbols = {ref.symbol: number for number, ref in enumerate(self._instruments)}
        self._sources = {name: number for number, name in enumerate(meta["sources"])}
        self._lanes = _numbers_of(lanes)
        self.cut.restore(meta.get("cut"))
        pending = np.zeros(int(symbols["rows"].sum()), PENDING)
        if (octets := unpack(arrays["pending"], symbols, pending)) != len(arrays["pending"]):
            raise StateError(f"pending: expected {len(pending)} rows in {len(arrays['pending'])} octets, they were in {octets}")
        symbols["calendar"] = [self._table.calendar_of(mic_of(ref.symbol)) for ref in self._instruments]
        # Whoever watches may have missed what was published before: show everything again.
        symbols["live_changed"], symbols["dirty_from"], symbols["snapshot_changed"] = 1, -1, 1
        folded = np.zeros(len(symbols), LIVE)
        folded["slot"] = NONE
        touched, seconds = np.zeros(len(symbols), np.int32), np.zeros((len(symbols), SECONDS), SECOND)
        self._state = State(symbols, lanes, sources, bars, pending, np.zeros(1, CONTROL), touched, np.zeros_like(bars), folded, seconds)
        control = self._state.control[0]
        control["free"], control["refused"], control["arrival"], control["lanes"] = NONE, NONE, meta["arrival"], len(lanes)
        self._numbers.clear()
        self._rank = self._rank[:0]
        self._grow_pool(_ROWS)

    def _resolve(self, ticks: TickColumns) -> tuple[int, Ints]:
        """Number of the source; numbers of symbol and lane of each instrument of the batch, in one integer."""
        try:
            known = self._numbers[ticks.source]
            numbers = [known[ref] for ref in ticks.instruments]
        except KeyError:
            known = self._learn(ticks)
            numbers = [known[ref] for ref in ticks.instruments]
        # One number for both: making an array of pairs costs ten times as much.
        return self._sources[ticks.source], np.array(numbers, np.int64)

    def _learn(self, ticks: TickColumns) -> dict[InstrumentRef, int]:
        """Make lanes for what is new. Raises BadRecord, with nothing changed."""
        for ref in ticks.instruments:
            self._check(ref)
        source = self._source(ticks.source)
        known = self._numbers.setdefault(ticks.source, {})
        for ref in ticks.instruments:
            symbol = self._symbol(ref)
            known[ref] = symbol << LANE_BITS | self._lane(source, symbol)
        return known

    def _check(self, ref: InstrumentRef) -> None:
        number = self._symbols.get(ref.symbol)
        if number is not None and self._instruments[number] != ref:
            raise BadRecord(f"instruments: expected the digits known of it, {self._instruments[number]}, was {ref}")
        try:
            mic_of(ref.symbol)
        except MalformedSymbol as error:
            raise BadRecord(str(error)) from error

    def _source(self, name: str) -> int:
        number = self._sources.get(name)
        if number is None:
            if len(self._sources) >= self._forget_at:
                self.forget_ended()
                self._forget_at = max(_SOURCES, 2 * len(self._sources))
            number = self._sources[name] = len(self._sources)
            self._state = self._state._replace(sources=_longer(self._state.sources, number + 1))
            rank = {source: position for position, source in enumerate(sorted(self._sources))}
            self._state.sources["rank"][: len(rank)] = [rank[source] for source in self._sources]
        return number

    def _symbol(self, ref: InstrumentRef) -> int:
        number = self._symbols.get(ref.symbol)
        if number is None:
            number = self._symbols[ref.symbol] = len(self._instruments)
            self._instruments.append(ref)
            state = self._state
            grown = {name: _longer(getattr(state, name), number + 1) for name in ("symbols", "bars", "touched", "live", "folded", "seconds")}
            self._state = state._replace(**grown)
            self._state.folded["slot"][number] = NONE
            row = self._state.symbols[number]
            row["head"], row["tail"], row["lane"], row["dirty_from"] = NONE, NONE, NONE, INT64_MAX
            row["calendar"] = self._table.calendar_of(mic_of(ref.symbol))
        return number

    def _lane(self, source: int, symbol: int) -> int:
        number = self._lanes.get((source, symbol))
        if number is None:
            number = self._lanes[source, symbol] = len(self._lanes)
            self._state = self._state._replace(lanes=_longer(self._state.lanes, number + 1))
            row = self._state.lanes[number]
            row["source"], row["symbol"], row["max_ts"] = source, symbol, NONE
            row["next"], self._state.symbols[symbol]["lane"] = self._state.symbols[symbol]["lane"], number
            self._state.control[0]["lanes"] = len(self._lanes)
        return number

    def _ingest(self, ticks: TickColumns, source: int, numbers: Ints) -> list[LateColumns]:
        self._grow_pool(len(ticks))
        # Another memory layout, or a read-only array, would compile the kernel again: seconds.
        columns: tuple[NDArray[Any], ...] = (ticks.instrument, ticks.ts_event, ticks.ts_recv, ticks.price, ticks.size, ticks.seq)
        rows = Rows(*[column if column.flags.carray else np.require(column, requirements=("C", "W")) for column in columns])
        reasons = np.zeros(len(ticks), np.int32)
        if not ingest(rows, source, ticks.source_kind, ticks.replay_shift, numbers, self._lateness_ns, self._state, reasons):
            return []
        not_taken = np.flatnonzero(reasons)
        return [LateColumns(ticks.take(not_taken), reasons[not_taken])]

    def _grow_pool(self, rows: int) -> None:
        """Make room for this many rows."""
        state = self._state
        if state.control[0]["free_rows"] >= rows:
            return
        old = len(state.pending)
        self._state = state._replace(pending=_longer(state.pending, old + rows))
        free_slots(old, len(self._state.pending), self._state)

    def _collect(self, kernel: Callable[[int], tuple[int, int]], total: int) -> Records:
        """Run a kernel that stops when the output is full until it has done everything. The rows are good until the next call."""
        parts: list[Records] = []
        done = 0
        while done < total:
            count, reached = kernel(done)
            if reached == total and not parts:
                return self._out[:count]
            if count:
                parts.append(self._out[:count].copy())
            elif reached == done:
                self._out = np.zeros(int(self._state.control[0]["needed"]), OUT)
            done = reached
        return np.concatenate(parts) if parts else self._out[:0]

    def _take_refused(self) -> list[LateColumns]:
        """Rows that would have overflowed a volume."""
        control, pending = self._state.control[0], self._state.pending
        slots = []
        slot, control["refused"] = int(control["refused"]), NONE
        while slot != NONE:
            slots.append(slot)
            slot = int(pending[slot]["next"])
        rows = pending[slots]
        for slot in slots:
            free_slots(slot, slot + 1, self._state)
        return late_ticks(rows, OUT_OF_RANGE, self._instruments, list(self._sources))

    def _ranks(self) -> Ints:
        """Position of each symbol's name among all names; shape (symbols,)."""
        if len(self._rank) < len(self._instruments):
            self._rank = np.empty(len(self._instruments), np.int64)
            self._rank[sorted(self._symbols.values(), key=lambda number: self._instruments[number].symbol)] = np.arange(len(self._rank))
        return self._rank

    def _known(self, column: str) -> NDArray[np.int32]:
        changed: NDArray[np.int32] = self._state.symbols[column][: len(self._instruments)]
        return changed


def warm_up() -> None:
    """Compile, or load from numba's cache, all compiled functions for the types that are used: seconds the first time."""
    engine = BarEngine(SessionTable.utc_only(), 0)
    one = np.ones(1, np.int64)
    tick = TickColumns("warm-up", 3, (InstrumentRef("WARM.XSIM", 0, 0),), np.zeros(1, np.uint32), one, one, one, one, one, watermark=1)
    engine.process(tick)
    engine.live_bars()
    engine.changed_trades()
    engine.restore(engine.snapshot())


def _packed(arrays: dict[str, NDArray[Any]], meta: object) -> bytes:
    plain = {name: array.reshape(-1).view(np.uint8) for name, array in arrays.items()}
    arrays.clear()
    return pack_state(plain, meta)


def _empty_state() -> State:
    symbols, lanes, sources = (np.zeros(16, dtype) for dtype in (SYMBOL, LANE, SOURCE))
    control = np.zeros(1, CONTROL)
    control["free"] = control["refused"] = NONE
    bars, live = (np.zeros((16, INTERVAL_COUNT), BAR) for _ in range(2))
    seconds = np.zeros((16, SECONDS), SECOND)
    return State(symbols, lanes, sources, bars, np.zeros(0, PENDING), control, np.zeros(16, np.int32), live, np.zeros(16, LIVE), seconds)


def _longer(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """The array, or a copy of it with room for so many rows and some more."""
    if len(array) >= rows:
        return array
    longer = np.zeros((max(rows, 2 * len(array)), *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


def _pairs(table: Records) -> Ints:
    """Source and symbol of each row in one integer."""
    pairs: Ints = table["source"].astype(np.int64) << LANE_BITS | table["symbol"]
    return pairs


def _numbers_of(lanes: Records) -> dict[tuple[int, int], int]:
    """Number of each lane by the numbers of its source and symbol."""
    return {pair: number for number, pair in enumerate(zip(lanes["source"].tolist(), lanes["symbol"].tolist(), strict=True))}


def _link_lanes(lanes: Records, symbols: int) -> NDArray[np.int32]:
    """Link the lanes of each symbol. Returns the first of each symbol, shape (symbols,), NONE = it has none."""
    first = np.full(symbols, NONE, np.int32)
    for number, symbol in enumerate(lanes["symbol"].tolist()):
        lanes["next"][number], first[symbol] = first[symbol], number
    return first
