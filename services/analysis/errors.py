"""What analysis raises beyond the runtime's tree (InvalidArgument, NotFound, Unavailable, BadRecord).

SignalboxError
└── StateMismatch     a snapshot of another engine: it must be computed anew from the bars
"""

from services.runtime.errors import SignalboxError


class StateMismatch(SignalboxError):
    """A snapshot that this engine cannot continue from: another version, or other indicators."""

    def __init__(self, found: object, expected: object) -> None:
        super().__init__(f"state of another engine: expected {expected!r}, was {found!r}")
        self.found, self.expected = found, expected
