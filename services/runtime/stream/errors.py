"""What ends a stream worker.

StreamError
├── RecordFailed      a processor raised something other than BadRecord
├── OffsetGap         a record is missing between two that were read
├── DeliveryFailed    the broker did not take an output
├── StartFailed       a checkpoint could not be read, or the broker did not answer at assignment
└── ConsumerCrashed   Faust ended by itself
"""

from __future__ import annotations

from services.runtime.errors import SignalboxError


class PartitionDropped(SignalboxError):
    """The partition is somebody else's: its checkpoint must not go on. Ends nothing else."""


class StreamError(SignalboxError):
    """Root of the tree: the process ends with it, and the next one continues from the last checkpoint."""


class RecordFailed(StreamError):
    """A processor raised something other than BadRecord; the cause is chained."""

    def __init__(self, topic: str, partition: int, offset: int, cause: BaseException) -> None:
        super().__init__(f"{topic}/{partition} at offset {offset}: {type(cause).__name__}: {cause}")
        self.topic, self.partition, self.offset = topic, partition, offset


class OffsetGap(StreamError):
    """A record above the one expected came: those between would be lost."""

    def __init__(self, topic: str, partition: int, expected: int, found: int) -> None:
        super().__init__(f"{topic}/{partition}: expected offset {expected}, was {found}")
        self.topic, self.partition, self.expected, self.found = topic, partition, expected, found


class DeliveryFailed(StreamError):
    """The broker did not take an output, after the client's own retries."""

    def __init__(self, topic: str, partition: int, reason: str) -> None:
        super().__init__(f"{topic}/{partition}: not delivered: {reason}")
        self.topic, self.partition, self.reason = topic, partition, reason


class StartFailed(StreamError):
    """The partitions that were assigned could not be restored."""


class ConsumerCrashed(StreamError):
    """Faust ended by itself."""
