"""What comes of an attempt: errors and their codes, wishes to end it, limits, estimated ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from google.protobuf.struct_pb2 import Struct
from google.rpc import code_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.errors import DeadlineExceeded, InvalidArgument, NotFound, ResourceExhausted, Unavailable
from services.runtime.job_queue.attempt import Attempt
from services.runtime.job_queue.child import ChildContext
from services.runtime.job_queue.events import job_event, job_result
from services.runtime.job_queue.outcome import CANCELLED, PAST_DEADLINE, Ending, Failure, Outcome, failure_of, one_line, over_memory, over_time
from services.runtime.job_queue.settings import JobWorkerSettings
from services.runtime.job_queue.store import new_job_id
from services.runtime.jobs import Job, JobKind, JobState, Priority, Progress, estimated_end_ns
from services.runtime.settings import load_settings
from services.runtime.testing import ManualClock

KIND = JobKind("test.unit", "test", Struct, Struct, "A test's.", attempt_limit_s=3600.0)
JOB = Job("0" * 24, KIND.name, JobState.RUNNING, Priority.NORMAL, b"", created_ns=1, attempt=1, max_attempts=3, started_ns=2)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidArgument("symbol", "?", "a symbol"), code_pb2.INVALID_ARGUMENT),
        (NotFound("symbol", "X"), code_pb2.NOT_FOUND),
        (Unavailable("source", "away"), code_pb2.UNAVAILABLE),
        (ResourceExhausted("source", "slow down"), code_pb2.RESOURCE_EXHAUSTED),
        (DeadlineExceeded(1.0), code_pb2.DEADLINE_EXCEEDED),
        (ZeroDivisionError("strange"), code_pb2.INTERNAL),
    ],
)
def test_errors_have_their_codes(error: Exception, code: int) -> None:
    failure = failure_of(error, (Unavailable,))
    assert (failure.code, failure.may_retry, failure.state) == (code, isinstance(error, Unavailable), JobState.FAILED)


@given(st.text())
def test_an_error_is_one_line_of_bounded_length(text: str) -> None:
    line = one_line(text)
    assert len(line) <= 500
    assert len(line.splitlines()) <= 1


def test_limits_name_themselves() -> None:
    assert over_memory(1 << 30, 1100 << 20).text == "memory limit 1024 MiB exceeded (seen 1100)"
    assert over_memory(1 << 30, (1 << 30) + 1).text == "memory limit 1024 MiB exceeded (seen 1025)"
    assert over_time(300.0).text == "attempt limit 300 s exceeded"


class Scripted:
    """An execution that ends as told: when it is asked to, when it is ended, or at once."""

    def __init__(self, answer: bytes | Failure | None = None, *, answers_when_asked: bool = True) -> None:
        self._answer = answer
        self._answers_when_asked = answers_when_asked
        self._over = asyncio.Event()
        self.calls: list[str] = []
        self.peak_bytes, self.kept_bytes = 70, 7

    async def run(self) -> bytes | Failure:
        if self._answer is None:
            await self._over.wait()
        return self._answer or Failure(code_pb2.INTERNAL, "ended", may_retry=False)

    async def ask_to_end(self) -> None:
        self.calls.append("ask")
        if self._answers_when_asked:
            self._over.set()

    async def end(self) -> None:
        self.calls.append("end")
        self._over.set()


def attempt(job: Job = JOB, kind: JobKind = KIND, now_ns: int = 10**9) -> Attempt:
    return Attempt(job, kind, 0.0, ManualClock(now_ns))


async def test_a_result_is_the_outcome_with_its_memory() -> None:
    assert await attempt().run(Scripted(b"x")) == Outcome(result=b"x", peak_memory_bytes=70, kept_memory_bytes=7)


@pytest.mark.parametrize(
    ("why", "outcome"),
    [
        (Ending.CANCEL, Outcome(failure=CANCELLED, peak_memory_bytes=70, kept_memory_bytes=7)),
        (Ending.STOP, Outcome(ending=Ending.STOP, peak_memory_bytes=70, kept_memory_bytes=7)),
        (Ending.TAKEN_OVER, Outcome(ending=Ending.TAKEN_OVER, peak_memory_bytes=70, kept_memory_bytes=7)),
    ],
)
async def test_the_first_wish_to_end_counts(why: Ending, outcome: Outcome) -> None:
    subject, execution = attempt(), Scripted()
    subject.end(why)
    subject.end(Ending.DEADLINE)
    assert await subject.run(execution) == outcome
    assert execution.calls == ["ask"]


async def test_what_does_not_end_when_asked_is_ended() -> None:
    subject, execution = attempt(), Scripted(answers_when_asked=False)
    subject.end(Ending.CANCEL)
    assert (await subject.run(execution)).failure == CANCELLED
    assert execution.calls == ["ask", "end"]


async def test_limits_of_time_end_an_attempt() -> None:
    assert (await attempt(kind=replace(KIND, attempt_limit_s=0.0)).run(Scripted())).failure == over_time(0.0)
    late = replace(JOB, deadline_ns=10**9)
    assert (await attempt(late, now_ns=10**9).run(Scripted())).failure == PAST_DEADLINE


async def test_progress_never_goes_back_within_or_between_attempts() -> None:
    subject = attempt(replace(JOB, progress=Progress(5.0, 10.0)))
    subject.progress(Progress(1.0, 10.0, "bars", "again"))
    assert subject.latest == Progress(5.0, 10.0, "bars", "again")
    subject.progress(Progress(7.0, 10.0))
    assert subject.latest.done == 7.0


def test_a_heavy_jobs_progress_is_thinned_out_and_its_last_word_sent() -> None:
    sent: list[object] = []
    context = ChildContext(JOB, sent.append)
    for step in range(1, 10_001):
        context.progress(step, 10_000)
    context.flush()
    assert sent[0] == Progress(1.0, 10_000)
    assert sent[-1] == Progress(10_000, 10_000)
    assert len(sent) < 1_000


@given(st.floats(0.001, 0.999), st.integers(1, 10**12))
def test_the_estimated_end_goes_on_as_it_went(part: float, spent_ns: int) -> None:
    job = replace(JOB, started_ns=10**18, progress=Progress(part, 1.0))
    left_ns = estimated_end_ns(job, 10**18 + spent_ns) - (10**18 + spent_ns)
    assert left_ns == pytest.approx(spent_ns * (1 - part) / part, rel=1e-6, abs=1)


@pytest.mark.parametrize("progress", [Progress(), Progress(5.0), Progress(5.0, 5.0), Progress(0.0, 5.0)])
def test_no_end_is_estimated_from_nothing(progress: Progress) -> None:
    assert estimated_end_ns(replace(JOB, progress=progress), 10**18) == 0
    assert estimated_end_ns(replace(JOB, state=JobState.WAITING, progress=Progress(1.0, 2.0)), 10**18) == 0


@given(st.lists(st.integers(10**18, 2 * 10**18), min_size=2, max_size=20))
def test_ids_sort_by_creation(times: list[int]) -> None:
    ids = [new_job_id(now_ns) for now_ns in sorted(times)]
    assert [identity[:14] for identity in ids] == sorted(identity[:14] for identity in ids)
    assert {len(identity) for identity in ids} == {24}


def test_the_same_ended_job_is_the_same_record() -> None:
    job = replace(JOB, state=JobState.FAILED, ended_ns=3, error_code=code_pb2.INTERNAL, error="strange", request=b"\x01")
    assert job_result(job, KIND).SerializeToString(deterministic=True) == job_result(replace(job), KIND).SerializeToString(deterministic=True)
    assert job_event(job, 4).message == "strange"
    assert job_result(job, KIND).result_type == ""


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNALBOX_JOB_PROCESSES", "3")
    monkeypatch.setenv("SIGNALBOX_JOB_LOST_AFTER_S", "9.5")
    settings = load_settings(JobWorkerSettings)
    assert (settings.heavy_processes, settings.lost_after_s, settings.light_concurrency) == (3, 9.5, 8)


def test_a_worker_is_not_taken_for_lost_between_two_signs_of_life(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SIGNALBOX_JOB_HEARTBEAT_S", "5")
    with pytest.raises(SystemExit):
        load_settings(JobWorkerSettings)
    assert "SIGNALBOX_JOB_LOST_AFTER_S: was '6.0'; expected: at least 3 times SIGNALBOX_JOB_HEARTBEAT_S, which is 5\n" in capsys.readouterr().err
