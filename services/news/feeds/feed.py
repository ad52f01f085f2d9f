"""A feed as the crawl knows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path

#: The file that comes with the service.
DEFAULT_FEEDS_FILE = Path(__file__).resolve().parents[1] / "feeds.yaml"


@dataclass(frozen=True, slots=True)
class Feed:
    """One address that is asked, or one file that is played back."""

    name: str
    """Unique; for feeds by symbol with the symbol, `yahoo/AAPL.XNAS`."""
    adapter: str
    """Name of the adapter that reads it."""
    url: str
    """Where it is read from; empty for files."""
    interval_s: float
    """Seconds between two attempts."""
    language: str = ""
    """ISO 639-1, where the feed itself names none."""
    assumed_zone: tzinfo | None = None
    """Zone of dates that name none."""
    publisher: str = ""
    """Where an item names none."""
    symbol: str = ""
    """For a feed about one symbol: ticker dot MIC; all its articles are linked to it."""
    mention: str = ""
    """The symbol as the feed's address names it."""
    file: Path | None = None
    """The file of a recorded feed."""
    items_each: int = 0
    """Items that a recorded feed plays each time."""

    @property
    def is_recorded(self) -> bool:
        """Whether it plays back what was recorded, without a network."""
        return self.file is not None
