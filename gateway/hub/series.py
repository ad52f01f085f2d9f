"""What can be subscribed to: channels, intervals, series."""

from enum import IntEnum
from typing import NamedTuple

from signalbox.edge.v1 import subscription_service_pb2 as edge
from signalbox.market.v1 import market_pb2 as market

ALL = "*"
"""Stands for every symbol."""


class Channel(IntEnum):
    """As signalbox.edge.v1.Channel."""

    TICKS = edge.CHANNEL_TICKS
    BARS = edge.CHANNEL_BARS
    LIVE_BARS = edge.CHANNEL_LIVE_BARS
    INDICATORS = edge.CHANNEL_INDICATORS
    SIGNALS = edge.CHANNEL_SIGNALS
    NEWS = edge.CHANNEL_NEWS
    JOBS = edge.CHANNEL_JOBS
    ALERTS = edge.CHANNEL_ALERTS

    # An enum's own is a function in Python, and every look-up of a series would call it.
    __hash__ = int.__hash__

    @property
    def key(self) -> str:
        """Its name in JSON."""
        return self.name.lower()

    @property
    def is_event(self) -> bool:
        """Whether it has events, each under any number of names, instead of rows of one symbol each."""
        return self in (Channel.NEWS, Channel.JOBS, Channel.ALERTS)

    @property
    def has_interval(self) -> bool:
        """Whether its series have one."""
        return self is not Channel.TICKS and not self.is_event


CHANNELS: dict[str, Channel] = {channel.key: channel for channel in Channel}
"""Channels by their name in JSON."""

INTERVALS: dict[str, int] = {"1s": 1, "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "1d": 86400}
"""Seconds of an interval by its short name; 86400 means a session."""

INTERVAL_NAMES: dict[int, str] = {seconds: name for name, seconds in INTERVALS.items()}

INTERVAL_ENUMS: dict[int, market.Interval] = {
    1: market.INTERVAL_1S,
    60: market.INTERVAL_1M,
    300: market.INTERVAL_5M,
    900: market.INTERVAL_15M,
    3600: market.INTERVAL_1H,
    86400: market.INTERVAL_1D,
}
"""The enum of RPCs by seconds."""

INTERVAL_SECONDS: dict[int, int] = {enum: seconds for seconds, enum in INTERVAL_ENUMS.items()}

NO_INTERVAL = 0
"""The interval of channels that have none."""

SOURCE_NAMES = ("unspecified", "live", "replay", "synthetic")
"""By the number of SourceKind."""


class Group(NamedTuple):
    """A channel at one interval."""

    channel: Channel
    interval: int
    """Seconds; 0 where there is none."""


class SeriesKey(NamedTuple):
    """One series."""

    channel: Channel
    symbol: str
    interval: int
    """Seconds; 0 where there is none."""

    @property
    def group(self) -> Group:
        """Its channel and interval."""
        return Group(self.channel, self.interval)
