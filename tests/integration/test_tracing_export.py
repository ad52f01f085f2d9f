"""A process and its collector: the last spans arrive, a collector that is away holds nobody up, and without one no SDK is loaded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.otlp_receiver import otlp_receiver
from tests.ports import free_ports
from tests.servers import REPOSITORY

#: More than one batch of the exporter's, fewer than its queue holds.
SPANS = 700
PROGRAM = f"""
import sys
from services.runtime.lifecycle import run
from services.runtime.settings import RuntimeSettings
from services.runtime.telemetry import span_from

async def main(lifecycle):
    for _ in range({SPANS}):
        with span_from(None, "work"):
            pass
    print("opentelemetry.sdk" in sys.modules, flush=True)
    await lifecycle.stopping.wait()

run("small", RuntimeSettings(), main)
"""


def run_until_told_to_end(**variables: str) -> tuple[bool, int, float]:
    """Whether the SDK was loaded, the exit code, and the seconds from SIGTERM to the end."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | variables
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, cwd=REPOSITORY, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        loaded = process.stdout.readline().strip() == "True"
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        return loaded, process.wait(30), time.monotonic() - told


def test_spans_that_wait_are_sent_before_the_process_ends() -> None:
    with otlp_receiver() as (receiver, endpoint):
        always = {"OTEL_TRACES_SAMPLER": "always_on", "OTEL_BSP_SCHEDULE_DELAY": "60000"}
        loaded, code, _ = run_until_told_to_end(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **always)
    assert (loaded, code) == (True, 0)
    spans = receiver.spans()
    assert [(span.process, span.name) for span in spans] == [("small", "work")] * SPANS
    assert len({span.trace_id for span in spans}) == SPANS


def test_a_collector_that_is_away_does_not_keep_a_process_from_ending() -> None:
    port = free_ports(1)[0]
    _, code, seconds = run_until_told_to_end(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", OTEL_TRACES_SAMPLER="always_on")
    assert code == 0
    # The limit of a drain, which is a promise and not a speed.
    assert seconds < 10


@pytest.mark.parametrize("variables", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}])
def test_without_a_collector_the_sdk_is_not_loaded(variables: dict[str, str]) -> None:
    assert run_until_told_to_end(**variables)[:2] == (False, 0)


def test_wrong_settings_are_told_before_anything_starts() -> None:
    env = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector", "OTEL_TRACES_SAMPLER": "often", "OTEL_TRACES_SAMPLER_ARG": "7"}
    program = "from services.runtime.settings import *; load_settings(RuntimeSettings)"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"):
        assert f"{name}: was" in done.stderr
