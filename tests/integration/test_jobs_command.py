"""`signalbox job` through a real edge, service, queue and worker."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.jobs_stack import JobsStack, jobs_stack, wait_workers
from tests.processes import wait_until
from tests.servers import REPOSITORY


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobsStack]:
    with jobs_stack(tmp_path_factory.mktemp("jobs"), "tests.integration.reports_kinds") as running:
        running.start_worker("services.reports.worker")
        running.start_worker("tests.integration.reports_test_worker")
        wait_workers(running)
        yield running
        for worker in running.workers:
            assert worker.terminate() == 0


def command(stack: JobsStack, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "deploy.local.cli", "job", *arguments]


def job(stack: JobsStack, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(stack, *arguments), cwd=REPOSITORY, env=stack.env | {"COLUMNS": "300"}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done


def as_json(stack: JobsStack, *arguments: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(job(stack, *arguments, "--json", code=code).stdout)
    return found


def state(stack: JobsStack, name: str) -> str:
    return str(as_json(stack, "show", name)["metadata"]["state"])


def test_a_job_is_run_and_its_result_shown(stack: JobsStack) -> None:
    done = job(stack, "run", "cache.clean", "--request", '{"reason": "test"}')
    assert "succeeded" in done.stdout
    assert '"removed_keys"' in done.stdout
    assert "cache.clean is succeeded" in done.stderr
    operation = as_json(stack, "run", "test.echo", "-r", '{"a": [1, {"b": null}]}', "--priority", "high", "--deadline", "10m")
    assert operation["response"]["value"] == {"a": [1, {"b": None}]}
    assert (operation["metadata"]["priority"], operation["metadata"]["owner"]) == ("JOB_PRIORITY_HIGH", "cli")
    assert operation["metadata"]["progress"] == {"done": 1, "total": 1, "unit": "echoes", "message": "done"}


def test_a_job_that_fails_says_why_with_exit_code_1(stack: JobsStack) -> None:
    done = job(stack, "run", "cache.clean", "-r", '{"prefixes": ["signalbox:"]}', code=1)
    assert "failed: prefixes: expected one that begins with analysis:" in done.stderr
    operation = as_json(stack, "run", "test.echo", "-r", '{"fail": true}', code=1)
    assert "told to fail" in operation["error"]["message"]
    assert operation["error"]["code"] > 0


def test_what_is_wrong_is_said_before_anything_is_created(stack: JobsStack) -> None:
    before = len(as_json(stack, "list", "-n", "500")["jobs"])
    assert "one of analysis.batch" in job(stack, "run", "nothing", code=1).stderr
    assert "request.prefix" in job(stack, "run", "cache.clean", "-r", '{"prefix": 1}', code=1).stderr
    assert "--deadline" in job(stack, "run", "cache.clean", "--deadline", "soon", code=1).stderr
    assert "not found" in as_json(stack, "show", "nothing", code=1)["error"]
    assert len(as_json(stack, "list", "-n", "500")["jobs"]) == before


def test_a_job_is_followed_from_elsewhere_and_cancelled(stack: JobsStack) -> None:
    name = job(stack, "run", "test.echo", "-r", '{"sleep_s": 60}', "--no-wait", "--key", "long").stdout.strip()
    assert job(stack, "run", "test.echo", "-r", "{}", "--no-wait", "--key", "long").stdout.strip() == name
    wait_until(lambda: state(stack, name) == "JOB_STATE_RUNNING", "it runs")
    assert name in job(stack, "list", "--kind", "test.echo", "--state", "running").stdout
    assert name not in job(stack, "list", "--state", "succeeded").stdout
    assert "long" in job(stack, "show", name).stdout
    with subprocess.Popen(command(stack, "wait", name), cwd=REPOSITORY, env=stack.env, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr is not None
        assert "is running" in waiting.stderr.readline()
        waiting.send_signal(signal.SIGINT)
        said = waiting.stderr.read()
        assert (waiting.wait(20), f"signalbox job wait {name}" in said) == (130, True)
    assert state(stack, name) == "JOB_STATE_RUNNING"
    job(stack, "cancel", name)
    assert "cancelled" in job(stack, "wait", name, code=1).stderr
    assert as_json(stack, "wait", name, code=1)["error"]["code"] == 1


def test_without_an_edge_it_says_what_to_do(stack: JobsStack) -> None:
    away = JobsStack(stack.home, stack.env | {"SIGNALBOX_EDGE_PORT": "1"}, "", "", stack.valkey, stack.service)
    assert "make status" in job(away, "list", code=1).stderr
