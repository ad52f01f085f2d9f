"""Bounds of what a feed's server may send, and of how long it may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Bounds of one feed's answer."""

    connect_s: float = 10.0
    """Seconds to connect."""
    read_s: float = 15.0
    """Seconds without a byte."""
    whole_s: float = 45.0
    """Seconds for everything about one feed: robots.txt, redirects, a second attempt."""
    body_bytes: int = 5 << 20
    """Bytes of a body, unpacked."""
    pause_s: float = 1.0
    """Seconds between two requests to a host."""
