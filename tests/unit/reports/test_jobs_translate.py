"""What crosses the jobs door, in both directions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf import struct_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict, ParseDict
from google.rpc import code_pb2
from signalbox.events.v1 import job_pb2
from signalbox.prices.v1 import history_job_pb2
from signalbox.reports.v1 import jobs_service_pb2 as pb

from services.reports import translate
from services.runtime.errors import InvalidArgument
from services.runtime.job_kinds import CACHE_CLEAN, HISTORY_COLLECT, JOB_KINDS
from services.runtime.jobs import Job, JobState, Priority, Progress

S = 10**9
NOW = 1_767_571_200 * S


def job(**changes: Any) -> Job:
    request = pb.CleanCacheRequest(prefixes=["analysis:"], reason="full").SerializeToString()
    made = Job(id="ab12", kind="cache.clean", state=JobState.WAITING, priority=Priority.HIGH, request=request, created_ns=NOW, max_attempts=5)
    return replace(made, **changes)


def ask(**fields: Any) -> pb.CreateJobRequest:
    return ParseDict({"kind": "cache.clean"} | fields, pb.CreateJobRequest())


def refused(request: pb.CreateJobRequest) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        translate.new_job_of(request, JOB_KINDS, NOW, None)
    return caught.value


def test_a_request_becomes_the_kinds_message() -> None:
    request = ask(request={"prefixes": ["analysis:"], "reason": "full"}, priority="JOB_PRIORITY_LOW", unique_key="k", deadline="90s", owner="cli")
    new = translate.new_job_of(request, JOB_KINDS, NOW, "00-trace")
    assert new.request == pb.CleanCacheRequest(prefixes=["analysis:"], reason="full")
    assert (new.priority, new.unique_key, new.deadline_ns, new.owner, new.traceparent) == (Priority.LOW, "k", NOW + 90 * S, "cli", "00-trace")


def test_what_is_not_said_is_the_default() -> None:
    new = translate.new_job_of(ask(), JOB_KINDS, NOW, None)
    assert new.request == pb.CleanCacheRequest()
    assert (new.priority, new.unique_key, new.deadline_ns, new.owner, new.traceparent) == (None, "", 0, "api", "")


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"kind": "nothing"}, "kind", "one of analysis.batch, cache.clean,"),
        ({"kind": ""}, "kind", "one of"),
        ({"unique_key": "k" * 201}, "unique_key", "at most 200"),
        ({"owner": "a\nb"}, "owner", "printable"),
        ({"owner": "a" * 101}, "owner", "at most 100"),
        ({"priority": 9}, "priority", "JOB_PRIORITY_HIGH"),
        ({"deadline": "0s"}, "deadline", "more than 0 s"),
        ({"deadline": "-1s"}, "deadline", "more than 0 s"),
        ({"deadline": "2592001s"}, "deadline", "at most 30 days"),
        ({"request": {"prefix": "analysis:"}}, "request.prefix", "one of the fields prefixes, reason"),
        ({"request": {"reason": 5}}, "request.reason", "CleanCacheRequest"),
        ({"request": {"prefixes": "analysis:"}}, "request.prefixes", "CleanCacheRequest"),
        ({"kind": "history.collect", "request": {"start": {"years": 1}}}, "request.start", "CollectHistoryRequest"),
        ({"kind": "history.collect", "request": {"interval": "INTERVAL_9Y"}}, "request.interval", "CollectHistoryRequest"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], field: str, says: str) -> None:
    error = refused(ask(**fields))
    assert error.field == field
    assert says in str(error)


def test_an_unknown_field_deep_in_the_request_is_named_with_its_path() -> None:
    kind = replace(CACHE_CLEAN, request=pb.ListJobsResponse)
    given = ParseDict({"jobs": [{"progress": {"speed": 1}}]}, struct_pb2.Struct())
    with pytest.raises(InvalidArgument, match=r"request\.jobs\.progress\.speed: expected one of the fields done, total, unit, message"):
        translate.request_message(kind, given)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numbers_that_json_does_not_have_are_refused(number: float) -> None:
    given = struct_pb2.Struct()
    given["reason"] = number
    assert refused(pb.CreateJobRequest(kind="cache.clean", request=given)).field == "request"


@pytest.mark.parametrize("duration", [Duration(seconds=1, nanos=-5), Duration(nanos=S)])
def test_a_duration_whose_parts_do_not_fit_is_refused(duration: Duration) -> None:
    assert refused(pb.CreateJobRequest(kind="cache.clean", deadline=duration)).field == "deadline"


def test_names_of_operations() -> None:
    assert translate.job_id_of("operations/ab-1") == "ab-1"
    for wrong in ("", "operations", "operations/", "operations/a/b", "jobs/a", "operations/ä", "operations/" + "a" * 129):
        with pytest.raises(InvalidArgument, match="operations/<id>"):
            translate.job_id_of(wrong)


def test_a_waiting_job_is_an_operation_that_is_not_done() -> None:
    operation = translate.operation_message(job(), JOB_KINDS, NOW)
    metadata = pb.Job()
    assert operation.metadata.Unpack(metadata)
    assert (operation.name, operation.done, operation.WhichOneof("result")) == ("operations/ab12", False, None)
    shown = MessageToDict(metadata, preserving_proto_field_name=True)
    assert shown == {
        "id": "ab12",
        "kind": "cache.clean",
        "state": "JOB_STATE_WAITING",
        "priority": "JOB_PRIORITY_HIGH",
        "max_attempts": 5,
        "progress": {},
        "created_at": "2026-01-05T00:00:00Z",
        "owner": "api",
        "request": {"prefixes": ["analysis:"], "reason": "full"},
    }


def test_a_result_is_the_response_of_the_kinds_type() -> None:
    result = pb.CleanCacheResult(removed_keys=3, freed_bytes=4)
    operation = translate.operation_message(job(state=JobState.SUCCEEDED, result=result.SerializeToString(), ended_ns=NOW), JOB_KINDS, NOW)
    unpacked = pb.CleanCacheResult()
    assert operation.done
    assert operation.response.Unpack(unpacked)
    assert unpacked == result


def test_an_empty_result_is_a_response_all_the_same() -> None:
    assert translate.operation_message(job(state=JobState.SUCCEEDED, result=b""), JOB_KINDS, NOW).WhichOneof("result") == "response"


@pytest.mark.parametrize(
    ("state", "code", "error", "expected"),
    [
        (JobState.FAILED, code_pb2.DEADLINE_EXCEEDED, "too late", (code_pb2.DEADLINE_EXCEEDED, "too late")),
        (JobState.CANCELLED, code_pb2.CANCELLED, "", (code_pb2.CANCELLED, "cancelled")),
        (JobState.BURIED, 0, "worker died", (code_pb2.UNKNOWN, "worker died")),
    ],
)
def test_an_end_without_result_is_an_error(state: JobState, code: int, error: str, expected: tuple[int, str]) -> None:
    operation = translate.operation_message(job(state=state, error_code=code, error=error), JOB_KINDS, NOW)
    assert operation.done
    assert (operation.error.code, operation.error.message) == expected


def test_a_result_of_a_kind_that_is_not_known_here_is_not_invented() -> None:
    operation = translate.operation_message(job(kind="their.kind", state=JobState.SUCCEEDED, result=b"x"), JOB_KINDS, NOW)
    assert operation.error.code == code_pb2.UNIMPLEMENTED
    assert "SIGNALBOX_JOB_KINDS_MODULE" in operation.error.message


@pytest.mark.parametrize(
    ("state", "progress", "expected"),
    [
        (JobState.RUNNING, Progress(1, 4), NOW + 30 * S),
        (JobState.RUNNING, Progress(4, 4), 0),
        (JobState.RUNNING, Progress(0, 4), 0),
        (JobState.RUNNING, Progress(3, 0), 0),
        (JobState.RUNNING, Progress(5, 4), 0),
        (JobState.RETRYING, Progress(1, 4), 0),
    ],
)
def test_the_estimated_end_follows_from_progress_or_is_absent(state: JobState, progress: Progress, expected: int) -> None:
    message = translate.job_message(job(state=state, progress=progress, started_ns=NOW - 10 * S), JOB_KINDS, NOW)
    assert message.estimated_end_at.ToNanoseconds() == expected
    assert message.HasField("estimated_end_at") == (expected > 0)


def test_lists_leave_long_requests_out() -> None:
    long = history_job_pb2.CollectHistoryRequest(symbols=[f"S{number}.XNAS" for number in range(2000)]).SerializeToString()
    listed = translate.job_message(job(kind=HISTORY_COLLECT.name, request=long), JOB_KINDS, NOW, listed=True)
    alone = translate.job_message(job(kind=HISTORY_COLLECT.name, request=long), JOB_KINDS, NOW)
    assert not listed.HasField("request")
    assert len(alone.request["symbols"]) == 2000  # type: ignore[arg-type]


def test_memory_is_absent_when_it_was_not_measured() -> None:
    assert not translate.job_message(job(), JOB_KINDS, NOW).HasField("kept_memory_bytes")
    measured = translate.job_message(job(peak_memory_bytes=5, kept_memory_bytes=-1), JOB_KINDS, NOW)
    assert (measured.peak_memory_bytes, measured.kept_memory_bytes) == (5, -1)


def test_a_record_of_results_is_the_job_again() -> None:
    event = job_pb2.JobEvent(id="ab12", kind="cache.clean", state="succeeded", priority="low", attempt=2, ts_created=1, ts_started=2, ts_ended=3, owner="cli")
    record = job_pb2.JobResult(job=event, request=b"", result=b"\x08\x03", unique_key="k", peak_memory_bytes=7)
    read = translate.job_of_result(record.SerializeToString())
    assert (read.state, read.priority, read.attempt, read.result, read.unique_key, read.ended_ns) == (JobState.SUCCEEDED, Priority.LOW, 2, b"\x08\x03", "k", 3)
    with pytest.raises(ValueError, match="thriving"):
        translate.job_of_result(job_pb2.JobResult(job=job_pb2.JobEvent(state="thriving")).SerializeToString())


def test_every_state_and_priority_has_its_name_on_the_wire() -> None:
    states = [translate.job_message(job(state=state), JOB_KINDS, NOW).state for state in JobState]
    assert translate.states_of(states) == list(JobState)
    assert len(set(states)) == len(pb.JobState.values()) - 1
    priorities = [translate.job_message(job(priority=priority), JOB_KINDS, NOW).priority for priority in Priority]
    assert [translate.priority_of(priority) for priority in priorities] == list(Priority)


def test_kinds_are_shown_with_their_limits() -> None:
    info = translate.kind_info(CACHE_CLEAN)
    assert (info.request_type, info.max_attempts, info.attempt_limit.seconds, info.kept.seconds) == ("signalbox.reports.v1.CleanCacheRequest", 5, 120, 86400)
