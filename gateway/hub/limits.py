"""What one client may cost."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on connections; sizes in bytes."""

    connections: int = 2_000
    """Connections at once, of both kinds."""
    subscriptions: int = 5_000
    """Pairs of a symbol (or `*`) and a channel at an interval, per connection."""
    queue_bytes: int = 8 << 20
    """What may wait for a client; over it the connection is closed, because final bars and signals are never left out."""
    tick_bytes: int = 2 << 20
    """With more than this waiting, ticks are left out, with a notice."""
    frame_bytes: int = 256 << 10
    """A frame is closed when it reaches this; clients often refuse more than 1 MiB."""
    frames_per_turn: int = 8
    """Frames for one client before the others have their turn."""
