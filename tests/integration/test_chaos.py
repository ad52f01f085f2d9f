"""A few of each group of faults on the real chain, under load, every row compared with the oracle. `make chaos` is the long run."""

from __future__ import annotations

import random
from pathlib import Path

from tests.chaos.__main__ import run
from tests.chaos.chain import seed_of
from tests.chaos.wrapped import STEPS

#: The embedded broker lets sessions be shorter than Kafka's default minimum, so that tests need not wait six seconds.
SHORT_SESSION = {"SIGNALBOX_SESSION_TIMEOUT_SECONDS": "2", "SIGNALBOX_CHECKPOINT_INTERVAL_MS": "300"}


def test_no_fault_changes_a_row(tmp_path: Path) -> None:
    seed = seed_of()
    steps = random.Random(seed).sample(STEPS, 2)
    faults = [
        "kill -9 prices-worker",
        "kill -9 analysis-worker",
        f"kill -9 prices-worker after checkpoint step: {steps[0]}",
        f"kill -9 analysis-worker after checkpoint step: {steps[1]}",
        "SIGSTOP prices-worker past its session, SIGCONT",
        "second analysis-worker joins, leaves by SIGTERM",
        "kill -9 broker, restart (from its return)",
        "broker's disk slow (from its end)",
        "Valkey flushed and stopped",
        "SIGTERM rolling restart",
    ]
    outcomes, verdict = run(tmp_path, seed, faults, SHORT_SESSION)
    assert [outcome.fault for outcome in outcomes] == faults
    assert verdict.repeats > 0, "the kills came too early to repeat anything"
    assert verdict.commits_checked > 0
    assert min(verdict.rows.values()) > 100
    assert verdict.moved_sessions > 0, "no replay came to the end of a session again, a week later"
