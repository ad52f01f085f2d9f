"""Work that is not live, through the edge of the running stack: schedule, jobs, reports, news; over REST, gRPC, the WebSocket and the command line."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pyarrow.parquet
import pytest
from google.longrunning import operations_pb2, operations_pb2_grpc
from signalbox.news.v1 import news_service_pb2, news_service_pb2_grpc
from signalbox.reports.v1 import (
    jobs_service_pb2,
    jobs_service_pb2_grpc,
    reports_service_pb2,
    reports_service_pb2_grpc,
    schedule_service_pb2,
    schedule_service_pb2_grpc,
)

from tests.e2e.conftest import Stack, signalbox
from tests.e2e.records import publish_article
from tests.ports import free_ports

#: What the file of the schedule names.
SCHEDULES = {"cache-clean", "daily-history", "daily-report", "news", "nightly-analysis", "recorded-news"}
KINDS = {"report.daily", "history.collect", "analysis.batch", "news.crawl", "cache.clean"}
#: Seconds that a job may take on a busy machine.
PATIENCE_S = 120.0
DAY = "2011-08-08"


def run(stack: Stack, *arguments: str) -> Any:
    """What a command prints with --json."""
    done = signalbox(stack.env, *arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@asynccontextmanager
async def channel_of(stack: Stack) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(stack.edge) as channel:
        yield channel


async def send(stack: Stack, method: str, path: str, body: dict[str, Any] | None = None, status: int = 200) -> Any:
    async with aiohttp.ClientSession(stack.base_url) as session, session.request(method, path, json=body) as answer:
        assert answer.status == status, f"{method} {path}: {answer.status} {await answer.text()}"
        return await answer.json()


def moment(text: str) -> datetime:
    # Timestamps have up to nine digits, of which Python takes six.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", text))


async def until_run(stack: Stack, schedule: str) -> list[dict[str, Any]]:
    """The runs of a schedule once there is one that ended."""
    end = time.monotonic() + PATIENCE_S
    while True:
        runs: list[dict[str, Any]] = (await send(stack, "GET", f"/v1/schedules/{schedule}/runs"))["runs"]
        if any("ended_at" in each for each in runs):
            return runs
        assert time.monotonic() < end, f"no run of {schedule} has ended: {runs}"


async def test_the_schedule_names_its_leader_and_its_runs(stack: Stack) -> None:
    runs = await until_run(stack, "daily-report")
    first = runs[-1]
    assert first["state"] == "RUN_STATE_SUCCEEDED"
    assert moment(first["planned_at"]) <= moment(first["started_at"]) < moment(first["ended_at"])
    assert int(first["peak_memory_bytes"]) > 0
    assert re.fullmatch("[0-9a-f]{32}", first["trace_id"])
    job = await send(stack, "GET", f"/v1/operations/{first['job_id']}")
    assert (job["done"], job["metadata"]["kind"], job["metadata"]["owner"]) == (True, "report.daily", "schedule:daily-report")
    listed = await send(stack, "GET", "/v1/schedules")
    assert listed["leader"]
    assert {each["name"] for each in listed["schedules"]} == SCHEDULES
    assert all(each["next_run_at"] and each["when"] and each["owner"] for each in listed["schedules"])
    async with channel_of(stack) as channel:
        same = await schedule_service_pb2_grpc.ScheduleServiceStub(channel).ListSchedules(schedule_service_pb2.ListSchedulesRequest(), timeout=10)
    assert (same.leader, {each.name for each in same.schedules}) == (listed["leader"], SCHEDULES)


async def test_the_schedule_on_the_command_line(stack: Stack) -> None:
    await until_run(stack, "news")
    assert {each["name"] for each in run(stack, "schedule", "list")["schedules"]} == SCHEDULES
    runs = run(stack, "schedule", "runs", "news", "--last", "1")["runs"]
    assert [each["schedule"] for each in runs] == ["news"]
    assert {"news", "daily-report"} <= {each["schedule"] for each in run(stack, "schedule", "runs")["runs"]}
    shown = signalbox(stack.env, "schedule", "list").stdout
    assert all(name in shown for name in SCHEDULES)
    assert "active scheduler: " in shown


async def test_a_report_from_the_command_line_and_its_files(stack: Stack) -> None:
    report = run(stack, "report", "daily", "--date", DAY, "-s", "IBM.XNYS", "-f", "html", "-f", "json")
    assert (report["date"], report["symbols_arrived"]) == (DAY, 1)
    async with aiohttp.ClientSession(stack.base_url) as session:
        for file in report["files"]:
            async with session.get(f"/v1/reports/{report['id']}/files/{file['name']}") as answer:
                data = await answer.read()
            assert (answer.status, len(data), hashlib.sha256(data).hexdigest()) == (200, int(file["size_bytes"]), file["sha256"])
    async with channel_of(stack) as channel:
        listed = await reports_service_pb2_grpc.ReportsServiceStub(channel).ListReports(reports_service_pb2.ListReportsRequest(), timeout=10)
    assert report["id"] in {each.id for each in listed.reports}


async def test_a_batch_of_analyses_leaves_tables(stack: Stack) -> None:
    done = run(stack, "job", "run", "analysis.batch", "-r", '{"symbols": ["AAPL.XNAS", "NONE.XNAS"]}')
    result = done["response"]
    assert (result["symbols"], [each["symbol"] for each in result["failures"]]) == (1, ["NONE.XNAS"])
    values = pyarrow.parquet.read_table(stack.home / result["table"])
    assert values.num_rows == int(result["rows"]) > 0
    assert {"symbol", "ts_open", "close", "sma_20"} <= set(values.column_names)
    assert pyarrow.parquet.read_table(stack.home / result["signals_table"]).num_rows == int(result["signals"])


def test_history_is_collected(stack: Stack) -> None:
    done = run(stack, "job", "run", "history.collect", "-r", '{"source": "stocks", "symbols": ["IBM.XNYS"]}')
    assert done["metadata"]["state"] == "JOB_STATE_SUCCEEDED"
    assert (done["response"]["symbols"], done["response"]["failures"]) == (1, [])
    assert int(done["response"]["bars_read"]) > 1_000


async def test_a_running_job_is_cancelled(stack: Stack) -> None:
    # Symbols that nobody knows: each has to be asked for, so that this takes long enough for a command to come in between.
    unknown = [f"N{number:05d}.XNAS" for number in range(10_000)]
    operation = await send(stack, "POST", "/v1/jobs", {"kind": "analysis.batch", "request": {"symbols": unknown}, "owner": "e2e"})
    while operation["metadata"]["state"] == "JOB_STATE_WAITING":
        operation = await send(stack, "GET", f"/v1/{operation['name']}")
    assert operation["metadata"]["state"] == "JOB_STATE_RUNNING"
    cancelled = signalbox(stack.env, "job", "cancel", operation["metadata"]["id"])
    assert cancelled.returncode == 0, cancelled.stderr
    ended = await send(stack, "POST", f"/v1/{operation['name']}:wait", {"timeout": "20s"})
    assert (ended["done"], ended["metadata"]["state"]) == (True, "JOB_STATE_CANCELLED")
    assert ended["error"]["code"] == grpc.StatusCode.CANCELLED.value[0]
    assert run(stack, "job", "list", "--state", "cancelled")["jobs"][0]["id"] == ended["metadata"]["id"]
    # Its request is large; others list jobs, too.
    await send(stack, "DELETE", f"/v1/{operation['name']}")


async def test_jobs_over_grpc(stack: Stack) -> None:
    async with channel_of(stack) as channel:
        jobs, operations = jobs_service_pb2_grpc.JobsServiceStub(channel), operations_pb2_grpc.OperationsStub(channel)
        kinds = await jobs.ListJobKinds(jobs_service_pb2.ListJobKindsRequest(), timeout=10)
        assert {each.name for each in kinds.kinds} >= KINDS
        operation = await jobs.CreateJob(jobs_service_pb2.CreateJobRequest(kind="cache.clean", owner="e2e"), timeout=10)
        request = operations_pb2.WaitOperationRequest(name=operation.name)
        request.timeout.FromSeconds(20)
        done = await operations.WaitOperation(request, timeout=30)
        job = jobs_service_pb2.Job()
        assert done.done
        assert done.metadata.Unpack(job)
        assert job.state == jobs_service_pb2.JOB_STATE_SUCCEEDED
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await jobs.CreateJob(jobs_service_pb2.CreateJobRequest(kind="nonsense"), timeout=10)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "report.daily" in (refused.value.details() or "")


async def test_news_by_list_search_and_feeds(stack: Stack) -> None:
    word = f"quixotry{time.time_ns()}"
    identity = publish_article(stack, f"A case of {word}", url="https://news.example/1", symbol="IBM.XNYS")
    end = time.monotonic() + PATIENCE_S
    hits: list[Any] = []
    while not hits:
        assert time.monotonic() < end, "the article was never found"
        hits = (await send(stack, "GET", f"/v1/news/articles:search?query={word}")).get("hits", [])
    assert [hit["article"]["id"] for hit in hits] == [identity]
    assert [hit["article"]["id"] for hit in run(stack, "news", "search", word)["hits"]] == [identity]
    assert identity in {each["id"] for each in run(stack, "news", "list", "IBM.XNYS")["articles"]}
    feeds = {each["name"]: each for each in run(stack, "news", "feeds")["feeds"]}
    assert feeds["recorded-fed"]["health"] == "FEED_HEALTH_RECORDED"
    async with channel_of(stack) as channel:
        same = await news_service_pb2_grpc.NewsServiceStub(channel).ListFeeds(news_service_pb2.ListFeedsRequest(), timeout=10)
    assert {each.name for each in same.feeds} == feeds.keys()


async def test_jobs_and_news_come_over_the_websocket(stack: Stack) -> None:
    title = f"A test has begun, number {time.time_ns()}"
    async with aiohttp.ClientSession() as session, session.ws_connect(f"ws://{stack.edge}/v1/stream") as socket:
        await socket.send_json({"action": "subscribe", "id": "1", "jobs": ["cache.clean"], "news": ["*"], "alerts": ["*"]})
        await until(socket, lambda message: message["T"] == "subscriptions")
        operation = await send(stack, "POST", "/v1/jobs", {"kind": "cache.clean"})
        identity = operation["metadata"]["id"]
        seen = await until(socket, lambda message: message["T"] == "job" and message["id"] == identity and message["state"] == "succeeded")
        assert {message["kind"] for message in seen if message["T"] == "job"} == {"cache.clean"}
        assert next(message["state"] for message in seen if message.get("id") == identity) in {"waiting", "running"}
        published = publish_article(stack, title, url="https://news.example/2")
        article = (await until(socket, lambda message: message["T"] == "news" and message["id"] == published))[-1]
    assert (article["title"], article["url"], article.get("recorded", False)) == (title, "https://news.example/2", False)


async def until(socket: aiohttp.ClientWebSocketResponse, wanted: Any) -> list[dict[str, Any]]:
    """The messages up to the one that is wanted."""
    seen: list[dict[str, Any]] = []
    end = time.monotonic() + PATIENCE_S
    while True:
        for message in await socket.receive_json(timeout=PATIENCE_S):
            seen.append(message)
            if wanted(message):
                return seen
        assert time.monotonic() < end, seen[-10:]


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/jobs", {"kind": "nonsense"}, "kind: expected one of "),
        ("/v1/jobs", {"kind": "history.collect", "request": {"sauce": 1}}, "request.sauce: expected one of the fields "),
        ("/v1/jobs", {"kind": "cache.clean", "priority": 9}, "priority"),
        ("/v1/reports/daily", {"universe": ["apple"]}, "universe: expected "),
    ],
)
async def test_a_wrong_request_names_its_field(stack: Stack, path: str, body: dict[str, Any], expected: str) -> None:
    assert expected in (await send(stack, "POST", path, body, 400))["message"]


@pytest.mark.parametrize(
    "path", ["/v1/news/articles?symbols=apple", "/v1/news/articles?page_size=-1", "/v1/news/articles:search?query=", "/v1/schedules/nothing/runs"]
)
async def test_a_wrong_question_is_refused(stack: Stack, path: str) -> None:
    async with aiohttp.ClientSession(stack.base_url) as session, session.get(path) as answer:
        assert answer.status in (400, 404), await answer.text()
        assert re.search("expected|not found", (await answer.json())["message"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("job", "run", "history.collect", "-r", '{"source": "nonsense"}'),
        ("job", "run", "cache.clean", "-r", "{"),
        ("job", "show", "nothing"),
        ("news", "list", "apple"),
    ],
)
def test_a_command_says_what_is_wrong(stack: Stack, arguments: tuple[str, ...]) -> None:
    done = signalbox(stack.env, *arguments)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert re.search("expected|no JSON|not found", done.stderr)


@pytest.mark.parametrize(
    "arguments", [("job", "list"), ("schedule", "list"), ("news", "feeds"), ("report", "daily"), ("price", "ES.XCME"), ("watch", "ES.XCME")]
)
def test_a_command_without_a_stack_says_how_to_start_one(stack: Stack, arguments: tuple[str, ...]) -> None:
    done = signalbox({**stack.env, "SIGNALBOX_EDGE_PORT": str(free_ports(1)[0])}, *arguments)
    assert done.returncode == 1
    said = done.stderr.strip().splitlines()
    assert len(said) == 2
    assert "nothing answers at" in said[0]
    assert "`make up` starts it" in said[1]
