"""What the prices service raises.

SignalboxError
├── InvalidArgument
│   ├── MalformedSymbol (instruments)
│   └── SourceChanged        a stream of ticks is of one source
├── NotFound
│   ├── UnknownSeries        no bar of this symbol and interval was ever kept
│   └── NoPrice              no trade and no daily bar seen
├── Unavailable
│   ├── IngestInterrupted    the broker went away; says what was accepted
│   └── IngestStopped        this process ends; says what was accepted
└── ResourceExhausted
    └── IngestBacklogged     the broker's queue stayed full; says what was accepted
"""

from collections.abc import Mapping
from typing import NamedTuple

from services.runtime.errors import InvalidArgument, NotFound, ResourceExhausted, Unavailable


class SourceChanged(InvalidArgument):
    """A later message of a stream names another source, or another kind, than the first."""

    reason = "SOURCE_CHANGED"

    def __init__(self, field: str, first: str, later: str) -> None:
        super().__init__(field, later, f"{first!r} as in the first message, or nothing")


class UnknownSeries(NotFound):
    """There is no bar of this symbol and interval."""

    reason = "UNKNOWN_SERIES"

    def __init__(self, symbol: str, interval: str) -> None:
        super().__init__("series", f"{symbol} {interval}")


class NoPrice(NotFound):
    """No price of this symbol has been seen."""

    reason = "NO_PRICE"

    def __init__(self, symbol: str) -> None:
        super().__init__("price", symbol)


class IngestProgress(NamedTuple):
    """How far a stream of ticks came."""

    accepted: int
    """Ticks acknowledged by the broker."""
    rejected: int
    """Ticks not taken."""
    settled: int
    """Position in the stream, from 0, before which every tick is one of these; from there on they are to be sent again."""

    def __str__(self) -> str:
        return f"{self.accepted} ticks of this stream were accepted, {self.rejected} rejected; send it again from position {self.settled} on"

    def metadata(self) -> Mapping[str, str]:
        """For google.rpc.ErrorInfo."""
        return {name: str(count) for name, count in self._asdict().items()}


class IngestInterrupted(Unavailable):
    """The broker does not take ticks. Those counted as accepted are kept; sending the others again is right."""

    reason = "INGEST_INTERRUPTED"

    def __init__(self, progress: IngestProgress, detail: str) -> None:
        super().__init__("Kafka", f"{progress} ({detail})")
        self.progress = progress

    def metadata(self) -> Mapping[str, str]:
        """How far the stream came."""
        return self.progress.metadata()


class IngestStopped(Unavailable):
    """This process ends. Those counted as accepted are kept; sending the others again, to whoever answers then, is right."""

    reason = "INGEST_STOPPED"

    def __init__(self, progress: IngestProgress) -> None:
        super().__init__("prices", f"the process ends; {progress}")
        self.progress = progress

    def metadata(self) -> Mapping[str, str]:
        """How far the stream came."""
        return self.progress.metadata()


class IngestBacklogged(ResourceExhausted):
    """The queue to the broker stayed full. Those counted as accepted are kept; sending the others again, slower, is right."""

    reason = "INGEST_BACKLOGGED"

    def __init__(self, progress: IngestProgress, waited_s: float) -> None:
        super().__init__("queue to Kafka", f"full for {waited_s:g} s; {progress}")
        self.progress = progress

    def metadata(self) -> Mapping[str, str]:
        """How far the stream came."""
        return self.progress.metadata()
