"""Rows as the hub keeps them. Times are UTC nanoseconds, prices and sizes fixed point."""

from typing import Any, NamedTuple

from signalbox.edge.v1 import subscription_service_pb2 as edge


class TickRow(NamedTuple):
    """A trade."""

    ts_event: int
    ts_recv: int
    price: int
    size: int
    seq: int
    source_kind: int
    replay_shift: int
    price_digits: int
    size_digits: int


class BarRow(NamedTuple):
    """A bar, final or forming."""

    ts_open: int
    ts_close: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    vwap: int
    trade_count: int
    revision: int
    source_kind: int
    replay_shift: int
    price_digits: int
    size_digits: int
    ts_recv: int
    """0 for a final bar."""


class IndicatorRow(NamedTuple):
    """The indicators of one bar."""

    ts_open: int
    revision: int
    source_kind: int
    replay_shift: int
    names: tuple[str, ...]
    values: tuple[float, ...]
    """In the order of the names; NaN while warming up."""


class SignalRow(NamedTuple):
    """A signal."""

    ts_open: int
    ts_close: int
    revision: int
    type: str
    direction: int
    price: float
    volume: float
    strength: float
    names: tuple[str, ...]
    values: tuple[float, ...]
    source_kind: int
    replay_shift: int


class EventRow(NamedTuple):
    """An article, a state of a job, an alert."""

    at: int
    identity: str
    """Rows with the same one are the same to a history."""
    fields: dict[str, Any]
    """As in JSON."""
    message: edge.StreamMessage
    """As in protobuf: its body, and nothing else."""


Row = TickRow | BarRow | IndicatorRow | SignalRow | EventRow
