"""Processes that must start fast load neither pandas nor the calendars: together they cost 200 MiB and 13 s over six processes."""

import subprocess
import sys

import pytest

PROCESSES = [
    "services.prices.wiring",
    "services.prices.worker",
    "services.analysis.worker",
    "services.prices.feeds.wiring",
    "services.analysis.wiring",
    "services.news.wiring",
    "services.news.worker",
    "services.reports.wiring",
    "services.reports.worker",
    "gateway.wiring",
]
HEAVY = ["pandas", "exchange_calendars", "matplotlib", "scipy"]

_PROBE = "import sys, importlib; importlib.import_module(sys.argv[1]); print(*sorted(set(sys.argv[2:]) & set(sys.modules)))"


@pytest.mark.parametrize("module", PROCESSES)
def test_nothing_heavy_is_imported(module: str) -> None:
    done = subprocess.run([sys.executable, "-c", _PROBE, module, *HEAVY], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_the_runtime_alone_loads_no_numba_and_no_faust() -> None:
    for module in ("lifecycle", "grpc_server", "grpc_client", "kafka", "dlq", "telemetry", "settings"):
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, f"services.runtime.{module}", *HEAVY, "numba", "faust", "numpy"], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout.split()) == (0, []), (module, done.stderr)
