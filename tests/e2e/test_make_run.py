"""`make run` as a newcomer uses it: with figures, twice on the same folder, and ended by Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.runtime.columns import WEEK_NS, decode_bars
from services.runtime.topics import BARS, LATE, LIVE_BARS
from tests.integration.feeds_process import records_of
from tests.servers import REPOSITORY, new_broker, processes_of, stack_environment
from tests.unit.prices.bar_inputs import bars_of_columns

#: The first run on a fresh folder compiles kernels and builds tables; two busy cores take their time.
RUN_TIMEOUT_SECONDS = 280

PROCESSES = {"kafka", "valkey", "prices", "analysis", "gateway", "prices-worker", "analysis-worker", "envoy", "feeds"}
PROCESSES |= {"reports", "reports-worker", "scheduler", "news", "news-worker", "prices-jobs", "analysis-jobs"}

pytestmark = pytest.mark.timeout(700)


def make(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=RUN_TIMEOUT_SECONDS, check=False)


@contextmanager
def make_run(env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """`make run` as the leader of its own process group, as a terminal would start it; killed if the test fails."""
    process = subprocess.Popen(["make", "run"], cwd=REPOSITORY, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True)
    watchdog = threading.Timer(RUN_TIMEOUT_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    pytest.fail(f"make run never said {words!r}, but:\n{said}")


def test_make_run_counts_real_data_twice_on_the_same_folder(tmp_path: Path) -> None:
    env = stack_environment(tmp_path, RUN_SECONDS="15")
    for _ in range(2):
        result = make(env, "run")
        assert result.returncode == 0, result.stdout + result.stderr
        summary = json.loads((REPOSITORY / "build" / "run-summary.json").read_text())
        assert summary["ok"] is True
        for figure in ("ticks_in", "bars", "indicator_values", "signals", "delivered", "seconds"):
            assert summary[figure] > 0, summary
        assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p99"]
        assert processes_of(tmp_path) == []
    with new_broker(tmp_path, lasting=True) as broker:
        check_the_second_replay(broker.bootstrap)


def check_the_second_replay(bootstrap: str) -> None:
    """It came behind the first, a week later, its session too, and no tick of it was late."""
    bars = [bar for topic in (BARS, LIVE_BARS) for record in records_of(bootstrap, topic.name) for bar in bars_of_columns(decode_bars(record.value))]
    es = [bar for bar in bars if bar.symbol == "ES.XCME"]
    assert {bar.replay_shift for bar in es if bar.interval == 1} == {0, WEEK_NS}
    assert max(bar.ts_close for bar in es if bar.interval == 1 and not bar.replay_shift) <= min(bar.ts_open for bar in es if bar.replay_shift)
    days = {bar.replay_shift: (bar.ts_open, bar.ts_close) for bar in sorted(es) if bar.interval == 86_400}
    assert [days[WEEK_NS][end] - days[0][end] for end in (0, 1)] == [WEEK_NS, WEEK_NS]
    assert records_of(bootstrap, LATE.name) == []


def test_ctrl_c_stops_everything_and_a_second_run_beside_the_first_is_refused(tmp_path: Path) -> None:
    env = stack_environment(tmp_path, prepared=True)
    with make_run(env) as first:
        said = read_until(first, "Ctrl-C")
        assert f"http://127.0.0.1:{env['SIGNALBOX_EDGE_PORT']}/" in said
        second = make(env, "run")
        assert second.returncode != 0
        assert "another Signalbox (pid" in second.stdout
        os.killpg(first.pid, signal.SIGINT)
        first.wait(timeout=60)
    assert processes_of(tmp_path) == []


def test_up_status_logs_down_reset(tmp_path: Path) -> None:
    env = stack_environment(tmp_path, prepared=True)
    started = make(env, "up")
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        status = subprocess.run(
            [sys.executable, "-m", "deploy.local.cli", "status", "--json"], cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False
        )
        assert status.returncode == 0, status.stdout
        processes = json.loads(status.stdout)["processes"]
        assert {each["name"] for each in processes} == PROCESSES
        assert all(each["ready"] and each["pid"] and each["restarts"] == 0 for each in processes)
        again = make(env, "up")
        assert again.returncode != 0
        assert "already runs" in again.stderr
        assert make(env, "reset", "YES=1").returncode != 0
    finally:
        stopped = make(env, "down")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert processes_of(tmp_path) == []
    assert make(env, "reset", "YES=1").returncode == 0
    assert os.listdir(tmp_path) == [], "Kafka's jars, which stay, are elsewhere here"
