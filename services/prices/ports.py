"""What the ingest needs from outside."""

import asyncio
from typing import Protocol

from services.runtime.columns import TickColumns


class TickSink(Protocol):
    """Where batches of ticks go."""

    async def send(self, partition: int, batch: TickColumns) -> "asyncio.Future[int]":
        """Returns once the batch is in the queue, waiting while that is full; the future is done when the broker has it.

        Batches of one partition keep their order. The future raises Unavailable when the broker did not take the batch.
        """
        ...
