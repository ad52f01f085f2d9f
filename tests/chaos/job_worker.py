"""A worker of the storm: `python -m tests.chaos.job_worker`. Each attempt writes its start and its end to one file, appended to by all workers."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import NamedTuple, cast

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from pydantic import Field

from services.runtime.job_queue import JobWorkerSettings, run_job_worker
from services.runtime.jobs import JobContext, JobHandler
from services.runtime.lifecycle import run
from services.runtime.settings import load_settings
from tests.chaos.job_kinds import STORM


class Settings(JobWorkerSettings):
    """A worker's, with a port and a log of its own."""

    metrics_port: int = Field(0, validation_alias="TEST_METRICS_PORT")
    log: Path = Field(Path("storm.log"), validation_alias="TEST_JOB_LOG")
    """The file that all workers append to."""


class Line(NamedTuple):
    """One line of the file."""

    what: str
    """`start` or `end`."""
    job_id: str
    attempt: int


class Log:
    """Appends lines; each is one write, which the system does not divide."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, what: str, job_id: str, attempt: int) -> None:
        """One line."""
        os.write(self._file, f"{what} {job_id} {attempt} {os.getpid()}\n".encode())


def read_log(path: Path) -> list[Line]:
    """All lines so far, oldest first."""
    parts = (line.split() for line in path.read_text().splitlines())
    return [Line(what, job_id, int(attempt)) for what, job_id, attempt, _pid in parts]


def handler(log: Log) -> JobHandler:
    """The function of the kind over a log."""

    async def step(request: Message, context: JobContext) -> Message:
        log.write("start", context.job.id, context.job.attempt)
        given = MessageToDict(cast(Struct, request))
        for part in range(4):
            context.progress(part, 4, "parts")
            await asyncio.sleep(given["seconds"] / 4)
        log.write("end", context.job.id, context.job.attempt)
        return ParseDict({"number": given["number"]}, Struct())

    return JobHandler(STORM, step)


def main() -> None:
    """Runs until told to stop, or killed."""
    settings = load_settings(Settings)
    run("storm-worker", settings, lambda lifecycle: run_job_worker(settings, STORM.service, [handler(Log(settings.log))], lifecycle))


if __name__ == "__main__":
    main()
