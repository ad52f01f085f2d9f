"""What the doors need from outside, beside the queue."""

from typing import Protocol

from services.runtime.jobs import Job


class ResultArchive(Protocol):
    """Finished jobs, kept for good."""

    async def find(self, job_id: str) -> Job | None:
        """A finished job with its result; None when it is not known here. Raises Unavailable when the archive does not answer."""
