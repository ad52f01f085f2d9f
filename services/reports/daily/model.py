"""The computed daily report: all that renderers draw, and nothing that they have to work out.

A pure function of the recorded input (`recorded.py`) makes it (`compute.py`). Times are UTC nanoseconds, 0 where there is none; days are `YYYY-MM-DD`,
empty where there is none; shares and changes are fractions (0.05 is 5 %); a figure that cannot be computed is None, in arrays NaN. Tuples and mappings
are in a fixed order. Arrays must not be changed.

One long file on purpose: it is the contract between figures and looks, and who draws reads it from top to end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: Changes whenever a figure or a byte of any file may change for the same input.
REPORT_VERSION = "1"
#: Sessions in a symbol's chart.
CHART_SESSIONS = 120
#: So many earlier signals there must be before anything is said of what such signals did.
MIN_SAMPLE = 30
#: Sessions after a signal at which its outcome is looked at.
HORIZONS: tuple[int, ...] = (1, 5, 20)


class SymbolState(StrEnum):
    """What became of an expected symbol."""

    #: Has a bar of the day.
    ARRIVED = "arrived"
    #: Its last bar is of an earlier day; its figures are of that day.
    LATE = "late"
    #: Has no daily bar at all; no figures.
    MISSING = "missing"
    #: A service answered with an error; no figures.
    FAILED = "failed"


class Direction(StrEnum):
    """Which way a signal points."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Meta:
    """What identifies the report."""

    id: str
    """Identity in the archive: the day and the beginning of a hash of input and version."""
    date: str
    """The day it is about."""
    date_was_asked: bool
    """False: the newest day for which most symbols have a bar was taken."""
    time_zone: str
    """IANA zone of times shown."""
    recorded_ns: int
    """When the input was recorded."""
    version: str
    """REPORT_VERSION."""
    input_sha256: str
    """Identity of the recorded input."""


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """One expected symbol."""

    symbol: str
    state: SymbolState
    reason: str
    """Why it has not arrived, one line; empty when it has."""
    last_date: str
    """Day of its last daily bar up to the report's day."""
    bars: int
    """Daily bars up to the report's day."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One of the services that were asked."""

    name: str
    """`prices`, `analysis`, `news`, `alerts`, `system`, `metrics`."""
    ok: bool
    detail: str
    """What it gave, or why it gave nothing, one line."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was expected and what came. expected = arrived + late + missing + failed."""

    expected: int
    arrived: int
    late: int
    missing: int
    failed: int
    rows: tuple[CoverageRow, ...]
    """Every expected symbol, by name."""
    sources: tuple[SourceRow, ...]
    """Every service that was asked, in a fixed order."""

    def of(self, state: SymbolState) -> tuple[CoverageRow, ...]:
        """The rows in this state, by name."""
        return tuple(row for row in self.rows if row.state is state)


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of the `of` symbols for which it can be told."""

    count: int
    of: int

    @property
    def fraction(self) -> float | None:
        """0 to 1; None of none."""
        return self.count / self.of if self.of else None


@dataclass(frozen=True, slots=True)
class Breadth:
    """How many symbols went which way, of those that have a bar of the day."""

    advancers: int
    decliners: int
    unchanged: int
    new_highs_52w: Share
    new_lows_52w: Share
    above_sma_20: Share
    above_sma_50: Share
    above_sma_200: Share
    rsi_above_70: Share
    rsi_below_30: Share


@dataclass(frozen=True, slots=True)
class Mover:
    """One row of a list of movers."""

    symbol: str
    close: float
    change: float
    """Against the previous close, fraction."""
    volume: float
    volume_ratio: float | None
    """Volume by its average of the 20 sessions before."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Histogram:
    """Counts between edges; below the first and above the last edge counts into the outermost."""

    edges: FloatArray
    """Shape (n + 1,), ascending."""
    counts: IntArray
    """Shape (n,)."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MarketHistory:
    """Breadth of the last sessions over the report's symbols, oldest first; shape (n,) each."""

    dates: tuple[str, ...]
    advancers: IntArray
    decliners: IntArray
    above_sma_50: FloatArray
    """Fraction of the symbols that have the average."""
    above_sma_200: FloatArray
    median_change: FloatArray
    """Of the closes against their previous ones, fraction."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Market:
    """The overview."""

    breadth: Breadth
    median_change: float | None
    mean_change: float | None
    up: tuple[Mover, ...]
    """Largest rises, at most 10, largest first; rises only."""
    down: tuple[Mover, ...]
    """Largest falls, at most 10, largest first; falls only."""
    busiest: tuple[Mover, ...]
    """Largest volume against its average, at most 10, largest first."""
    new_highs: tuple[str, ...]
    """Symbols at a new 52-week high, by name."""
    new_lows: tuple[str, ...]
    volume_ratio_median: float | None
    """Median over the symbols of volume against its average of 20 sessions."""
    volume_above_average: Share
    changes: Histogram
    """Changes of the day, fractions."""
    volume_ratios: Histogram
    history: MarketHistory
    """At most 60 sessions."""
    signals_by_type: Mapping[str, int]
    """Signals of the day, by type."""


@dataclass(frozen=True, slots=True)
class Session:
    """One daily bar."""

    date: str
    """The trading session's day."""
    ts_open: int
    ts_close: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True)
class Extreme:
    """A highest or lowest price within a range."""

    price: float
    date: str
    distance: float
    """Of the day's close from it, fraction: -0.1 is 10 % below."""
    is_new: bool
    """Whether the day itself set it."""


@dataclass(frozen=True, slots=True)
class Extremes:
    """Highs and lows, intraday prices. Looked for since `since` only."""

    high_52w: Extreme
    low_52w: Extreme
    weeks_52_complete: bool
    """False: the series is younger than 52 weeks, the figures are of what there is."""
    high_ever: Extreme
    """Highest of the series since `since`: "all-time" as far as the records go."""
    since: str
    """First day looked at: the series' first, or the one after which prices can be compared (see `SymbolReport.splits`)."""


@dataclass(frozen=True, slots=True)
class SuspectedSplit:
    """A session whose open stands to the close before as one whole number to another: prices before it cannot be compared."""

    date: str
    ratio: float
    """Close before by open: 2.0 is two for one."""
    label: str
    """`2:1`."""


@dataclass(frozen=True, slots=True)
class HorizonOutcome:
    """What prices did `sessions` sessions after earlier signals of the type."""

    sessions: int
    n: int
    """Earlier signals whose outcome was known on the day."""
    is_enough: bool
    """n >= MIN_SAMPLE; only then are the following set."""
    text: str
    """`too few (n=7, needs 30)`, or the hit rate in words: `up in 58 % of 120 (95 %: 49 to 67 %)`."""
    hit_rate: float | None = None
    """Fraction in which the close had moved the way the signal pointed."""
    hit_low: float | None = None
    """Wilson's interval at 95 %."""
    hit_high: float | None = None
    base_rate: float | None = None
    """The same fraction over all sessions of the same symbols: what no signal at all would have hit."""
    mean_return: float | None = None
    """Of the price, whichever way the signal pointed."""
    median_return: float | None = None
    quantiles: tuple[float, float, float, float, float] | None = None
    """Returns at 5, 25, 50, 75 and 95 %."""


@dataclass(frozen=True, slots=True)
class SignalOutcomes:
    """What earlier signals of the type did, over one scope."""

    scope: str
    """`same symbol` or `all symbols`."""
    symbols: int
    """Symbols that such signals were found in."""
    horizons: tuple[HorizonOutcome, ...]
    """In the order of HORIZONS."""

    @property
    def is_enough(self) -> bool:
        """Whether every horizon has enough earlier signals."""
        return all(item.is_enough for item in self.horizons)


@dataclass(frozen=True, slots=True)
class SignalReport:
    """A signal of the day."""

    symbol: str
    type: str
    """`golden_cross`."""
    title: str
    """`Golden cross`."""
    meaning: str
    """What it is, one line, plain words."""
    direction: Direction
    ts_close: int
    """When it was known."""
    price: float
    strength: float
    """0 to 1."""
    own: SignalOutcomes
    """Earlier ones of the same symbol."""
    all: SignalOutcomes
    """Earlier ones of all symbols of the report."""

    @property
    def outcomes(self) -> SignalOutcomes:
        """Those to show: the symbol's own when there are enough of them, otherwise all symbols'."""
        return self.own if self.own.is_enough else self.all


@dataclass(frozen=True, slots=True)
class Marker:
    """A signal at a bar of the chart."""

    index: int
    """Which bar of the chart, from 0."""
    type: str
    title: str
    direction: Direction
    is_of_day: bool


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ChartSeries:
    """The last sessions, oldest first, at most CHART_SESSIONS; shape (n,) each, indicators NaN while they warm up."""

    dates: tuple[str, ...]
    ts_open: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    volume_average_20: FloatArray
    """Of the 20 sessions before."""
    sma_20: FloatArray
    sma_50: FloatArray
    sma_200: FloatArray
    bands_upper: FloatArray
    """Bollinger bands, 20 sessions, 2 standard deviations."""
    bands_lower: FloatArray
    rsi_14: FloatArray
    """0 to 100."""
    macd: FloatArray
    """12, 26, 9."""
    macd_signal: FloatArray
    macd_histogram: FloatArray
    markers: tuple[Marker, ...]
    """Signals, oldest first."""

    def __len__(self) -> int:
        return len(self.dates)


@dataclass(frozen=True, slots=True)
class NewsItem:
    """An article."""

    id: str
    title: str
    publisher: str
    url: str
    published_ns: int
    """0: its publisher gave no date."""
    received_ns: int
    symbols: tuple[str, ...]
    """That it is about, by name."""
    sentiment: float | None
    """-1 to 1; None: not scored."""
    sentiment_label: str
    is_recorded: bool
    """Recorded earlier and shown as a demonstration."""


@dataclass(frozen=True, slots=True)
class News:
    """What was published."""

    of_day: tuple[NewsItem, ...]
    """Published (or, undated, received) on the day or until the report; newest first, at most 200."""
    latest: tuple[NewsItem, ...]
    """The newest at all, newest first, at most 20: what was known when the input was recorded."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SymbolReport:
    """One symbol that has figures."""

    symbol: str
    state: SymbolState
    """Arrived or late."""
    source: str
    """`live`, `replay` or `synthetic`: that of its last bar."""
    bars: int
    """Daily bars up to the day."""
    first_date: str
    last: Session
    """The day's session; when it is late, its last one."""
    previous: Session | None
    """The session before."""
    change: float | None
    """Close against the previous close, fraction."""
    change_absolute: float | None
    gap: float | None
    """Open against the previous close, fraction."""
    extremes: Extremes
    volume_average_20: float | None
    """Of the 20 sessions before, the day not included."""
    volume_ratio: float | None
    indicators: Mapping[str, float | None]
    """Values of the day by the analysis service's names (`sma_20`, `rsi_14`, `atr_14`), in a fixed order."""
    atr_fraction: float | None
    """Average true range by close."""
    splits: tuple[SuspectedSplit, ...]
    """Oldest first."""
    notes: tuple[str, ...]
    """What a reader must know to read these figures rightly, a sentence each."""
    signals: tuple[SignalReport, ...]
    """Of the day."""
    news: tuple[NewsItem, ...]
    """Of the day about this symbol, newest first."""
    chart: ChartSeries


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert of operation that was open when the input was recorded, or was raised or ended on the day."""

    key: str
    severity: str
    """`info`, `warning`, `critical`."""
    title: str
    detail: str
    source: str
    since_ns: int
    is_resolved: bool


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One process of the installation."""

    name: str
    health: str
    """`ready`, `not ready`, `down`."""
    detail: str
    resident_bytes: int | None
    cpu_seconds: float | None
    uptime_seconds: float | None
    response_ms: float


@dataclass(frozen=True, slots=True)
class LatencyRow:
    """A distribution of durations, from a process's histogram since it started."""

    name: str
    """What is measured, in words."""
    count: int
    p50_ms: float | None
    """Upper bounds by linear interpolation within the histogram's bucket."""
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class CounterRow:
    """A counter of something that should be few: failures, refusals, what was dropped."""

    name: str
    """In words."""
    process: str
    value: float
    """Since the process started."""


@dataclass(frozen=True, slots=True)
class System:
    """The installation at the moment of recording. What could not be asked is None or empty; Coverage.sources says why."""

    version: str
    measured_ns: int
    ticks_per_second: float | None
    messages_per_second: float | None
    subscribers: int | None
    ticks_lag: int | None
    bars_lag: int | None
    processes: tuple[ProcessRow, ...]
    latencies: tuple[LatencyRow, ...]
    failures: tuple[CounterRow, ...]
    """Largest first; zeros are left out."""
    throughput: tuple[CounterRow, ...]
    """Totals of what went through."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DailyReportModel:
    """The report."""

    meta: Meta
    coverage: Coverage
    market: Market
    symbols: tuple[SymbolReport, ...]
    """Those with figures, by name."""
    signals: tuple[SignalReport, ...]
    """All of the day, strongest first."""
    news: News
    alerts: tuple[AlertRow, ...]
    """Open ones first, then by severity, newest first."""
    system: System
