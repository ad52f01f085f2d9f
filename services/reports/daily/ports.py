"""What collecting an input needs from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.reports.daily.model import AlertRow, FloatArray, IntArray, NewsItem
from services.reports.daily.recorded import BarsRecord, MetricSample, SystemRecord


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AnalysisRecord:
    """Indicators and signals of one symbol's daily bars."""

    ts_open: IntArray
    """Of the last bars, those that it holds values of; shape (n,), UTC nanoseconds."""
    indicators: Mapping[str, FloatArray]
    """By recorded.INDICATORS; shape (n,) each."""
    signal_opens: IntArray
    """Open times of the bars of its signals; shape (m,)."""
    signal_types: tuple[str, ...]
    signal_strengths: FloatArray
    engine_version: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a symbol has no answer."""

    code: str
    """Name of the gRPC code."""
    message: str


class Prices(Protocol):
    """Bars and prices. All raise Unavailable when the service does not answer."""

    async def symbols(self) -> Mapping[str, bool]:
        """Every symbol that has bars of any kind, and whether it has daily ones."""

    async def daily_bars(self, symbol: str, end_ns: int | None, most: int) -> BarsRecord:
        """The last `most` daily bars that open before a time (None: all), oldest first; none when there are none. Raises Unavailable."""

    async def last_trades(self, symbols: Sequence[str]) -> Mapping[str, int]:
        """Time of the last trade of those symbols that have one, UTC nanoseconds."""


class Analyses(Protocol):
    """Indicators and signals."""

    def analyses(self, symbols: Sequence[str], end_ns: int, most: int) -> AsyncIterator[tuple[str, AnalysisRecord | Failure]]:
        """Of the last `most` daily bars that open before a time, each when it is done. Raises Unavailable when the service goes away."""


class Newsroom(Protocol):
    """Articles."""

    async def articles(self, start_ns: int, as_of_ns: int) -> Sequence[NewsItem]:
        """Received from a time on and known at another; newest first, at most some thousand. Raises Unavailable."""


class Alerts(Protocol):
    """Alerts of operation."""

    async def alerts(self) -> tuple[Sequence[AlertRow], int]:
        """The last state of each, and how many records could not be read. Raises Unavailable."""


class Installation(Protocol):
    """The state of the processes."""

    async def status(self) -> SystemRecord:
        """How they are, without metrics. Raises Unavailable."""

    async def metrics(self) -> tuple[Sequence[MetricSample], Mapping[str, str]]:
        """Samples that a report shows, and by process why it gave none."""


@dataclass(frozen=True, slots=True)
class Sources:
    """All of them."""

    prices: Prices
    analyses: Analyses
    newsroom: Newsroom
    alerts: Alerts
    installation: Installation
