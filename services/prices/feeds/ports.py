"""What a feed is: a source of steps, each some rows and a promise about those to come."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from services.prices.sequencer import Int64Array, TickRows, UInt32Array, one_symbol
from services.runtime.columns import WEEK_NS

__all__ = ["NS", "WEEK_NS", "Int64Array", "Step", "Stored", "TickFeed", "TickRows", "UInt32Array", "one_symbol"]

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """What a feed hands on at one moment."""

    rows: TickRows | None
    """Rows that are due now, or None."""
    promise: int
    """No later row of this feed has an event time below this, UTC nanoseconds; holds after `rows`."""
    urgent: bool = False
    """Write the promise now and not with the next regular assertion: at a gap, a loop, the end."""
    replay_shift: int = 0
    """Event time minus original time of the rows, nanoseconds, whole weeks; 0 when it is no replay."""
    lag_ns: int = 0
    """How far behind its own schedule the feed was when it handed this on."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What the log already holds of a source for one symbol."""

    last_seq: int = 0
    """`seq` of the last row, 0 = no row."""
    last_ts: int = 0
    """Event time of the last row, UTC nanoseconds, 0 = no row."""
    replay_shift: int = 0
    """Shift of the last row."""
    watermark: int = 0
    """Largest assertion of the source, UTC nanoseconds, 0 = none."""
    ended: bool = False
    """The last record said that the source has ended, so it was stopped in order."""
    symbol_watermark: int = 0
    """The symbol's watermark over all its sources as last published, UTC nanoseconds, 0 = none."""

    @property
    def floor(self) -> int:
        """The earliest event time that a new row may have without being late, equal to or below a stored one."""
        return max(self.watermark, self.symbol_watermark, self.last_ts + 1 if self.last_ts else 0)


class TickFeed(Protocol):
    """A source of ticks."""

    @property
    def name(self) -> str:
        """Short name for settings, logs, metrics and health, for instance `replay-es`."""
        ...

    @property
    def source(self) -> str:
        """Feed and session as in every record, for instance `replay:es`."""
        ...

    @property
    def source_kind(self) -> int:
        """events.v1.SourceKind."""
        ...

    @property
    def symbol(self) -> str:
        """The symbol whose stored position decides where to start."""
        ...

    def steps(self, stored: Stored) -> AsyncGenerator[Step, None]:
        """Rows and promises, each when it is due. Without rows it still yields every half second, so that it can be stopped."""
        ...
