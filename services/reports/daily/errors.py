"""Errors of the daily report.

SignalboxError
├── InputUnreadable     a recorded input that cannot be used
├── ReportNotFound      the archive has no such report or file     NOT_FOUND
├── NothingToReport     no symbol is known to report on        NOT_FOUND
└── ReportCancelled     somebody asked for the job's end
"""

from services.runtime.errors import NotFound, SignalboxError


class InputUnreadable(SignalboxError):
    """A recorded input that cannot be used."""

    reason = "INPUT_UNREADABLE"

    def __init__(self, why: str) -> None:
        super().__init__(f"the recorded input cannot be read: {why}")
        self.why = why


class ReportNotFound(NotFound):
    """The archive has no such report, or the report no such file."""

    def __init__(self, what: str) -> None:
        super().__init__("report", what)


class NothingToReport(NotFound):
    """Neither a day nor a symbol to report on is known."""

    reason = "NOTHING_TO_REPORT"

    def __init__(self, detail: str) -> None:
        super().__init__("anything to report on", detail)
        self.detail = detail


class ReportCancelled(SignalboxError):
    """Somebody asked for the end of the report's job while it ran."""

    reason = "REPORT_CANCELLED"

    def __init__(self) -> None:
        super().__init__("the report was cancelled")
