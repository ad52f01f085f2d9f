"""Whether the queue's store answers, asked for once a second."""

from services.runtime.clock import Clock
from services.runtime.errors import Unavailable
from services.runtime.jobs import JobQueue

_INTERVAL_S = 1.0


class QueueHealth:
    """For OpsServer: asks the queue for one job, as a client would."""

    def __init__(self, queue: JobQueue, clock: Clock) -> None:
        self._queue, self._clock = queue, clock
        self._why_not: str | None = "the job queue was not asked yet"

    def check(self) -> str | None:
        """None when it answered last time, otherwise why not. Safe from any thread."""
        return self._why_not

    async def follow(self) -> None:
        """Keeps asking, for ever."""
        while True:
            try:
                await self._queue.list(page_size=1)
            except Unavailable as error:
                self._why_not = str(error)
            else:
                self._why_not = None
            await self._clock.sleep(_INTERVAL_S)
