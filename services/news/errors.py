"""What the news service raises while it reads feeds.

SignalboxError
├── WrongFeeds               the file of feeds cannot be used: field, value, expected
└── FeedProblem              a feed could not be read; `reason` is what it is counted by
    ├── FeedRefused          what it answered must not or cannot be used; asking again at once is no help
    ├── FeedAway             not reached, or it said that it cannot now; asking again later is right
    └── FeedStumbled         it failed while it answered; asking once more is right

Reasons: http-4xx, http-429, http-5xx, unreachable, disconnected, timeout, deadline, robots, robots-unavailable, redirect-circle,
too-many-redirects, redirect-insecure, bad-http, content-type, content-encoding, bad-compression, too-large, html, not-a-feed, empty, entities,
external-entity.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from services.runtime.errors import SignalboxError


class WrongFeeds(SignalboxError):
    """The file of feeds cannot be used. problems: one line for each mistake: field, value, what was expected."""

    reason = "WRONG_FEEDS"

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        super().__init__(f"{path}:\n" + "\n".join(f"  {line}" for line in problems))
        self.path, self.problems = path, tuple(problems)


class FeedProblem(SignalboxError):
    """A feed could not be read this time."""

    def __init__(self, reason: str, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail
        self.retry_after_s = retry_after_s
        """Seconds for which the server asked us to stay away; None when it did not."""


class FeedRefused(FeedProblem):
    """The answer must not or cannot be used."""


class FeedAway(FeedProblem):
    """Not reached, or `not now`."""


class FeedStumbled(FeedProblem):
    """The server failed while it answered."""
