"""Protobuf to jobs and back; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from google.longrunning import operations_pb2
from google.protobuf import any_pb2, duration_pb2, json_format, struct_pb2, timestamp_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, status_pb2
from signalbox.events.v1 import job_pb2
from signalbox.reports.v1 import jobs_service_pb2 as pb

from services.runtime.errors import InvalidArgument
from services.runtime.jobs import Job, JobKind, JobState, NewJob, Priority, Progress, estimated_end_ns
from services.runtime.timestamps import timestamp

#: What an operation's name begins with.
OPERATIONS = "operations/"
DEFAULT_PAGE, MAX_PAGE = 50, 500

_NS = 10**9
_MAX_KEY, _MAX_OWNER = 200, 100
#: A deadline further away is a mistake of units.
_MAX_DEADLINE_S = 30 * 86_400
#: In lists longer requests are left out: 500 reports of 2,000 symbols would be more than a message may hold.
_LISTED_REQUEST_BYTES = 4096
_TYPE_URL = "type.googleapis.com/"
_NAME = re.compile(rf"{OPERATIONS}([A-Za-z0-9_.:-]{{1,128}})")
_PATH = re.compile(r"Failed to parse (\w+) field")
_UNKNOWN = re.compile(r'has no field named "([^"]*)"')
_AVAILABLE = re.compile(r"Available Fields\(except extensions\): \"\[(.*?)\]\"", re.DOTALL)

_PRIORITIES: dict[pb.JobPriority, Priority] = {pb.JOB_PRIORITY_HIGH: Priority.HIGH, pb.JOB_PRIORITY_NORMAL: Priority.NORMAL, pb.JOB_PRIORITY_LOW: Priority.LOW}
_PRIORITY_ENUMS = {priority: enum for enum, priority in _PRIORITIES.items()}
_STATE_ENUMS: dict[JobState, pb.JobState] = {state: getattr(pb, f"JOB_STATE_{state.name}") for state in JobState}
_STATES = {enum: state for state, enum in _STATE_ENUMS.items()}


def new_job_of(request: pb.CreateJobRequest, kinds: Mapping[str, JobKind], now_ns: int, traceparent: str | None) -> NewJob:
    """What a request asks for. Raises InvalidArgument naming the field."""
    kind = kinds.get(request.kind)
    if kind is None:
        raise InvalidArgument("kind", request.kind, f"one of {', '.join(sorted(kinds))}")
    if len(request.unique_key) > _MAX_KEY:
        raise InvalidArgument("unique_key", request.unique_key, f"at most {_MAX_KEY} characters")
    if len(request.owner) > _MAX_OWNER or not request.owner.isprintable():
        raise InvalidArgument("owner", request.owner, f"at most {_MAX_OWNER} printable characters")
    return NewJob(
        kind=kind.name,
        request=request_message(kind, request.request),
        priority=priority_of(request.priority),
        unique_key=request.unique_key,
        deadline_ns=_deadline_ns(request, now_ns),
        owner=request.owner or "api",
        traceparent=traceparent or "",
    )


def priority_of(enum: pb.JobPriority) -> Priority | None:
    """None for the kind's own. Raises InvalidArgument."""
    if enum != pb.JOB_PRIORITY_UNSPECIFIED and enum not in _PRIORITIES:
        raise InvalidArgument("priority", enum, f"one of {', '.join(map(pb.JobPriority.Name, _PRIORITIES))}")
    return _PRIORITIES.get(enum)


def states_of(enums: Iterable[pb.JobState]) -> list[JobState]:
    """States to filter by. Raises InvalidArgument."""
    states = []
    for enum in enums:
        if enum not in _STATES:
            raise InvalidArgument("states", enum, f"one of {', '.join(map(pb.JobState.Name, _STATES))}")
        states.append(_STATES[enum])
    return states


def _deadline_ns(request: pb.CreateJobRequest, now_ns: int) -> int:
    if not request.HasField("deadline"):
        return 0
    length_ns = duration_ns("deadline", request.deadline)
    if not 0 < length_ns <= _MAX_DEADLINE_S * _NS:
        raise InvalidArgument("deadline", f"{length_ns / _NS:g} s", "more than 0 s and at most 30 days")
    return now_ns + length_ns


def duration_ns(field: str, duration: duration_pb2.Duration) -> int:
    """A duration in nanoseconds. Raises InvalidArgument when seconds and nanos do not go together."""
    seconds, nanos = duration.seconds, duration.nanos
    if abs(nanos) >= _NS or seconds * nanos < 0:
        raise InvalidArgument(field, f"{seconds} s and {nanos} ns", "seconds and nanos of the same sign, less than a second of nanos")
    return seconds * _NS + nanos


def page_size_of(page_size: int) -> int:
    """Rows in a page. Raises InvalidArgument."""
    if not 0 <= page_size <= MAX_PAGE:
        raise InvalidArgument("page_size", page_size, f"0 to {MAX_PAGE}")
    return page_size or DEFAULT_PAGE


def request_message(kind: JobKind, given: struct_pb2.Struct) -> Message:
    """The kind's request from JSON. Raises InvalidArgument naming the field that is unknown or wrong, `request.prefixes`."""
    message = kind.request()
    try:
        json_format.ParseDict(json_format.MessageToDict(given), message)
    except json_format.ParseError as error:
        raise _wrong_request(kind, str(error)) from error
    except ValueError as error:
        # Infinite and not-a-number values, which JSON does not have.
        raise InvalidArgument("request", "a number", f"finite numbers ({error})") from error
    return message


def _wrong_request(kind: JobKind, problem: str) -> InvalidArgument:
    unknown, available = _UNKNOWN.search(problem), _AVAILABLE.search(problem)
    path = ["request", *_PATH.findall(problem)]
    if unknown is None:
        return InvalidArgument(".".join(path), problem.rpartition(" field: ")[2].strip(". "), f"what {kind.request.DESCRIPTOR.full_name} takes there")
    fields = available[1].replace("'", "") if available else f"those of {kind.request.DESCRIPTOR.full_name}"
    return InvalidArgument(".".join([*path, unknown[1]]), unknown[1], f"one of the fields {fields}")


def job_id_of(name: str) -> str:
    """The job of an operation's name. Raises InvalidArgument."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise InvalidArgument("name", name, f"{OPERATIONS}<id>")
    return match[1]


def operation_message(job: Job, kinds: Mapping[str, JobKind], now_ns: int, *, listed: bool = False) -> operations_pb2.Operation:
    """A job as an operation: its metadata a Job, its response the kind's result. listed: long requests are left out."""
    operation = operations_pb2.Operation(name=f"{OPERATIONS}{job.id}", done=job.state.has_ended)
    operation.metadata.Pack(job_message(job, kinds, now_ns, listed=listed))
    if job.state is JobState.SUCCEEDED:
        _set_response(operation, job, kinds)
    elif job.state.has_ended:
        operation.error.CopyFrom(status_pb2.Status(code=job.error_code or code_pb2.UNKNOWN, message=job.error or job.state.value))
    return operation


def _set_response(operation: operations_pb2.Operation, job: Job, kinds: Mapping[str, JobKind]) -> None:
    kind = kinds.get(job.kind)
    if kind is None:
        unknown = f"it succeeded, but the kind {job.kind} is not known here: see SIGNALBOX_JOB_KINDS_MODULE"
        operation.error.CopyFrom(status_pb2.Status(code=code_pb2.UNIMPLEMENTED, message=unknown))
        return
    operation.response.CopyFrom(any_pb2.Any(type_url=f"{_TYPE_URL}{kind.result.DESCRIPTOR.full_name}", value=job.result or b""))


def job_message(job: Job, kinds: Mapping[str, JobKind], now_ns: int, *, listed: bool = False) -> pb.Job:
    """A job as clients see it. listed: long requests are left out."""
    message = pb.Job(
        id=job.id,
        kind=job.kind,
        state=_STATE_ENUMS[job.state],
        priority=_PRIORITY_ENUMS[job.priority],
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        progress=pb.JobProgress(done=job.progress.done, total=job.progress.total, unit=job.progress.unit, message=job.progress.message),
        created_at=_timestamp(job.created_ns),
        started_at=_timestamp(job.started_ns),
        ended_at=_timestamp(job.ended_ns),
        estimated_end_at=_timestamp(estimated_end_ns(job, now_ns)),
        unique_key=job.unique_key,
        owner=job.owner,
        traceparent=job.traceparent,
        peak_memory_bytes=job.peak_memory_bytes or None,
        kept_memory_bytes=job.kept_memory_bytes if job.peak_memory_bytes else None,
        last_error=job.error,
    )
    if not (listed and len(job.request) > _LISTED_REQUEST_BYTES) and (kind := kinds.get(job.kind)) is not None:
        _set_request(message, kind, job.request)
    return message


def _set_request(message: pb.Job, kind: JobKind, request: bytes) -> None:
    try:
        content: dict[str, Any] = json_format.MessageToDict(kind.request.FromString(request), preserving_proto_field_name=True)
    except DecodeError:
        # Written by another version of the kind; what became of the job can be said all the same.
        return
    json_format.ParseDict(content, message.request)


def _timestamp(ns: int) -> timestamp_pb2.Timestamp | None:
    return timestamp(ns) if ns else None


def kind_info(kind: JobKind) -> pb.JobKindInfo:
    """A kind as clients see it."""
    return pb.JobKindInfo(
        name=kind.name,
        description=kind.description,
        request_type=kind.request.DESCRIPTOR.full_name,
        result_type=kind.result.DESCRIPTOR.full_name,
        service=kind.service,
        priority=_PRIORITY_ENUMS[kind.priority],
        attempt_limit=_duration(kind.attempt_limit_s),
        memory_limit_bytes=kind.memory_limit_bytes,
        max_attempts=kind.retry.attempts,
        kept=_duration(kind.keep_s),
        max_waiting=kind.max_waiting,
    )


def _duration(seconds: float) -> duration_pb2.Duration:
    ns = round(seconds * _NS)
    return duration_pb2.Duration(seconds=ns // _NS, nanos=ns % _NS)


def job_of_result(value: bytes) -> Job:
    """A finished job from a record of reports.results.v1. Raises DecodeError, ValueError when it is none."""
    result = job_pb2.JobResult.FromString(value)
    event = result.job
    state = JobState(event.state)
    return Job(
        id=event.id,
        kind=event.kind,
        state=state,
        priority=Priority(event.priority),
        request=result.request,
        created_ns=event.ts_created,
        attempt=event.attempt,
        max_attempts=max(1, event.attempt),
        progress=Progress(event.done, event.total, event.unit, event.message if state is JobState.SUCCEEDED else ""),
        result=result.result if state is JobState.SUCCEEDED else None,
        error_code=result.error_code,
        error=result.error_message,
        started_ns=event.ts_started,
        ended_ns=event.ts_ended,
        unique_key=result.unique_key,
        owner=event.owner,
        peak_memory_bytes=result.peak_memory_bytes,
        kept_memory_bytes=result.kept_memory_bytes,
    )
