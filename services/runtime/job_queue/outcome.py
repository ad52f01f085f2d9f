"""How attempts end, and what follows for the job."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from enum import Enum, auto

from google.rpc import code_pb2

from services.runtime.errors import DeadlineExceeded, InvalidArgument, NotFound, ResourceExhausted, SignalboxError, Unavailable
from services.runtime.jobs import JobState

_CODES: tuple[tuple[type[SignalboxError], int], ...] = (
    (InvalidArgument, code_pb2.INVALID_ARGUMENT),
    (NotFound, code_pb2.NOT_FOUND),
    (Unavailable, code_pb2.UNAVAILABLE),
    (ResourceExhausted, code_pb2.RESOURCE_EXHAUSTED),
    (DeadlineExceeded, code_pb2.DEADLINE_EXCEEDED),
)
_MAX_CHARS = 500


class Ending(Enum):
    """Why a running attempt is ended from outside."""

    CANCEL = auto()
    """Somebody asked for the job's end."""
    STOP = auto()
    """The worker has to end; the job goes back to the queue."""
    TAKEN_OVER = auto()
    """Another worker runs the job; whatever comes of this attempt does not count."""
    ATTEMPT_LIMIT = auto()
    DEADLINE = auto()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt has no result."""

    code: int
    """A google.rpc.Code."""
    text: str
    """One line."""
    may_retry: bool
    """Whether another attempt may do better."""
    state: JobState = JobState.FAILED
    """What the job becomes when there is no further attempt: FAILED, or BURIED when its process died or had to be ended."""


def failure_of(error: BaseException, retry_on: tuple[type[Exception], ...]) -> Failure:
    """What an error that a job's function raised means."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), code_pb2.INTERNAL)
    text = str(error) if isinstance(error, SignalboxError) else "".join(traceback.format_exception_only(error))
    return Failure(code, one_line(text), isinstance(error, retry_on))


def one_line(text: str) -> str:
    """The text without line ends, cut to what is kept of an error."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_CHARS else line[: _MAX_CHARS - 3] + "..."


def over_time(limit_s: float) -> Failure:
    """An attempt took longer than its kind allows."""
    return Failure(code_pb2.DEADLINE_EXCEEDED, f"attempt limit {limit_s:g} s exceeded", may_retry=True, state=JobState.BURIED)


def over_memory(limit_bytes: int, seen_bytes: int) -> Failure:
    """An attempt's process used more memory than its kind allows."""
    # Rounded up, so that what was seen is never said to be the limit itself.
    text = f"memory limit {limit_bytes >> 20} MiB exceeded (seen {-(-seen_bytes >> 20)})"
    return Failure(code_pb2.RESOURCE_EXHAUSTED, text, may_retry=True, state=JobState.BURIED)


def process_died(how: str) -> Failure:
    """An attempt's process ended by itself."""
    return Failure(code_pb2.ABORTED, f"the job's process {how}", may_retry=True, state=JobState.BURIED)


def worker_lost(attempts: int) -> Failure:
    """The last attempt's worker was lost, and no further one is allowed."""
    return Failure(code_pb2.ABORTED, f"its worker was lost in attempt {attempts}, the last one allowed", may_retry=False, state=JobState.BURIED)


#: A job that was not run or ended in time.
PAST_DEADLINE = Failure(code_pb2.DEADLINE_EXCEEDED, "the job's deadline was over", may_retry=False)
CANCELLED = Failure(code_pb2.CANCELLED, "cancelled", may_retry=False, state=JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt."""

    result: bytes | None = None
    failure: Failure | None = None
    ending: Ending | None = None
    """STOP or TAKEN_OVER, where neither result nor failure counts."""
    peak_memory_bytes: int = 0
    kept_memory_bytes: int = 0
