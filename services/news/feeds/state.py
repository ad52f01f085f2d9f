"""When a feed is due, and what is known of it after an attempt."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from services.news.domain import FeedState
from services.news.errors import FeedProblem
from services.news.feeds.config import LEAST_INTERVAL_S
from services.news.feeds.feed import Feed

_NS = 10**9
#: A failing feed is asked again after five to ten minutes, then ever later, up to six hours.
_FIRST_BACKOFF_S, _MOST_BACKOFF_S = 2 * LEAST_INTERVAL_S, 6 * 3_600.0
#: A host that is not reached is not burdened by being asked: when the network is back, its feeds are soon.
_MOST_UNREACHED_S = 900.0
#: A crawl that runs once an hour must find a feed of one hour due, although the one before took a moment.
_EARLY = 0.95
_MAX_ERROR_CHARS = 500
#: Beyond this many doublings the cap holds anyway.
_MOST_DOUBLINGS = 16

Uniform = Callable[[float, float], float]


def is_due(state: FeedState, now_ns: int, *, force: bool = False) -> bool:
    """Whether a feed may be asked now. force: also before its time, but never while its server wants us away."""
    return now_ns >= state.hold_ns and (force or now_ns >= state.next_ns)


def after_answer(
    state: FeedState, feed: Feed, now_ns: int, *, items: int | None, etag: str = "", last_modified: str = "", refused: Mapping[str, int] | None = None
) -> FeedState:
    """After a good answer. items: how many it held; None when nothing was new."""
    return replace(
        state,
        attempt_ns=now_ns,
        success_ns=now_ns,
        error="",
        failing_since_ns=0,
        failures=0,
        items=state.items if items is None else items,
        next_ns=now_ns + int(_interval_s(feed) * _NS),
        hold_ns=0,
        etag=state.etag if items is None else etag,
        last_modified=state.last_modified if items is None else last_modified,
        refused=_counted(state, refused or {}),
    )


def after_failure(state: FeedState, now_ns: int, problem: FeedProblem, uniform: Uniform = random.uniform) -> FeedState:
    """After a failure: it is tried again later and later, with jitter, and never before the server allows it."""
    most_s = _MOST_UNREACHED_S if problem.reason == "unreachable" else _MOST_BACKOFF_S
    backoff_s = min(most_s, _FIRST_BACKOFF_S * 2.0 ** min(state.failures, _MOST_DOUBLINGS))
    # Half of it is certain: a server in trouble is not helped by a draw near nothing.
    wait_s = backoff_s / 2 + uniform(0.0, backoff_s / 2)
    hold_ns = now_ns + int(problem.retry_after_s * _NS) if problem.retry_after_s is not None else 0
    return replace(
        state,
        attempt_ns=now_ns,
        error=str(problem)[:_MAX_ERROR_CHARS],
        failing_since_ns=state.failing_since_ns or now_ns,
        failures=state.failures + 1,
        next_ns=max(now_ns + int(wait_s * _NS), hold_ns),
        hold_ns=hold_ns,
        refused=_counted(state, {problem.reason: 1}),
    )


def _interval_s(feed: Feed) -> float:
    early_s = feed.interval_s * _EARLY
    return early_s if feed.is_recorded else max(LEAST_INTERVAL_S, early_s)


def _counted(state: FeedState, more: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    total = Counter(dict(state.refused))
    total.update({reason: count for reason, count in more.items() if count})
    return tuple(sorted(total.items()))
