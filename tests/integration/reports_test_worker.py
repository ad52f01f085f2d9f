"""A worker of a test's own kinds: `python -m tests.integration.reports_test_worker`."""

import asyncio
from typing import cast

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from pydantic import Field

from services.runtime.job_queue import JobWorkerSettings, run_job_worker
from services.runtime.jobs import JobContext, JobHandler
from services.runtime.lifecycle import run
from services.runtime.settings import load_settings
from tests.integration.reports_kinds import ECHO


class Settings(JobWorkerSettings):
    """A worker's, with a port of its own."""

    metrics_port: int = Field(0, validation_alias="TEST_METRICS_PORT")


async def echo(request: Message, context: JobContext) -> Message:
    """Answers with what it was given, after the seconds and with the failure that it was told."""
    given = MessageToDict(cast(Struct, request))
    context.progress(0, 1, "echoes", "at it")
    await asyncio.sleep(given.get("sleep_s", 0))
    if given.get("fail"):
        raise ValueError("told to fail")
    context.progress(1, 1, "echoes", "done")
    return request


def main() -> None:
    """Runs until told to stop."""
    settings = load_settings(Settings)
    run("test-worker", settings, lambda lifecycle: run_job_worker(settings, "test", [JobHandler(ECHO, echo)], lifecycle))


if __name__ == "__main__":
    main()
