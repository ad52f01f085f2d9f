"""Which tests run beside each other, and in which order, when pytest has several workers (`-n`)."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

#: These use one stack, which is started once for all of them: one worker runs them all.
ON_ONE_STACK = ("tests/e2e/test_page.py", "tests/e2e/test_work.py", "tests/e2e/test_docs_clients.py", "tests/e2e/test_daily_report.py")
#: Each test of these starts what it needs: any worker may run any of them.
EACH_BY_ITSELF = (
    "tests/e2e/test_make_run.py",
    "tests/integration/test_backpressure.py",
    "tests/integration/test_job_failures.py",
    "tests/integration/test_prices_worker.py",
    "tests/integration/test_stream_recovery.py",
)
#: The first ones are begun first. One that keeps a worker busy for a minute or more must not be begun last, as it would run alone at the end;
#: and those that reckon go beside others that wait for most of their time.
ORDER = (
    *ON_ONE_STACK,
    "tests/e2e/test_make_run.py",
    "tests/e2e/test_jobs.py",
    "tests/e2e/test_rolling_restart.py",
    "tests/e2e/test_crash_loop.py",
    "tests/e2e/test_tracing.py",
    "tests/integration/test_scheduler.py",
    "tests/integration/test_job_life.py",
    "tests/integration/test_job_failures.py",
    "tests/integration/test_news_fetch.py",
    "tests/integration/test_feeds.py",
    "tests/integration/test_chaos.py",
    "tests/integration/test_backpressure.py",
    "tests/integration/test_stream_recovery.py",
    "tests/integration/test_prices_worker.py",
    "tests/integration/test_news_service.py",
    "tests/integration/test_news_crawl.py",
    "tests/integration/test_bad_input.py",
    "tests/integration/test_prices_service.py",
    "tests/integration/test_partition_counts.py",
    "tests/integration/test_broker.py",
    "tests/integration/test_jobs_storm.py",
    "tests/integration/test_stream_watchdog.py",
)


def unit_of(test: str) -> str:
    """The tests of one unit run one after the other in one worker. test: its id."""
    file = test.partition("::")[0]
    if file in EACH_BY_ITSELF:
        return test
    return ON_ONE_STACK[0] if file in ON_ONE_STACK else file


class UnitScheduling(LoadScopeScheduling):
    """As `--dist loadfile`, but for the files named above."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        # Otherwise the units with the most tests come first, and those are the quick ones.
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def put_in_order(items: list[pytest.Item]) -> None:
    """Sorts in place. The tests of one file stay in their order."""
    place = {file: number for number, file in enumerate(ORDER)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(place)))
