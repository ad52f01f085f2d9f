"""What the ingest needs from outside."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from services.prices.admission import Rejection, SentTicks
from services.runtime.columns import TickColumns


class TickSink(Protocol):
    """Where batches of ticks go."""

    async def send(self, partition: int, batch: TickColumns) -> "asyncio.Future[int]":
        """Returns once the batch is in the queue, waiting while that is full; the future is done when the broker has it.

        Batches of one partition keep their order. The future raises Unavailable when the broker did not take the batch.
        """
        ...


class OpenSources(Protocol):
    """Keeps which sources are open, beyond the life of this process."""

    async def opened(self, source: str, source_kind: int, partition: int) -> "asyncio.Future[int]":
        """Before the source's first batch for the partition: returns once this is in the queue; the future is done when it is kept.

        The future raises Unavailable when it cannot be kept.
        """
        ...

    async def ended(self, source: str, partition: int) -> None:
        """After the partition was told that the source has ended: nothing is to be done for it any more."""
        ...


class RejectedTicks(Protocol):
    """Where ticks go that are not taken."""

    async def send(self, source: str, position: int, ticks: SentTicks, rejections: Sequence[Rejection]) -> None:
        """Publishes as many of them as its limit allows, waiting while the queue is full. position: of the first of `ticks` in the stream."""
        ...
