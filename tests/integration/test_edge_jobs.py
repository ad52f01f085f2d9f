"""Operations and files of reports through Envoy: paths, packed messages, large bodies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import empty_pb2
from signalbox.reports.v1 import jobs_service_pb2 as jobs
from signalbox.reports.v1 import reports_service_pb2 as reports
from signalbox.reports.v1 import reports_service_pb2_grpc as reports_grpc

from tests.integration.edge_servers import RunningEnvoy, edge_settings, running_envoy

FILE = b"<!doctype html>" + bytes(range(256)) * 40_000
PART = 64 << 10


class SmallOperations(operations_pb2_grpc.OperationsServicer):  # type: ignore[misc]
    """Answers with what it was asked."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    async def GetOperation(self, request: Any, context: Any) -> Any:
        self.calls.append(request)
        operation = operations_pb2.Operation(name=request.name, done=True)
        operation.metadata.Pack(jobs.Job(id=request.name.removeprefix("operations/"), kind="report.daily", state=jobs.JOB_STATE_SUCCEEDED))
        operation.response.Pack(reports.DailyReport(id="2013-03-01-00000000", symbols_expected=5))
        return operation

    async def ListOperations(self, request: Any, context: Any) -> Any:
        self.calls.append(request)
        return operations_pb2.ListOperationsResponse(next_page_token="more")

    async def WaitOperation(self, request: Any, context: Any) -> Any:
        self.calls.append(request)
        return operations_pb2.Operation(name=request.name)

    async def CancelOperation(self, request: Any, context: Any) -> Any:
        self.calls.append(request)
        return empty_pb2.Empty()

    async def DeleteOperation(self, request: Any, context: Any) -> Any:
        self.calls.append(request)
        return empty_pb2.Empty()


class SmallReports(reports_grpc.ReportsServiceServicer):
    async def DownloadReport(self, request: Any, context: Any) -> AsyncIterator[HttpBody]:
        for start in range(0, len(FILE), PART):
            yield HttpBody(content_type="text/html; charset=utf-8", data=FILE[start : start + PART])


@pytest.fixture(scope="module")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEnvoy]:
    with running_envoy(tmp_path_factory.mktemp("envoy"), edge_settings()) as running:
        yield running


@pytest.fixture
async def operations(envoy: RunningEnvoy) -> AsyncIterator[SmallOperations]:
    server, servicer = grpc.aio.server(), SmallOperations()
    operations_pb2_grpc.add_OperationsServicer_to_server(servicer, server)
    reports_grpc.add_ReportsServiceServicer_to_server(SmallReports(), server)  # type: ignore[abstract]
    server.add_insecure_port(f"127.0.0.1:{envoy.settings.reports_port}")
    await server.start()
    yield servicer
    await server.stop(None)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_an_operation_shows_its_job_and_its_result(envoy: RunningEnvoy, operations: SmallOperations, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{envoy.url}/v1/operations/abc-1") as answer:
        assert answer.status == 200
        body = await answer.json()
    assert body["name"] == "operations/abc-1"
    assert body["done"] is True
    assert body["metadata"]["@type"].endswith("signalbox.reports.v1.Job")
    assert body["metadata"]["state"] == "JOB_STATE_SUCCEEDED"
    assert body["response"]["symbols_expected"] == 5


async def test_list_takes_a_filter(envoy: RunningEnvoy, operations: SmallOperations, http: aiohttp.ClientSession) -> None:
    query = {"filter": 'kind = "report.daily" AND state = running', "page_size": "3"}
    async with http.get(f"{envoy.url}/v1/operations", params=query) as answer:
        assert answer.status == 200
        assert (await answer.json())["next_page_token"] == "more"
    assert operations.calls == [operations_pb2.ListOperationsRequest(name="operations", filter=query["filter"], page_size=3)]


async def test_wait_cancel_and_delete_have_paths(envoy: RunningEnvoy, operations: SmallOperations, http: aiohttp.ClientSession) -> None:
    async with http.post(f"{envoy.url}/v1/operations/abc-1:wait", json={"timeout": "2.5s"}) as answer:
        assert answer.status == 200
    async with http.post(f"{envoy.url}/v1/operations/abc-1:cancel", json={}) as answer:
        assert answer.status == 200
    async with http.delete(f"{envoy.url}/v1/operations/abc-1") as answer:
        assert answer.status == 200
    wait, cancel, delete = operations.calls
    assert (wait.name, wait.timeout.seconds, wait.timeout.nanos) == ("operations/abc-1", 2, 500_000_000)
    assert cancel == operations_pb2.CancelOperationRequest(name="operations/abc-1")
    assert delete == operations_pb2.DeleteOperationRequest(name="operations/abc-1")


async def test_a_large_file_of_a_report_comes_whole_and_as_what_it_is(envoy: RunningEnvoy, operations: SmallOperations, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{envoy.url}/v1/reports/latest/files/report.html") as answer:
        assert answer.status == 200
        assert answer.content_type == "text/html"
        assert await answer.read() == FILE


async def test_without_its_service_a_path_is_a_503_problem(envoy: RunningEnvoy, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{envoy.url}/v1/news/articles") as answer:
        assert answer.status == 503
