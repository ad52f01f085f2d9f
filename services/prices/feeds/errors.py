"""What can go wrong in a feed.

SignalboxError
├── DataMissing       a data file that the feed reads is not installed
├── DataUnreadable    a data file is not what it should be
└── DeliveryFailed    the broker did not take records in time
"""

from services.runtime.errors import SignalboxError


class DataMissing(SignalboxError):
    """A data file that the feed reads is not there."""

    reason = "DATA_MISSING"

    def __init__(self, what: str, how_to_get_it: str) -> None:
        super().__init__(f"{what} not found; {how_to_get_it}")
        self.what = what


class DataUnreadable(SignalboxError):
    """A data file cannot be used as it is."""

    reason = "DATA_UNREADABLE"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.why = path, why


class DeliveryFailed(SignalboxError):
    """Records were not acknowledged; they must be sent again from the position that is stored."""

    reason = "DELIVERY_FAILED"

    def __init__(self, topic: str, records: int, last_error: str) -> None:
        super().__init__(f"{topic}: {records} records not acknowledged, the last: {last_error}")
        self.topic, self.records = topic, records
