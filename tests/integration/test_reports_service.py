"""The gRPC service of reports over real Valkey and Kafka, without a worker: the test ends the jobs where one is needed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2 as lro
from google.longrunning.operations_pb2_grpc import OperationsStub
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from google.rpc import error_details_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from grpc_status import rpc_status
from signalbox.events.v1 import job_pb2
from signalbox.reports.v1 import jobs_service_pb2 as pb
from signalbox.reports.v1.jobs_service_pb2_grpc import JobsServiceStub

from deploy.local.valkey import EmbeddedValkey
from services.runtime.grpc_client import channel
from services.runtime.headers import read_headers
from services.runtime.job_queue.events import send_result
from services.runtime.jobs import Job, JobState, Priority
from services.runtime.kafka import KafkaPublisher, Record, TopicReader, make_producer
from services.runtime.kafka_admin import ensure_topics
from services.runtime.settings import EXIT_WRONG_SETTINGS
from services.runtime.testing import eventually
from services.runtime.topics import JOBS, RESULTS
from tests.integration.reports_kinds import ECHO, NARROW
from tests.ports import free_ports
from tests.processes import Process, wait_until
from tests.servers import new_broker

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@dataclass
class Stack:
    """What runs for the tests of this module."""

    service: Process
    valkey: EmbeddedValkey
    bootstrap: str
    address: str


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("reports-stack")
    ports = free_ports(3)
    with new_broker(home / "kafka") as broker, EmbeddedValkey(home / "valkey", ports[0]) as valkey:
        ensure_topics(broker.bootstrap, 1, (JOBS, RESULTS))
        env = {
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
            "REDIS_URL": valkey.url,
            "SIGNALBOX_REPORTS_PORT": str(ports[1]),
            "SIGNALBOX_REPORTS_METRICS_PORT": str(ports[2]),
            "SIGNALBOX_JOB_KINDS_MODULE": "tests.integration.reports_kinds",
        }
        service = Process(["services.reports"], home / "reports.log", ports[2], env)
        try:
            service.wait_ready()
            yield Stack(service, valkey, broker.bootstrap, f"127.0.0.1:{ports[1]}")
            assert service.terminate() == 0
        finally:
            service.end()
            print(service.log[-10000:])


@dataclass
class Client:
    """Both doors through one channel."""

    jobs: Any
    operations: Any

    async def create(self, metadata: tuple[tuple[str, str], ...] = (), **fields: Any) -> lro.Operation:
        request = ParseDict({"kind": ECHO.name} | fields, pb.CreateJobRequest())
        operation: lro.Operation = await self.jobs.CreateJob(request, timeout=20, metadata=metadata)
        return operation

    async def get(self, name: str) -> lro.Operation:
        operation: lro.Operation = await self.operations.GetOperation(lro.GetOperationRequest(name=name), timeout=20)
        return operation


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[Client]:
    async with channel(stack.address) as connection:
        yield Client(JobsServiceStub(connection), OperationsStub(connection))


@pytest.fixture
def events(stack: Stack) -> Iterator[list[Record]]:
    records: list[Record] = []
    reader = TopicReader(stack.bootstrap, [JOBS.name], records.extend)
    reader.start()
    yield records
    reader.stop()


def metadata_of(operation: lro.Operation) -> pb.Job:
    found = pb.Job()
    assert operation.metadata.Unpack(found)
    return found


def details_of(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """The google.rpc details of an error by the names of their types."""
    status = rpc_status.from_call(error)
    assert status is not None
    found: dict[str, Any] = {}
    for detail in status.details:
        kind = getattr(error_details_pb2, detail.type_url.rpartition(".")[2])
        message = kind()
        detail.Unpack(message)
        found[kind.__name__] = message
    return found


async def test_health_and_reflection_name_both_services(stack: Stack) -> None:
    async with channel(stack.address) as connection:
        for name in ("", "signalbox.reports.v1.JobsService", "google.longrunning.Operations"):

            async def serves(name: str = name) -> bool:
                answer = await HealthStub(connection).Check(HealthCheckRequest(service=name))
                return bool(answer.status == HealthCheckResponse.SERVING)

            assert await eventually(serves)
        listing = ServerReflectionStub(connection).ServerReflectionInfo(iter([ServerReflectionRequest(list_services="")]))
        names = {service.name async for answer in listing for service in answer.list_services_response.service}
    assert {"signalbox.reports.v1.JobsService", "google.longrunning.Operations"} <= names


async def test_a_job_is_an_operation_and_both_are_told_on_kafka(client: Client, events: list[Record]) -> None:
    operation = await client.create((("traceparent", TRACE),), request={"a": [1, "b", None]}, priority="JOB_PRIORITY_HIGH", owner="cli")
    job = metadata_of(operation)
    assert (job.kind, job.state, job.priority, job.owner) == (ECHO.name, pb.JOB_STATE_WAITING, pb.JOB_PRIORITY_HIGH, "cli")
    assert MessageToDict(job.request) == {"a": [1, "b", None]}
    assert job.traceparent.split("-")[1] == TRACE.split("-")[1]
    assert await client.get(operation.name) == operation
    await client.operations.CancelOperation(lro.CancelOperationRequest(name=operation.name), timeout=20)
    ended = await client.get(operation.name)
    assert (ended.done, ended.error.code) == (True, grpc.StatusCode.CANCELLED.value[0])

    def told() -> list[Record]:
        found = [record for record in events if record.key == job.id.encode()]
        return found if len(found) == 2 else []

    records = await eventually(told)
    parsed = [job_pb2.JobEvent.FromString(record.value) for record in records]
    assert [(event.state, event.owner, event.priority) for event in parsed] == [("waiting", "cli", "high"), ("cancelled", "cli", "high")]
    assert parsed[1].ts_ended > parsed[0].ts_created > 0
    headers = read_headers(records[0].headers)
    assert headers.schema == "signalbox.events.v1.JobEvent"
    assert (headers.traceparent or "").split("-")[1] == TRACE.split("-")[1]


async def test_waiting_for_a_job_ends_at_its_timeout_or_its_end(client: Client) -> None:
    operation = await client.create()
    request = lro.WaitOperationRequest(name=operation.name)
    request.timeout.FromMilliseconds(200)
    assert not (await client.operations.WaitOperation(request, timeout=20)).done
    # Without a timeout it is answered before the call's own deadline.
    assert not (await client.operations.WaitOperation(lro.WaitOperationRequest(name=operation.name), timeout=1)).done
    waiting = client.operations.WaitOperation(lro.WaitOperationRequest(name=operation.name), timeout=30)
    await client.operations.CancelOperation(lro.CancelOperationRequest(name=operation.name), timeout=20)
    assert (await waiting).done


async def test_lists_have_filters_and_pages(client: Client) -> None:
    names = [(await client.create(owner="lists")).name for _ in range(5)]
    request = lro.ListOperationsRequest(name="operations", filter='owner = "lists" AND done = false', page_size=2)
    pages = []
    while True:
        page = await client.operations.ListOperations(request, timeout=20)
        pages.append([each.name for each in page.operations])
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert [name for each in pages for name in each] == names[::-1]
    listed = await client.jobs.ListJobs(pb.ListJobsRequest(kind=ECHO.name, states=[pb.JOB_STATE_WAITING], page_size=2), timeout=20)
    assert [f"operations/{job.id}" for job in listed.jobs] == names[:2:-1]
    assert listed.next_page_token
    kinds = (await client.jobs.ListJobKinds(pb.ListJobKindsRequest(), timeout=20)).kinds
    assert {ECHO.name, "cache.clean", "report.daily"} <= {kind.name for kind in kinds}


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"kind": "nothing"}, "kind"), ({"kind": "cache.clean", "request": {"prefix": "a"}}, "request.prefix"), ({"unique_key": "k" * 300}, "unique_key")],
)
async def test_a_wrong_request_is_refused_with_the_field(client: Client, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.create(**fields)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert details_of(caught.value)["BadRequest"].field_violations[0].field == field


async def test_a_wrong_filter_says_what_is_allowed(client: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=r'kind = "report\.daily", state = running') as caught:
        await client.operations.ListOperations(lro.ListOperationsRequest(filter="size > 5"), timeout=20)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_full_queue_refuses_with_a_delay_and_takes_nothing(client: Client) -> None:
    for _ in range(NARROW.max_waiting):
        await client.create(kind=NARROW.name)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.create(kind=NARROW.name)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details_of(caught.value)["RetryInfo"].retry_delay.seconds > 0
    waiting = await client.jobs.ListJobs(pb.ListJobsRequest(kind=NARROW.name), timeout=20)
    assert len(waiting.jobs) == NARROW.max_waiting


async def test_what_was_forgotten_is_answered_from_kafka(stack: Stack, client: Client) -> None:
    result = ParseDict({"answer": 42}, Struct()).SerializeToString()
    old = Job(
        id="0" * 23 + "1",
        kind=ECHO.name,
        state=JobState.SUCCEEDED,
        priority=Priority.LOW,
        request=b"",
        created_ns=10**9,
        attempt=1,
        result=result,
        ended_ns=10**10,
    )
    failed = Job(id="0" * 23 + "2", kind=ECHO.name, state=JobState.FAILED, priority=Priority.LOW, request=b"", created_ns=10**9, error_code=3, error="no")
    with pytest.raises(grpc.aio.AioRpcError, match=RESULTS.name) as caught:
        await client.get(f"operations/{old.id}")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    publisher = KafkaPublisher(make_producer(stack.bootstrap))
    for job in (old, failed, old):
        await send_result(publisher, job, ECHO)
    await publisher.close()

    async def answered() -> lro.Operation | None:
        try:
            return await client.get(f"operations/{old.id}")
        except grpc.aio.AioRpcError:
            return None

    operation = await eventually(answered)
    assert operation is not None
    response = Struct()
    assert operation.done
    assert operation.response.Unpack(response)
    assert MessageToDict(response) == {"answer": 42}
    assert metadata_of(operation).state == pb.JOB_STATE_SUCCEEDED
    assert (await client.get(f"operations/{failed.id}")).error.message == "no"
    assert await client.operations.WaitOperation(lro.WaitOperationRequest(name=operation.name), timeout=20) == operation
    assert stack.service.metric("signalbox_reports_results_indexed") == 2


async def test_a_store_that_is_away_is_unavailable_and_comes_back(stack: Stack, client: Client) -> None:
    kept = await client.create()
    stack.valkey.stop()
    try:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.create()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert details_of(caught.value)["RetryInfo"].retry_delay.seconds > 0
        wait_until(lambda: "queue" in stack.service.ask("/readyz")[1], "the service is not ready")
        assert stack.service.ask("/healthz")[0] == 200
    finally:
        stack.valkey.start()
    stack.service.wait_ready()
    assert await client.get(kept.name) == kept


def test_a_kinds_module_that_cannot_be_used_ends_the_start(stack: Stack, tmp_path: Path) -> None:
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap,
        "REDIS_URL": stack.valkey.url,
        "SIGNALBOX_REPORTS_PORT": "0",
        "SIGNALBOX_REPORTS_METRICS_PORT": "0",
        "SIGNALBOX_JOB_KINDS_MODULE": "nowhere.at_all",
    }
    service = Process(["services.reports"], tmp_path / "reports.log", 0, env)
    assert service.process.wait(60) == EXIT_WRONG_SETTINGS
    assert "SIGNALBOX_JOB_KINDS_MODULE: was 'nowhere.at_all'" in service.log
    assert "cannot be imported" in service.log
