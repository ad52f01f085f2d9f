"""A report's progress as its job tells it: in symbols, never backwards, never above 99 % before the end."""

from __future__ import annotations

from services.reports.daily.errors import ReportCancelled
from services.runtime.jobs import JobContext

#: The last hundredth is the archive's: until the report is there it is not done.
_MOST = 0.99


class ReportProgress:
    """Of one attempt. Every call also looks whether the job shall end."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._total, self._furthest = 0, 0.0

    def expect(self, symbols: int) -> None:
        """How many symbols there are; known once they are."""
        self._total = symbols

    def tell(self, share: float, message: str) -> None:
        """share: of the whole, 0 to 1. Raises ReportCancelled."""
        if self._context.cancelled:
            raise ReportCancelled
        self._furthest = max(self._furthest, min(share, _MOST))
        self._context.progress(self._furthest * self._total, self._total, "symbols", message)

    def finish(self, message: str) -> None:
        """All that can be said of it before the job has ended."""
        self.tell(_MOST, message)


class Stage:
    """A part of the whole, from one share to another."""

    def __init__(self, progress: ReportProgress, begin: float, end: float) -> None:
        self._progress, self._begin, self._end = progress, begin, end

    def tell(self, share: float, message: str) -> None:
        """share: of this part."""
        self._progress.tell(self._begin + share * (self._end - self._begin), message)
